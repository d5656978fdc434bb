"""What a person finds by words, in every state, of every age; and what a search reads at most."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC

import pytest
from sqlalchemy import text, update

from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.reply_address import ReplyRoute
from relay.core.server import Server
from relay.core.states import State
from relay.operators import query
from relay.store import documents
from relay.store.engine.database import Store
from relay.store.outbox import enqueue, retention
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.references import NewReceipt
from relay.store.outbox.retention import Clearing
from relay.store.queries import word_search
from relay.store.queries.word_search import Found
from relay.store.schema import contents, messages
from relay.store.words import index
from relay.store.words.texts import FoundMessage
from tests.support.stored import new_id

DAY = 86400.0
# Noon of 2026-11-28, in UTC.
NOON = 1795867200.0
MESSAGE = Message(
    Address("relay@example.gov", "City"),
    (Address("Desk@example.gov"),),
    reply_to=(Address("Jane.Doe@example.com", "Jane"),),
    subject="Die Brücke am Fluß",
    text="Hello.",
)


def put(
    store: Store, number: int, at: float = NOON, server: str = "permits", **about: object
) -> str:
    """Store a message; `about` are its fields, or what is stored beside it."""
    beside = {name: about.pop(name) for name in ("reply_route", "receipt") if name in about}
    message = replace(MESSAGE, id=new_id(number, at), **about)
    row = enqueue.new_message(message, Server(name=server, plugins=()), "key", **beside)
    store.write_now(enqueue.add, [row])
    return row.id


def change(store: Store, id: str, **columns: object) -> None:
    changed = update(messages).where(messages.c.id == id).values(**columns)
    store.write_now(lambda connection, batch: [connection.execute(changed)], [None])


@pytest.fixture(params=["young", "indexed", "half"])
def ready(store: Store, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Bring the index to what it is while a message is young, later, and during its making."""

    def bring() -> None:
        if request.param == "young":
            return
        store.write_now(index.follow, [NOON + DAY])
        if request.param == "half":
            store.write_now(index.go_back, [None])
            return
        while store.write_now(index.go_back, [None]) != [0]:
            pass

    return bring


def search(store: Store, asked: str, below: str | None = None, limit: int = 50) -> Found:
    wanted, problems = query.parse(asked, UTC, NOON + DAY)
    assert problems == []
    return store.read_now(word_search.find, wanted, below, limit)


def ids(found: Found) -> list[str]:
    return [one.id for one in found.rows]


@pytest.mark.parametrize(
    "asked",
    [
        "jane.doe@example.com",
        "JANE.DOE",
        "desk@example.gov",
        "relay@example.gov",
        "brücke",
        "BRU\u0308CKE",
        "fluss",
        "fluß brücke jane.doe permits",
        "brü*",
        "jan*",
        '"am fluß"',
        '"brücke am flu*"',
        "K7M-4QX-9RD",
        "k7m4qx9rd",
        "reference:k7m4qx9rd",
        "permits",
        "form",
        "to:desk@example.gov",
        "to:desk",
        "from:jane.doe@example.com",
        "from:doe from:relay@example.gov",
        'subject:"die brücke"',
        "subject:brücke to:desk from:jane",
        "server:permits",
        "server:parking,permits jane",
        "state:queued",
        "state:queued state:held jane",
        "state:queued server:permits brücke",
        "tag:Form",
        "tag:form brücke",
        "after:2026-11-28",
        "after:2026-11-28 before:2026-11-29 jane",
        "before:2026-11-28T12:30 after:2026-11-28T11:30Z",
        "after:yesterday brücke",
        "id:{id}",
        "{id}",
        "id:{id} jane",
        "id:{start}",
    ],
)
def test_a_message_is_found_by_what_is_known_of_it(
    store: Store, ready: Callable[[], None], asked: str
) -> None:
    receipt = NewReceipt("K7M-4QX-9RD", "jane.doe@example.com")
    id = put(store, 1, receipt=receipt, tag="Form")
    put(
        store,
        2,
        NOON - 30 * DAY,
        "parking",
        sender=Address("parking@example.org"),
        to=(Address("cars@example.org"),),
        reply_to=(Address("joe@example.net"),),
        subject="Parking",
    )
    change(store, new_id(2, NOON - 30 * DAY), state="sent")
    ready()
    assert ids(search(store, asked.format(id=id, start=id[:8]))) == [id]


@pytest.mark.parametrize(
    "asked",
    [
        "jane parking",
        "jan",
        "nobody",
        "CCC-CCC-CCC",
        "reference:CCC-CCC-CCC",
        '"fluß am"',
        '"doe jane"',
        "doe@example.com",
        "to:jane.doe@example.com",
        "from:desk@example.gov",
        "subject:jane",
        "server:parking",
        "server:permit",
        "state:sent",
        "state:screened jane",
        "tag:permits",
        "before:2026-11-28",
        "after:2026-11-29 jane",
        "id:ffffffff",
    ],
)
def test_where_a_part_does_not_fit_nothing_is_found(
    store: Store, ready: Callable[[], None], asked: str
) -> None:
    put(store, 1)
    ready()
    assert ids(search(store, asked)) == []


@pytest.mark.parametrize("state", [*State])
def test_every_state_is_found_and_told(
    store: Store, ready: Callable[[], None], state: State
) -> None:
    id = put(store, 1, receipt=NewReceipt("K7M-4QX-9RD", ""), tag="Form")
    if state == State.SCREENED:
        change(store, id, state=state, words="too fast")
        subject, writer = "Die Brücke", "jane.doe@example.com"
        fields = {"subject": subject, "from_address": writer}
        document = json.dumps({"fields": fields})
        changed = update(contents).values(document=document)
        store.write_now(lambda connection, batch: [connection.execute(changed)], [None])
    else:
        subject, writer = MESSAGE.subject, "jane.doe@example.com"
        change(store, id, state=state, words="too fast")
    ready()
    said = ("relay@example.gov", writer, "desk@example.gov", subject, "too fast", "Form")
    one = FoundMessage(id, NOON, state, "permits", "K7M-4QX-9RD", *said)
    for asked in ("jane.doe", f"state:{state}", f"state:{state} server:permits brücke", ""):
        assert search(store, asked).rows == [one]
    if state != State.SCREENED:
        assert search(store, "server:permits").rows == [one]


def test_what_was_screened_is_found_by_its_fields(store: Store, ready: Callable[[], None]) -> None:
    document = '{"fields":{"from_address":"robo@example.com","subject":"Gr\\u00fcn","more":[1]}}'
    row = NewMessage(new_id(1, NOON), "permits", State.SCREENED, NOON, "page", document)
    store.write_now(enqueue.add, [row])
    ready()
    [one] = search(store, "grün ROBO@example.com").rows
    assert (one.state, one.writer, one.subject) == ("screened", "robo@example.com", "Grün")
    assert search(store, "server:permits").rows == [one]


def test_what_an_older_relay_stored_is_found_by_its_writer(
    store: Store, ready: Callable[[], None]
) -> None:
    id = put(store, 1)
    change(store, id, writer=None)
    ready()
    [one] = search(store, "jane.doe@example.com").rows
    assert (one.id, one.writer) == (id, "Jane.Doe@example.com")


def test_a_writer_behind_a_reply_address_is_found(store: Store, ready: Callable[[], None]) -> None:
    route = ReplyRoute("a" * 16, "Joe <joe@example.net>", NOON + DAY)
    id = put(store, 1, reply_route=route, reply_to=(Address("reply+x@example.gov"),))
    ready()
    [one] = search(store, "from:joe@example.net").rows
    assert (one.id, one.writer) == (id, "Joe <joe@example.net>")


def test_what_was_cleared_is_found_by_what_stays_of_it(
    store: Store, ready: Callable[[], None]
) -> None:
    id = put(store, 1)
    change(store, id, state="sent")
    ready()
    store.write_now(retention.clear, [Clearing([id], NOON)])
    row = store.read_now(
        lambda connection: connection.execute(text("SELECT * FROM messages")).one()
    )
    assert "example" not in str(row)
    assert ids(search(store, "jane")) == []
    assert ids(search(store, "permits after:2026-11-28")) == [id]
    assert ids(search(store, "server:permits")) == [id]
    assert ids(search(store, id.upper())) == [id]
    assert documents.CLEARED == ""


@pytest.mark.parametrize("asked", ["", "jane", "server:permits", "state:queued", "tag:form jane"])
def test_the_newest_come_first_a_page_at_a_time(
    store: Store, ready: Callable[[], None], asked: str
) -> None:
    put_ids = [put(store, number, NOON + number, tag="Form") for number in range(5)]
    ready()
    first = search(store, asked, limit=2)
    second = search(store, asked, below=first.below, limit=3)
    assert ids(first) + ids(second) == put_ids[::-1]
    assert second.below is None


def test_messages_of_one_moment_are_all_found(store: Store, ready: Callable[[], None]) -> None:
    put_ids = [put(store, number) for number in range(5)]
    ready()
    first = search(store, "jane", limit=2)
    assert ids(first) + ids(search(store, "jane", below=first.below)) == put_ids[::-1]


def test_a_search_of_what_is_not_indexed_says_how_far_it_came(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "YOUNG", 3)
    rare = put(store, 0, NOON, subject="rare", receipt=NewReceipt("K7M-4QX-9RD", ""))
    others = [put(store, number, NOON + number) for number in range(1, 6)]
    first = search(store, "rare")
    assert (first.rows, first.below, first.searched_to) == ([], others[2], NOON + 3)
    assert ids(search(store, "rare", below=first.below)) == [rare]
    # What is named is found at once.
    assert ids(search(store, "K7M-4QX-9RD")) == ids(search(store, rare)) == [rare]


def test_a_search_looks_at_so_many_of_a_common_word_and_says_how_far_it_came(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_search, "SPAN", 3)
    monkeypatch.setattr(word_search, "CANDIDATES", 3)
    monkeypatch.setattr(word_search, "RARE", 2)
    monkeypatch.setattr(word_search, "_CHUNKS", (3,))
    rare = put(store, 0, NOON, subject="Am Brücke")
    others = [put(store, number, NOON + number) for number in range(1, 6)]
    store.write_now(index.follow, [NOON + DAY])
    store.write_now(index.go_back, [None])
    first = search(store, '"am brücke"')
    assert (first.rows, first.below, first.searched_to) == ([], others[2], NOON + 3)
    second = search(store, '"am brücke"', below=first.below)
    assert (ids(second), second.searched_to) in [([rare], None), ([rare], NOON)]


def test_a_search_says_which_messages_are_not_in_the_index(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "CHUNK", 2)
    for number in range(5):
        put(store, number, NOON + number)
    store.write_now(index.follow, [NOON + DAY])
    store.write_now(index.go_back, [None])
    found = search(store, "jane")
    assert [one.created_at for one in found.rows] == [NOON + 4, NOON + 3]
    assert found.unindexed == [(None, NOON + 3)]
    assert search(store, "jane", limit=1).unindexed == []
    monkeypatch.setattr(word_search, "YOUNG", 1)
    young = put(store, 9, NOON + 2 * DAY)
    put(store, 10, NOON + 2 * DAY + 5, subject="Other")
    found = search(store, "brücke")
    assert young not in ids(found)
    assert found.unindexed[0] == (NOON + DAY - 2, NOON + 2 * DAY + 5)
