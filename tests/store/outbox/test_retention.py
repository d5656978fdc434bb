"""What messages said is cleared in time, and nothing that somebody may still need."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
import requests
from sqlalchemy.dialects import sqlite

from relay.core.server import Server
from relay.store import documents
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from relay.store.outbox import operator_actions, retention
from relay.store.outbox.operator_actions import Order
from relay.store.outbox.retention import Clearing, Expired
from relay.store.queries import listing, search
from relay.store.queries.search import Search
from tests.support.daemon import Daemon
from tests.support.stored import CREATED, DOCUMENT, happened, put, row, rows

DAY = 86_400.0
FINAL = ("sent", "failed", "expired", "cancelled", "suppressed", "quarantined", "screened")
OPEN = ("queued", "scheduled", "held", "sending", "in_doubt")
ORDINARY = {"sent": 30 * DAY, "screened": 30 * DAY, "cancelled": 30 * DAY, "suppressed": 30 * DAY}
MONTH_LATER = CREATED + 31 * DAY


def server(keep: dict[str, float] | None = None, name: str = "contactform") -> Server:
    return Server(name, (), keep=ORDINARY if keep is None else keep)


def one_of_each(store: Store, **values: Any) -> dict[str, str]:
    return {
        state: put(store, number, state, **values) for number, state in enumerate((*FINAL, *OPEN))
    }


def cleared(store: Store) -> set[str]:
    """The states of what was cleared."""
    found = rows(store, "SELECT state FROM messages WHERE cleared_at IS NOT NULL")
    return {one["state"] for one in found}


@pytest.mark.gen_test
async def test_final_states_are_cleared_when_their_time_is_over(store: Store) -> None:
    ids = one_of_each(store, tried=[("sent", CREATED)], happened=[("warning", CREATED)])
    assert await retention.clear_old(store, [server()], CREATED + 29 * DAY) == 0
    assert cleared(store) == set()
    assert await retention.clear_old(store, [server()], MONTH_LATER) == 4
    assert cleared(store) == set(ORDINARY)
    found = row(store, ids["sent"])
    assert found["cleared_at"] == MONTH_LATER
    said = ("document", "recipients", "subject", "sender", "tag", "stream")
    assert [found[name] for name in said] == [""] * 6
    assert rows(store, "SELECT * FROM message_metadata WHERE message = :id", id=ids["sent"]) == []
    assert happened(store, ids["sent"]) == [("warning", "warning")]
    attempts = rows(store, "SELECT words FROM attempts WHERE message = :id", id=ids["sent"])
    assert attempts == [{"words": "said sent"}]
    assert await retention.clear_old(store, [server()], MONTH_LATER) == 0


@pytest.mark.gen_test
async def test_what_is_not_final_is_never_cleared_however_old_and_whatever_is_kept(
    store: Store,
) -> None:
    ids = one_of_each(store)
    everything = dict.fromkeys(FINAL, 1.0) | dict.fromkeys(OPEN, 1.0)
    await retention.clear_old(store, [server(everything)], CREATED + 10_000 * DAY)
    assert cleared(store) == set(FINAL)
    for state in OPEN:
        assert row(store, ids[state])["document"] == DOCUMENT


@pytest.mark.gen_test
async def test_what_failed_stays_until_it_is_dismissed_or_named(store: Store) -> None:
    ids = one_of_each(store)
    await retention.clear_old(store, [server()], CREATED + 10_000 * DAY)
    assert cleared(store) == set(ORDINARY)
    store.write_now(operator_actions.dismiss, [Order([ids["failed"]], MONTH_LATER)])
    await retention.clear_old(store, [server()], CREATED + 29 * DAY)
    assert "failed" not in cleared(store)
    await retention.clear_old(store, [server()], MONTH_LATER)
    assert cleared(store) == {*ORDINARY, "failed"}
    await retention.clear_old(store, [server(ORDINARY | {"expired": DAY})], MONTH_LATER)
    assert cleared(store) == {*ORDINARY, "failed", "expired"}


@pytest.mark.gen_test
async def test_a_state_or_a_server_that_is_not_named_keeps_its_contents(store: Store) -> None:
    one_of_each(store)
    assert await retention.clear_old(store, [server({})], CREATED + 10_000 * DAY) == 0
    other = server(name="another")
    assert await retention.clear_old(store, [other], CREATED + 10_000 * DAY) == 0
    assert cleared(store) == set()


@pytest.mark.gen_test
async def test_the_time_of_what_was_scheduled_or_revived_counts_from_then(store: Store) -> None:
    id = put(store, 1, "sent", since=CREATED + 20 * DAY)
    await retention.clear_old(store, [server()], MONTH_LATER)
    assert row(store, id)["cleared_at"] is None
    await retention.clear_old(store, [server()], CREATED + 51 * DAY)
    assert row(store, id)["cleared_at"] is not None


@pytest.mark.gen_test
async def test_many_are_cleared_in_small_commits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        put(store, number, "sent")
    monkeypatch.setattr(retention, "BATCH", 10)
    sizes: list[int] = []
    clear = retention.clear

    def noted(connection: Any, batch: Any) -> list[int]:
        sizes.extend(len(one.ids) for one in batch)
        return clear(connection, batch)

    monkeypatch.setattr(retention, "clear", noted)
    assert await retention.clear_old(store, [server()], MONTH_LATER) == 25
    assert sizes == [10, 10, 5]


def test_what_was_revived_after_it_was_picked_is_not_cleared(store: Store) -> None:
    ids = [put(store, number, "failed") for number in range(2)]
    store.write_now(operator_actions.retry, [Order([ids[0]], MONTH_LATER)])
    assert store.write_now(retention.clear, [Clearing(ids, MONTH_LATER)]) == [1]
    assert row(store, ids[0])["document"] == DOCUMENT
    assert row(store, ids[1])["document"] == ""


@pytest.mark.sqlite
@pytest.mark.parametrize("dismissed", [False, True])
def test_picking_reads_the_index_of_what_is_kept_and_sorts_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, dismissed: bool
) -> None:
    plans: list[str] = []

    def explain(connection: Any, query: Any) -> Any:
        sql = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
        plans.extend(
            found[3] for found in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
        )
        return connection.execute(query)

    def expired(connection: Any) -> None:
        class Explained:
            def execute(self, query: Any) -> Any:
                return explain(connection, query)

        retention.expired(Explained(), Expired("a", "failed", 1e9, dismissed), "", 10)

    store.read_now(expired)
    plan = " ".join(plans)
    assert "USING INDEX messages_kept (server=? AND state=? AND id>? AND id<?)" in plan
    assert "SCAN" not in plan


@pytest.mark.gen_test
async def test_a_store_that_was_cleared_still_balances(store: Store) -> None:
    one_of_each(store, tried=[("in_doubt", CREATED)])
    put(store, 99, "sent", tried=[("sent", CREATED)], cleared_at=None)
    await retention.clear_old(store, [server(dict.fromkeys(FINAL, 1.0))], MONTH_LATER)
    found = store.read_now(audit.audit)
    assert [fault for fault in found.faults if "no attempt" not in fault] == []
    [balance] = found.balances.values()
    assert balance.accepted == balance.rows == 12


@pytest.mark.gen_test
async def test_what_was_cleared_is_found_by_no_search_and_in_no_mailbox(store: Store) -> None:
    id = put(store, 1, "sent", delivery="mailbox")
    young = put(store, 2, "sent", at=MONTH_LATER, delivery="mailbox")
    await retention.clear_old(store, [server()], MONTH_LATER)
    assert [one.id for one in store.read_now(listing.mailbox, None, 10).rows] == [young]
    assert store.read_now(listing.in_mailbox, id) is None
    assert store.read_now(search.one, "contactform", id) is None
    assert store.read_now(search.find, Search("contactform"), 0, 10).total == 1
    labelled = Search("contactform", labels=[("permit", "7")])
    assert [one.message.id for one in store.read_now(search.find, labelled, 0, 10).page] == [young]
    with pytest.raises(documents.ContentsCleared):
        documents.load(id, row(store, id)["document"])


@pytest.mark.sqlite
@pytest.mark.slow
def test_a_cleared_message_keeps_its_history_for_the_command(offline: Daemon, store: Store) -> None:
    id = put(store, 1, "sent", delivery="mailbox", tried=[("sent", CREATED + 60)])
    screened = put(store, 2, "screened")
    store.write_now(retention.clear, [Clearing([id, screened], MONTH_LATER)])
    ran = offline.command("queue", "show", id)
    assert ran.returncode == 0, ran.stderr
    assert "What it said was cleared at 2026-10-22 14:13:20Z." in ran.stdout
    lines = ran.stdout.splitlines()
    assert [line for line in lines if not line.startswith(("why: ", "do: "))] == [
        f"{id}  sent  server contactform  key application",
        "to -",
        "writer -",
        "subject -",
        "2026-09-21 14:13:20Z  accepted with key application",
        "2026-09-21 14:14:20Z  sent by postmark after 0.00 s: said sent",
        "2026-10-22 14:13:20Z  contents cleared",
    ]
    shown = offline.command("mailbox", "show", id)
    assert (shown.returncode, "its contents were cleared" in shown.stderr) == (1, True)
    shown = offline.command("screened", "show", screened)
    assert shown.returncode == 1
    assert "its fields were cleared on 2026-10-22 14:13:20Z" in shown.stderr


@pytest.mark.slow
def test_a_cleared_message_is_on_no_page_and_in_no_answer_of_the_api(offline: Daemon) -> None:
    form = {"to": "desk@example.gov", "from_address": "a@example.com", "subject": "An idea"}
    with offline:
        keys = offline.made_keys()
        for _ in range(2):
            reply = offline.post(
                "/rest/email/contactform", keys["application"], data=form | {"message": "Hi."}
            )
            assert reply.json()["response"] == "Message sent"
        young, old = (line[:36] for line in offline.command("mailbox").stdout.splitlines())
    store = Store(f"sqlite:///{offline.folder}/var/relay.db", offline.folder / "var")
    store.open()
    assert store.write_now(retention.clear, [Clearing([old], MONTH_LATER)]) == [1]
    store.close()
    token = {"X-Postmark-Server-Token": keys["contactform"], "Accept": "application/json"}
    with offline, requests.Session() as web:
        web.headers.update(token)
        for path in ("", "/html", "/raw", "/attachments/1"):
            assert web.get(f"{offline.pages}/messages/{old}{path}").status_code == 404
        assert web.get(f"{offline.pages}/messages/{young}").status_code == 200
        listed = web.get(f"{offline.pages}/").text
        assert (young in listed, old in listed) == (True, False)
        found = web.get(f"{offline.url}/messages/outbound?count=9&offset=0").json()
        assert [one["MessageID"] for one in found["Messages"]] == [young]
        for part in ("details", "dump"):
            path = f"{offline.url}/messages/outbound/{old}/{part}"
            assert web.get(path).json()["ErrorCode"] == 701
    assert "unreadable" not in offline.log()


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_nothing_of_what_was_cleared_stays_in_the_file(store: Store) -> None:
    for number in range(50):
        put(store, number, "sent")
    await retention.clear_old(store, [server()], MONTH_LATER)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = store.path.read_bytes()
    assert b"desk@example.gov" not in content
    assert b"An idea" not in content


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_the_room_of_what_was_cleared_can_be_used_again(store: Store) -> None:
    for number in range(400):
        put(store, number, "sent" if number % 4 else "queued")
    with store._writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("UPDATE contents SET document = printf('%01000d', 7)")

    def free_pages() -> int:
        return rows(store, "SELECT freelist_count AS n FROM pragma_freelist_count")[0]["n"]

    used = rows(store, "SELECT page_count AS n FROM pragma_page_count")[0]["n"]
    before = free_pages()
    await retention.clear_old(store, [server()], MONTH_LATER)
    assert free_pages() - before > used / 3
