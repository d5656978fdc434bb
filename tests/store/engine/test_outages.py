"""A PostgreSQL server that fails, stops, stands still and comes back, under an open store."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text
from structlog.testing import capture_logs

from relay.core.errors import Unavailable
from relay.core.ids import message_id
from relay.core.states import State
from relay.store.engine import connecting
from relay.store.engine.database import Store, nothing
from relay.store.outbox import enqueue
from relay.store.outbox.transitions import Change, change_each
from tests.store.engine.test_database import count, new
from tests.support.killable_postgresql import Server, running_server

# Servers die and come back.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Iterator[Store]:
    if not server.is_running():
        server.start()
    store = Store(server.url, tmp_path)
    store.open()
    try:
        yield store
    finally:
        with store._long_writing.connect() as connection, connection.begin():
            connection.execute(text("TRUNCATE messages, contents"))
        store.close()


def failing(code: str, times: int) -> tuple[Callable[..., Any], list[int]]:
    """Make an operation that the server ends so often with a code; and the sizes of its batches."""
    runs: list[int] = []

    def operation(connection: Connection, batch: Sequence[int]) -> Sequence[int]:
        runs.append(len(batch))
        if len(runs) <= times:
            fail(connection, code)
        return batch

    return operation, runs


def fail(connection: Connection, code: str) -> None:
    words = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'of a test'; END $$"
    connection.execute(text(words))


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize(("times", "runs"), [(1, 2), (4, 5), (5, 5)])
@pytest.mark.gen_test
async def test_a_group_that_others_stood_in_the_way_of_is_run_again(
    store: Store, code: str, times: int, runs: int
) -> None:
    operation, done = failing(code, times)
    results = await asyncio.gather(
        *(store.write(operation, number) for number in range(3)), return_exceptions=True
    )
    if times < 5:
        assert results == [0, 1, 2]
        assert len(done) in (runs, runs + 1)  # where not all three were in the first group
    else:
        assert isinstance(results[0], Unavailable)
        assert (results[-1] == 2) == (len(done) > runs)


@pytest.mark.parametrize(
    "code",
    ["57014", "53100", "53200", "53300", "53400", "54001", "55P03", "58030", "42501", "XX000"],
)
@pytest.mark.gen_test
async def test_what_the_server_cannot_do_now_is_refused_for_now_and_logged_once(
    store: Store, code: str
) -> None:
    operation, runs = failing(code, 1000)
    with capture_logs() as logged:
        for number in range(5):
            with pytest.raises(Unavailable) as caught:
                await store.write(operation, number)
            assert (caught.value.retry_after, caught.value.reason) == (5, "store")
        await store.write(enqueue.add, new())
    assert runs == [1] * 5
    told = [(one["event"], one["doing"], one.get("error")) for one in logged]
    assert told == [
        ("store.unavailable", "writing", code),
        ("store.available", "writing", None),
    ]


@pytest.mark.parametrize("code", ["22001", "22021", "22P05", "23502", "23505", "23514"])
@pytest.mark.gen_test
async def test_what_one_unit_did_wrong_refuses_that_one_alone(store: Store, code: str) -> None:
    def wrong(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        fail(connection, code)
        return batch

    results = await asyncio.gather(
        store.write(enqueue.add, new()),
        store.write(wrong, None),
        store.write(enqueue.add, new()),
        return_exceptions=True,
    )
    kinds = [type(result).__name__ for result in results]
    assert kinds in (["NoneType", name, "NoneType"] for name in ("DataError", "IntegrityError"))
    assert count(store) == 2


@pytest.mark.parametrize("code", ["57P01", "57P02", "57P03", "57P05", "08006", "25006"])
@pytest.mark.gen_test
async def test_a_server_that_ends_the_connection_is_asked_once_more_on_a_new_one(
    store: Store, code: str
) -> None:
    sessions: list[int] = []
    operation, runs = failing(code, 1)

    def noted(connection: Connection, batch: Sequence[int]) -> Sequence[int]:
        sessions.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        return operation(connection, batch)

    assert await store.write(noted, 7) == 7
    assert len(set(sessions)) == len(sessions) == 2
    operation, runs = failing(code, 1000)
    with pytest.raises(Unavailable):
        await store.write(operation, 7)
    assert runs == [1, 1]


@pytest.mark.gen_test(timeout=30)
async def test_of_two_that_wait_for_each_other_both_have_their_way(
    store: Store, server: Server
) -> None:
    first, second = new(), new()
    await store.write(enqueue.add, first)
    await store.write(enqueue.add, second)
    change = "UPDATE messages SET attempts = attempts + 1 WHERE id = "
    runs: list[None] = []
    has_first, goes_on = threading.Event(), threading.Event()

    def both(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        runs.append(None)
        connection.execute(text(f"{change}'{first.id}'"))
        has_first.set()
        assert goes_on.wait(10)
        connection.execute(text(f"{change}'{second.id}'"))
        return batch

    with psycopg.connect(server.url) as other:
        other.execute(f"{change}'{second.id}'")
        task = asyncio.ensure_future(store.write(both, None))
        await asyncio.to_thread(has_first.wait, 10)
        blocked = asyncio.ensure_future(asyncio.to_thread(other.execute, f"{change}'{first.id}'"))
        goes_on.set()
        done, _ = await asyncio.wait({task, blocked}, return_when=asyncio.FIRST_COMPLETED)
        if blocked in done and blocked.exception() is None:
            other.commit()  # the store was chosen to begin again
        else:
            other.rollback()
    await task
    await asyncio.wait({blocked})
    rows = server.execute("SELECT attempts FROM messages ORDER BY id", "relay")
    other_did = len(runs) == 2
    assert [row[0] for row in rows] == ([2, 2] if other_did else [1, 1])


def lost_at_commit(store: Store, server: Server, *, is_done: bool) -> None:
    """Lose the connection at the next commit: before it is done, or when it is."""

    def lose(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if is_done:
            driver.execute("COMMIT")
            driver.execute("SELECT 1")  # something to commit, whose answer gets lost
        server.execute(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 5000)")

    event.listen(store._writing, "commit", lose, once=True)


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.gen_test(timeout=30)
async def test_a_commit_whose_answer_is_lost_is_refused_and_not_run_again(
    store: Store, server: Server, *, is_done: bool
) -> None:
    runs: list[int] = []

    def add(connection: Connection, batch: Sequence[Any]) -> Sequence[Any]:
        runs.append(len(batch))
        return enqueue.add(connection, batch)

    await store.write(nothing, None)
    lost_at_commit(store, server, is_done=is_done)
    messages = [new(message_id()) for _ in range(3)]
    with capture_logs() as logged:
        group = [store.write(add, message) for message in messages]
        results = await asyncio.gather(*group, return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert [one["event"] for one in logged][:2] == ["commit.unknown", "store.unavailable"]
    lost, after = runs[0], sum(runs[1:])
    assert lost + after == 3  # nothing twice
    assert count(store) == (3 if is_done else after)
    await store.write(add, new())


@pytest.mark.slow
@pytest.mark.gen_test(timeout=30)
async def test_a_server_that_was_started_anew_costs_nobody_a_refusal(
    store: Store, server: Server
) -> None:
    await store.write(enqueue.add, new())
    assert await store.read(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    server.kill()
    server.start()
    with capture_logs() as logged:
        await store.write(enqueue.add, new())
        assert await store.read(counted) == 2
    assert logged == []


def counted(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM messages")).scalar_one()


@pytest.mark.slow
@pytest.mark.gen_test(timeout=30)
async def test_a_server_that_is_away_is_refused_quickly_and_found_again(
    store: Store, server: Server
) -> None:
    await store.write(enqueue.add, new())
    server.kill()
    with capture_logs() as logged:
        began = time.monotonic()
        for _ in range(200):
            with pytest.raises(Unavailable):
                await store.write(enqueue.add, new())
            with pytest.raises(Unavailable):
                await store.read(counted)
        assert time.monotonic() - began < 5
        server.start()
        await works(store.write, enqueue.add, new())
        assert await works(store.read, counted) == 2
    told = sorted((one["event"], one["doing"]) for one in logged)
    events = ("store.available", "store.unavailable")
    assert told == [(name, doing) for name in events for doing in ("reading", "writing")]


async def works(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call until the store takes it; it must do so soon."""
    ends = time.monotonic() + 2 * connecting.LONGEST_PAUSE + 1
    while True:
        try:
            return await call(*arguments)
        except Unavailable:
            assert time.monotonic() < ends
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.gen_test(timeout=120)
async def test_a_server_that_stands_still_is_given_up_and_found_again(
    store: Store, server: Server
) -> None:
    await store.write(enqueue.add, new())
    assert await store.read(counted) == 1
    server.freeze()
    try:
        began = time.monotonic()
        calls = [store.write(enqueue.add, new()), *(store.read(counted) for _ in range(8))]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        most = connecting.SILENT_SECONDS + 2 * connecting.CONNECT_SECONDS + 2
        assert connecting.SILENT_SECONDS - 1 < time.monotonic() - began < most
    finally:
        server.thaw()
    await works(store.write, enqueue.add, new())
    assert await works(store.read, counted) == 2


@pytest.mark.gen_test
async def test_a_daemon_has_no_more_connections_than_is_said(store: Store, server: Server) -> None:
    def slow(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(0.05)"))

    calls = [store.write(enqueue.add, new()) for _ in range(20)]
    await asyncio.gather(*calls, *(store.read(slow) for _ in range(30)))
    [[most]] = server.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'")
    names = server.execute(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = 'relay'"
    )
    assert (most, names) == (5, [("relay",)])


@pytest.mark.parametrize(
    ("own", "used"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply",) * 2],
)
def test_a_commit_is_as_safe_as_the_server_says_and_never_less_than_on(
    server: Server, tmp_path: Path, own: str, used: str
) -> None:
    server.execute(f"ALTER ROLE relay SET synchronous_commit = '{own}'")
    store = Store(server.url, tmp_path)
    store.open()
    try:
        for engine in (store._writing, store._long_writing):
            with engine.connect() as connection:
                set_to = connection.execute(text("SHOW synchronous_commit")).scalar_one()
                assert set_to == used
    finally:
        store.close()
        server.execute("ALTER ROLE relay RESET synchronous_commit")


@pytest.mark.gen_test
async def test_many_changes_are_one_statement_whose_rows_are_counted(store: Store) -> None:
    messages = [new(message_id()) for _ in range(50)]
    await asyncio.gather(*(store.write(enqueue.add, message) for message in messages))
    sent: list[bool] = []

    @event.listens_for(store._long_writing, "before_cursor_execute")
    def note(
        c: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if statement.startswith("UPDATE"):
            sent.append(many)

    changes = [(one.id, Change((State.QUEUED,), State.SENDING, {"fence": 1})) for one in messages]

    def change(connection: Connection, batch: Sequence[Any]) -> Sequence[Any]:
        return change_each(connection, batch)

    assert store.write_now(change, changes) == [True] * 50
    assert sent == [True]
    sent.clear()
    late = [*changes[:1], (message_id(), changes[1][1])]
    assert store.write_now(change, late) == [False, False]
    assert sent == [True, False, False]
    event.remove(store._long_writing, "before_cursor_execute", note)
