"""Searching a server's messages: what is found, how far is looked, by which index."""

import math
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event

from relay.core.addresses import Address
from relay.core.message import Attachment, Message
from relay.store import documents
from relay.store.engine.database import Store
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.queries import search
from relay.store.queries.search import Search, first_id

# 2026-11-21 00:00:00 UTC, and a day in seconds.
MIDNIGHT = 1_795_219_200.0
DAY = 86_400.0

MESSAGE = Message(
    sender=Address("desk@example.gov", "Desk"),
    to=(Address("a@example.gov"),),
    subject="Hello",
    text="Text",
    html="<p>Html</p>",
    attachments=(Attachment("plan.pdf", "application/pdf", "x" * 100),),
)


def id_at(seconds: float, number: int = 0) -> str:
    """An id as one made at a time looks like."""
    milliseconds = f"{round(seconds * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{number:03x}-8000-{number:012x}"


def new(id: str, **changes: Any) -> NewMessage:
    values: dict[str, Any] = {
        "id": id,
        "server": "notices",
        "state": "sent",
        "created_at": 1000.0,
        "key": "application",
        "recipients": "a@example.gov",
        "subject": "Hello",
        "sender": "desk@example.gov",
        "document": documents.dump(MESSAGE),
    }
    return NewMessage(**(values | changes))


def add(store: Store, *rows: NewMessage) -> None:
    store.write_now(enqueue.add, rows)


def ids(store: Store, given: Search) -> list[str]:
    found = store.read_now(search.find, given, 0, 500)
    assert found.total == len(found.page)
    return [listed.message.id for listed in found.page]


def test_only_the_servers_own_messages_are_found_and_no_screened_ones(store: Store) -> None:
    own = id_at(MIDNIGHT, 1)
    add(
        store,
        new(own),
        new(id_at(MIDNIGHT, 2), server="bulletin"),
        new(id_at(MIDNIGHT, 3), state="screened", document='{"fields":{}}'),
    )
    assert ids(store, Search("notices")) == [own]
    assert store.read_now(search.one, "notices", own) is not None
    for other in (2, 3):
        assert store.read_now(search.one, "notices", id_at(MIDNIGHT, other)) is None


def test_a_page_is_newest_first_and_the_total_is_of_all_pages(store: Store) -> None:
    add(store, *(new(id_at(MIDNIGHT + number)) for number in range(25)))
    found = store.read_now(search.find, Search("notices"), 10, 5)
    assert found.total == 25
    expected = [id_at(MIDNIGHT + number) for number in (14, 13, 12, 11, 10)]
    assert [listed.message.id for listed in found.page] == expected
    beyond = store.read_now(search.find, Search("notices"), 25, 5)
    assert (beyond.total, beyond.page) == (25, [])


def test_what_is_found_has_no_parts_and_no_contents_of_files(store: Store) -> None:
    add(store, new(id_at(MIDNIGHT)))
    [listed] = store.read_now(search.find, Search("notices"), 0, 1).page
    assert listed.message.attachments == (replace(MESSAGE.attachments[0], content=""),)
    assert (listed.message.text, listed.message.html, listed.message.model) == (None, None, None)
    assert (listed.subject, listed.state, listed.created_at) == ("Hello", "sent", 1000.0)


def test_times_are_bounds_of_the_ids(store: Store) -> None:
    moments = [MIDNIGHT - 0.001, MIDNIGHT, MIDNIGHT + DAY - 0.001, MIDNIGHT + DAY]
    add(store, *map(new, map(id_at, moments)))
    day = Search("notices", since=MIDNIGHT, before=MIDNIGHT + DAY)
    assert ids(store, day) == [id_at(moments[2]), id_at(moments[1])]
    assert ids(store, Search("notices", before=MIDNIGHT)) == [id_at(moments[0])]
    assert ids(store, Search("notices", since=MIDNIGHT + DAY)) == [id_at(moments[3])]


def test_no_time_is_outside_of_what_an_id_can_hold() -> None:
    assert first_id(-1e9) == "00000000-0000"
    assert first_id(1e15) == first_id(math.inf) == "ffffffff-ffff"
    assert first_id(MIDNIGHT) < id_at(MIDNIGHT) < first_id(MIDNIGHT + 0.001)


def test_each_filter_finds_what_it_says_and_together_they_narrow(store: Store) -> None:
    rows = {
        "recipient": new(id_at(1), recipients="b@example.gov c@example.gov"),
        "sender": new(id_at(2), sender="chief@example.gov"),
        "tag": new(id_at(3), tag="Permit"),
        "subject": new(id_at(4), subject="Your 100% permit"),
        "stream": new(id_at(5), stream="broadcast"),
        "state": new(id_at(6), state="failed"),
    }
    add(store, *rows.values())
    for given, expected in (
        ({"recipient": "c@example.gov"}, ["recipient"]),
        ({"recipient": "b@example.gov"}, ["recipient"]),
        ({"recipient": "example.gov"}, []),
        ({"sender": "chief@example.gov"}, ["sender"]),
        ({"tag": "Permit"}, ["tag"]),
        ({"tag": "permit"}, []),
        ({"subject": "100% PERMIT"}, ["subject"]),
        ({"subject": "1_0"}, []),
        ({"subject": "x" * 60_000}, []),
        ({"streams": ["broadcast"]}, ["stream"]),
        ({"streams": ["Broadcast"]}, ["stream"]),
        ({"states": ["failed", "expired"]}, ["state"]),
        ({"states": ["failed"], "tag": "Permit"}, []),
        ({"states": ["sent"], "tag": "Permit", "subject": "hell"}, ["tag"]),
    ):
        found = ids(store, Search("notices", **given))
        assert found == [rows[name].id for name in expected], given


def test_labels_are_found_by_name_and_value_all_of_them(store: Store) -> None:
    blue, red, both = id_at(1), id_at(2), id_at(3)
    add(
        store,
        new(blue, metadata={"Color": "blue"}),
        new(red, metadata={"color": "red"}),
        new(both, metadata={"color": "blue", "size": "XL"}, tag="x"),
        new(id_at(4), metadata={"color": "blue"}, server="bulletin"),
        new(id_at(5), metadata={"color": "blue"}, state="screened"),
    )
    assert ids(store, Search("notices", labels=[("color", "blue")])) == [both, blue]
    assert ids(store, Search("notices", labels=[("color", "BLUE")])) == []
    assert ids(store, Search("notices", labels=[("color", "blue"), ("size", "XL")])) == [both]
    assert ids(store, Search("notices", labels=[("size", "XL"), ("color", "red")])) == []
    assert ids(store, Search("notices", labels=[("color", "blue")], tag="x")) == [both]
    assert ids(store, Search("notices", labels=[("color", "blue")], since=2.0)) == [both]


def test_a_search_looks_through_the_newest_and_a_rare_label_is_found_however_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SEARCH_SPAN", 10)
    common = {"app": "forms"}
    oldest = new(id_at(0), tag="old", metadata={"order": "7"} | common)
    rest = [new(id_at(number), metadata=common) for number in range(1, 25)]
    add(store, oldest, *rest)
    assert len(ids(store, Search("notices"))) == 10
    assert ids(store, Search("notices", tag="old")) == []
    assert ids(store, Search("notices", tag="old", before=5.0)) == [oldest.id]
    assert ids(store, Search("notices", labels=[("order", "7")])) == [oldest.id]
    # More messages carry this one than a search looks through: it is a filter like any other.
    assert ids(store, Search("notices", labels=[("app", "forms")])) == ids(store, Search("notices"))
    assert ids(store, Search("notices", labels=[("app", "forms"), ("order", "7")])) == [oldest.id]
    assert ids(store, Search("bulletin", labels=[("app", "forms")])) == []


def test_a_message_that_cannot_be_read_is_left_out_and_logged(
    store: Store, events: list[dict[str, Any]]
) -> None:
    good = id_at(2)
    add(store, new(id_at(1), document="{"), new(good))
    found = store.read_now(search.find, Search("notices"), 0, 10)
    assert [listed.message.id for listed in found.page] == [good]
    [line] = [line for line in events if line["event"] == "message.unreadable"]
    assert line["id"] == id_at(1)


PLANS = {
    "everything": (Search("a"), "messages_accepted"),
    "a span of time": (Search("a", since=5.0, before=9.0), "messages_accepted"),
    "what is said": (
        Search(
            "a", recipient="r", sender="s", tag="t", subject="u", streams=["v"], states=["sent"]
        ),
        "messages_accepted",
    ),
    "a label": (Search("a", labels=[("n", "v")]), "message_metadata_value"),
    "a label in a span": (
        Search("a", labels=[("n", "v"), ("o", "w")], tag="t", since=5.0, before=9.0),
        "message_metadata_value",
    ),
}


@pytest.mark.sqlite
@pytest.mark.parametrize("kind", PLANS)
def test_a_search_reads_an_index_scans_no_table_and_sorts_nothing(store: Store, kind: str) -> None:
    given, index = PLANS[kind]
    said = {"recipients": "r", "sender": "s", "tag": "t", "subject": "u", "stream": "v"}
    add(store, new(id_at(6), server="a", metadata={"n": "v", "o": "w"}, **said))
    plans = []
    with store._reading.connect() as connection:
        statements: list[tuple[str, Any]] = []

        @event.listens_for(connection, "before_cursor_execute")
        def keep(c: Connection, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
            if statement.startswith("SELECT"):
                statements.append((statement, parameters))

        assert search.find(connection, given, 0, 5).total == 1
        for statement, parameters in statements[:]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            plans.append([row[3] for row in plan])
    first, matching, page = plans
    assert any(f"INDEX {index} " in line for line in first)
    assert any(f"INDEX {index} " in line for line in matching)
    # One row of the outbox for each label, not all that lie between two times.
    bound = "id=?" if given.labels else "server=?"
    assert any("INDEX messages_accepted" in line and bound in line for line in matching)
    words = [line for plan in (first, matching, page) for line in plan]
    assert not any("TEMP B-TREE" in line or line.startswith("SCAN m") for line in words)
    assert not any(line.startswith("SCAN contents") for line in words)
