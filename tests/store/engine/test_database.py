"""The store: group commits, isolation of units, migrations, the lock, the queries' plans."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text

from relay.core.errors import ConfigurationError, Unavailable
from relay.core.ids import message_id
from relay.core.states import WAITING, State
from relay.store import tokens
from relay.store.engine.database import Store
from relay.store.outbox import (
    claims,
    enqueue,
    operator_actions,
    outcomes,
    recovery,
    transitions,
    unsent,
)
from relay.store.outbox.batching import ClaimOrder, Lane
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.transitions import Change
from relay.store.queries import listing
from relay.store.schema import metadata
from relay.store.tokens import TokenUse
from relay.store.words import index as words_index

LANE = Lane("a", "mailbox", "a", 1, 1, 60.0)


def new(id: str | None = None, **changes: Any) -> NewMessage:
    values: dict[str, Any] = {
        "id": id or message_id(),
        "server": "a",
        "state": "queued",
        "created_at": 1000.0,
        "key": "",
        "recipients": "desk@example.gov",
        "subject": "Hello",
        "document": "{}",
    }
    return NewMessage(**(values | changes))


def count(store: Store, table: str = "messages") -> int:
    query = text(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of this test's own
    return store.read_now(lambda connection: connection.execute(query).scalar_one())


@pytest.mark.gen_test
async def test_what_waits_together_is_committed_together(store: Store) -> None:
    batches: list[int] = []
    go = threading.Event()

    def hold(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        go.wait(10)
        return batch

    def note(connection: Connection, batch: Sequence[int]) -> Sequence[int]:
        batches.append(len(batch))
        return [value * 2 for value in batch]

    held = asyncio.ensure_future(store.write(hold, None))
    results = [asyncio.ensure_future(store.write(note, number)) for number in range(200)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*results) == [number * 2 for number in range(200)]
    await held
    # However the first ones fell, nearly all of the two hundred shared one transaction.
    assert len(batches) <= 3


@pytest.mark.gen_test
async def test_what_comes_in_one_turn_of_the_loop_is_committed_together(store: Store) -> None:
    batches: list[int] = []

    def note(connection: Connection, batch: Sequence[int]) -> Sequence[None]:
        batches.append(len(batch))
        return [None] * len(batch)

    for _ in range(3):
        await asyncio.gather(*(store.write(note, number) for number in range(50)))
    assert batches == [50, 50, 50]


def test_what_came_in_the_last_turn_of_a_loop_that_broke_off_is_stored(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'relay.db'}", tmp_path)
    store.open()
    stored: list[int] = []

    def note(connection: Connection, batch: Sequence[int]) -> Sequence[None]:
        stored.extend(batch)
        return [None] * len(batch)

    async def submit() -> None:
        asyncio.get_running_loop().call_soon(sys.exit)  # before it is handed over
        store._writer.submit(note, 1)

    loop = asyncio.new_event_loop()
    with pytest.raises(SystemExit):
        loop.run_until_complete(submit())
    loop.close()
    assert stored == []
    store.close()
    assert stored == [1]


@pytest.mark.gen_test
async def test_a_unit_that_fails_rejects_only_itself_and_leaves_nothing(store: Store) -> None:
    twin = message_id()

    def half(connection: Connection, batch: Sequence[NewMessage]) -> Sequence[None]:
        enqueue.add(connection, batch)
        raise RuntimeError("after a write")

    results = await asyncio.gather(
        store.write(enqueue.add, new()),
        store.write(enqueue.add, new(twin)),
        store.write(enqueue.add, new(twin)),
        store.write(half, new()),
        store.write(enqueue.add, new()),
        return_exceptions=True,
    )
    kinds = [type(result).__name__ for result in results]
    assert kinds == ["NoneType", "NoneType", "IntegrityError", "RuntimeError", "NoneType"]
    assert count(store) == 3


@pytest.mark.gen_test
async def test_a_message_and_its_token_go_in_one_commit_or_not_at_all(store: Store) -> None:
    await store.write(tokens.create, tokens.NewToken(b"t", 2000.0))
    race = [store.write(enqueue.add, new(token=TokenUse(b"t"))) for _ in range(5)]
    results = await asyncio.gather(*race, return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert {getattr(result, "reason", "won") for result in results} == {"won", "token_used"}
    assert (count(store), count(store, "contents")) == (1, 1)


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_a_full_disk_is_unavailable_and_passes(store: Store) -> None:
    await store.write(enqueue.add, new())

    def pages(connection: Connection, batch: Sequence[int]) -> Sequence[None]:
        for limit in batch:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {limit}")
        return [None] * len(batch)

    await store.write(pages, 1)
    with pytest.raises(Unavailable) as caught:
        await store.write(enqueue.add, new(document="x" * 100_000))
    assert (caught.value.retry_after, caught.value.reason) == (5, "store")
    assert count(store) == 1
    await store.write(pages, 1_000_000)
    await store.write(enqueue.add, new(document="x" * 100_000))
    assert count(store) == 2


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"read-?only"):
        store.read_now(lambda connection: connection.exec_driver_sql("DELETE FROM messages"))


@pytest.mark.sqlite
def test_commits_are_synchronous_and_the_log_is_write_ahead(store: Store) -> None:
    with store._writing.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 2000,
    }


@pytest.mark.sqlite
def test_a_second_daemon_on_the_same_folder_is_refused(store: Store, tmp_path: Path) -> None:
    second = Store(f"sqlite:///{tmp_path}/var/relay.db", tmp_path / "var")
    with pytest.raises(ConfigurationError, match="another daemon uses this folder"):
        second.open()


def test_the_migrations_make_exactly_the_tables_of_the_schema(store: Store) -> None:
    def difference(connection: Connection) -> Any:
        # The index of words is each engine's own: tests/store/words.
        others = {"include_name": lambda name, kind, _: kind != "table" or name[:5] != "words"}
        return compare_metadata(MigrationContext.configure(connection, opts=others), metadata)

    assert store.read_now(difference) == []


def test_an_older_schema_is_copied_and_migrated_and_a_newer_one_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relay.db"
    store = Store(url, tmp_path)
    store.open()
    store.close()
    with sqlite3.connect(tmp_path / "relay.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE installation SET value = '9999' WHERE name = 'oldest_schema'")
    connection.close()
    newer = Store(url, tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        newer.open()
    assert "its schema (9999) is newer than this program" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.gen_test
async def test_an_outcome_counts_only_for_the_claim_it_belongs_to(store: Store) -> None:
    await store.write(enqueue.add, new())
    order = ClaimOrder(5000.0, 1, {"a": [LANE]})
    first = (await store.write(claims.claim, order)).calls[0].messages[0]
    await store.write(recovery.interrupted, recovery.Interruption(5000.0, {}))
    await store.write(
        operator_actions.release, operator_actions.Order([first.id], 5000.0, twice=True)
    )
    second = (await store.write(claims.claim, order)).calls[0].messages[0]
    assert second.fence > first.fence

    def settled(claimed: outcomes.Claimed, state: str) -> outcomes.AttemptOutcome:
        return outcomes.AttemptOutcome(claimed, state, 0, True, "mailbox", state, "", 1, 2)

    async def settle(settlement: outcomes.AttemptOutcome) -> bool:
        [done] = await store.write(outcomes.settle, [settlement])
        return done

    assert not await settle(settled(first, "failed"))
    assert await settle(settled(second, "sent"))
    assert not await settle(settled(second, "failed"))
    row, _, attempts, _ = store.read_now(listing.find, first.id)
    assert (row.state, [attempt.outcome for attempt in attempts]) == ("sent", ["sent"])


@pytest.mark.gen_test
async def test_an_outcome_adds_to_the_crashes_and_keeps_what_may_be_there_twice(
    store: Store,
) -> None:
    await store.write(enqueue.add, new())
    order = ClaimOrder(5000.0, 1, {"a": [LANE]})
    told = []
    for crashed, twice in ((True, None), (False, True), (True, None), (False, False)):
        [claimed] = (await store.write(claims.claim, order)).calls[0].messages
        settlement = outcomes.AttemptOutcome(
            claimed, "queued", 0, True, "mailbox", "deferred", "", 1, 2, None, False, crashed, twice
        )
        await store.write(outcomes.settle, [settlement])
        row = store.read_now(listing.find, claimed.id).row
        told.append((row.crashes, row.maybe_twice))
    assert told == [(1, False), (1, True), (2, True), (2, False)]


ORDER = ClaimOrder(1.0, 5, {"a": [LANE]})
FIRST_ONLY = ORDER._replace(first_only={"a"})
EVERY = unsent.Selection(dismissed=True)
PULL_BACK = claims.PullBack("a", 1.0, 10.0)
LEASE_BEGINS = Change(WAITING, State.SENDING, {"fence": 2, "due_at": 9.0}, {"fence": 1})
PLANS: dict[str, tuple[list[str], Callable[[Connection], Any]]] = {
    "claim": (
        ["messages_suspect", "messages_new", "messages_retried"],
        lambda c: claims.claim(c, [ORDER]),
    ),
    "claim, first only": (
        ["messages_suspect", "messages_new"],
        lambda c: claims.claim(c, [FIRST_ONLY]),
    ),
    "next due": (["messages_new", "messages_retried"], lambda c: claims.next_due(c, ["a"])),
    "next due, first only": (["messages_new"], lambda c: claims.next_due(c, ["a"], {"a"})),
    "pull back": (
        ["messages_new", "messages_retried"],
        lambda c: claims.pull_back(c, [PULL_BACK]),
    ),
    "change of several": (
        ["sqlite_autoindex_messages_1"],
        lambda c: transitions.change(c, ["a", "b"], LEASE_BEGINS),
    ),
    "words of several": (
        ["sqlite_autoindex_messages_1"],
        lambda c: c.execute(words_index._SOME, {"ids": '["a", "b"]'}),
    ),
    "unsent": (["messages_unsent"], lambda c: unsent.page(c, EVERY, "z", 5)),
    "screened": (["messages_kept_back"], lambda c: listing.screened(c, "z", 5)),
    "mailbox": (["messages_mailbox"], lambda c: listing.mailbox(c, "z", 5)),
}


@pytest.mark.sqlite
@pytest.mark.parametrize("name", PLANS)
def test_the_hot_queries_read_an_index_and_sort_nothing(store: Store, name: str) -> None:
    indexes, query = PLANS[name]
    statements: list[tuple[str, Any]] = []
    with store._writing.connect() as connection, connection.begin():

        @event.listens_for(connection, "before_cursor_execute")
        def keep(c: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
            statements.append((statement, parameters))

        query(connection)
        asked = list(statements)
        plans = [
            connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            for statement, parameters in asked
        ]
    words = [" ".join(row[3] for row in plan) for plan in plans]
    for index, plan in zip(indexes, words, strict=True):
        assert f"INDEX {index} (" in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.gen_test
async def test_the_mailbox_is_paged_by_key_and_searched(store: Store) -> None:
    ids = []
    for number in range(25):
        message = new(state="sent", subject=f"Idea {number}", recipients=f"r{number}@example.gov")
        ids.append(message.id)
        await store.write(enqueue.add, message)

    def deliver(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        connection.exec_driver_sql("UPDATE messages SET delivery = 'mailbox'")
        return batch

    await store.write(deliver, None)
    first = store.read_now(listing.mailbox, None, 10)
    second = store.read_now(listing.mailbox, first.below, 10)
    third = store.read_now(listing.mailbox, second.below, 10)
    listed = [row.id for page in (first, second, third) for row in page.rows]
    assert listed == ids[::-1]
    assert third.below is None
    for words, found in (("idea 7", [7]), ("R12@", [12]), ("%", []), ("_", []), ("IDEA 2", None)):
        page = store.read_now(listing.mailbox, None, 10, words)
        numbers = [int(row.subject.split()[1]) for row in page.rows]
        assert numbers == ([24, 23, 22, 21, 20, 2] if found is None else found)


def test_a_search_looks_through_a_span_and_says_where_it_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SEARCH_SPAN", 10)
    batch = [new(state="sent", subject=f"Idea {number}") for number in range(25)]
    store.write_now(enqueue.add, batch)
    with store._writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("UPDATE messages SET delivery = 'mailbox'")
    pages, below = [], None
    while True:
        page = store.read_now(listing.mailbox, below, 5, "idea 3")
        pages.append([row.subject for row in page.rows])
        below = page.below
        if below is None:
            break
    assert pages == [[], ["Idea 3"], []]
