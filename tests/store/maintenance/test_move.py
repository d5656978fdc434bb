"""All that a database holds is moved to one of the other engine, counted, audited, and once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from relay.core import states
from relay.core.errors import ConfigurationError
from relay.store import installation as installations
from relay.store.cluster import daemons
from relay.store.cluster.daemons import Registration
from relay.store.engine import served
from relay.store.engine.database import Store
from relay.store.maintenance import audit as audits
from relay.store.maintenance import move as moving
from relay.store.outbox.history import NewEvent, note
from relay.store.schema import metadata
from tests.support.daemon import SHIPPED, Daemon
from tests.support.postgresql import new_database
from tests.support.stored import CREATED, new_id, put, rows


@contextmanager
def opened(url: str, data: Path, *, to_serve: bool = False) -> Iterator[Store]:
    data.mkdir(exist_ok=True)
    store = Store(url, data)
    store.open(to_serve=to_serve)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def source(sqlite_store: Store) -> Store:
    """A message in every state, and rows in all tables."""
    for number, state in enumerate((*states.ENDS, *states.OPEN, "screened")):
        tried = [("sent", CREATED)] if state == "sent" else []
        put(sqlite_store, number, state, tried=tried, happened=[("found", CREATED)], daemon=7)
    sqlite_store.write_now(installations.remember, [("installation", "0a1b2c3d")])
    sqlite_store.write_now(_fill, [None])
    return sqlite_store


def _fill(connection: Connection, batch: list[None]) -> list[None]:
    """Put a row into every table that has none."""
    for table in moving.TABLES:
        if connection.execute(select(table).limit(1)).first() is None:
            connection.execute(insert(table), [{c.name: _some(c) for c in table.columns}])
    return batch


def _some(column: Any) -> Any:
    if column.name == "message":
        return new_id(0)
    kind = column.type.python_type
    return {str: "é ü \N{GRINNING FACE}"[:8], bytes: b"\0\xff", bool: True}.get(kind, kind(7))


@pytest.fixture
def target_url(postgresql_url: str) -> str:
    return new_database(postgresql_url, "moved").replace(":@", "@")


def content(store: Store) -> dict[str, list[Any]]:
    """All rows of all tables that are moved."""

    def read(connection: Connection) -> dict[str, list[Any]]:
        found = {}
        for table in moving.TABLES:
            some = connection.execute(select(table)).all()
            kept = [tuple(row) for row in some if row[0] not in moving.OWN_VALUES]
            found[table.name] = sorted(kept, key=repr)
        return found

    return store.read_now(read)


@pytest.mark.slow
def test_everything_is_moved_there_and_back(source: Store, target_url: str, tmp_path: Path) -> None:
    before = content(source)
    assert all(before.values()), "a table that holds nothing proves nothing"
    with opened(target_url, tmp_path / "there") as there:
        moved = moving.move(source, there)
        assert (moved.messages, moved.changed, moved.faults) == (len(before["messages"]), 0, [])
        assert moved.rows == sum(map(len, before.values()))
        assert content(there) == before
        assert there.read_now(audits.audit).faults == []
        with opened(f"sqlite:///{tmp_path}/back/relay.db", tmp_path / "back") as back:
            moving.move(there, back)
            assert content(back) == before


@pytest.mark.slow
def test_rows_are_numbered_after_those_that_came(
    source: Store, target_url: str, tmp_path: Path
) -> None:
    with opened(target_url, tmp_path / "there") as there:
        moving.move(source, there)
        last = rows(there, "SELECT max(id) AS id FROM events")[0]["id"]
        there.write_now(lambda c, b: [note(c, b)], [NewEvent("m", 1.0, "found", "")])
        assert rows(there, "SELECT max(id) AS id FROM events")[0]["id"] == last + 1
        # Messages are daemon 7's.
        new = Registration("host", 1, "1", "")
        assert there.write_now(lambda c, b: [daemons.join(c, new)], [None]) == [8]


@pytest.mark.slow
def test_what_was_moved_is_not_served_again_and_what_came_is(
    source: Store, target_url: str, tmp_path: Path
) -> None:
    with opened(target_url, tmp_path / "there") as there:
        moving.move(source, there)
        with pytest.raises(ConfigurationError, match="was moved to"):
            moving.move(source, there)
    path, data = source.path, source.path.parent
    source.close()
    with pytest.raises(ConfigurationError, match="what it holds was moved to postgresql"):
        Store(f"sqlite:///{path}", data).open()
    with opened(target_url, tmp_path / "there", to_serve=True):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("table", ["alert_reports", "events", "messages", "tokens", "versions"])
def test_a_move_that_was_broken_off_is_begun_again(
    source: Store,
    target_url: str,
    tmp_path: Path,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = moving._add

    def breaks(connection: Connection, batch: Any) -> list[int]:
        if batch[0][0].name == table:
            raise KeyboardInterrupt
        return add(connection, batch)

    with opened(target_url, tmp_path / "there") as there:
        with monkeypatch.context() as patched:
            patched.setattr(moving, "_add", breaks)
            with pytest.raises(KeyboardInterrupt):
                moving.move(source, there)
        with pytest.raises(ConfigurationError, match="is being filled from"):
            there.write_now(served.check, [there.where])
        # It is served yet, and goes on.
        source.write_now(served.check, [source.where])
        put(source, 70, "queued")
        moving.move(source, there)
        assert content(there) == content(source)


@pytest.mark.slow
def test_a_move_that_ended_before_its_last_word_is_ended(
    source: Store, target_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(target_url, tmp_path / "there") as there:
        with monkeypatch.context() as patched:
            patched.setattr(served, "why_not", lambda connection: "")
            patched.setattr(served, "refuse", _only_with_words(served.refuse))
            with pytest.raises(KeyboardInterrupt):
                moving.move(source, there)
        moving.move(source, there)
        assert there.read_now(served.why_not) == ""
        assert content(there) == content(source)


def _only_with_words(refuse: Any) -> Any:
    def refuses(connection: Connection, batch: list[str]) -> list[None]:
        if batch == [""]:
            raise KeyboardInterrupt
        return refuse(connection, batch)

    return refuses


@pytest.mark.slow
def test_other_messages_are_never_overwritten(
    source: Store, target_url: str, tmp_path: Path
) -> None:
    with opened(target_url, tmp_path / "there", to_serve=True) as there:
        id = put(there, 1, "queued")
        with pytest.raises(ConfigurationError, match="other messages"):
            moving.move(source, there)
        assert [row["id"] for row in rows(there, "SELECT id FROM messages")] == [id]


@pytest.mark.slow
def test_texts_that_postgresql_cannot_hold_are_changed_and_counted(
    sqlite_store: Store, target_url: str, tmp_path: Path
) -> None:
    id = put(sqlite_store, 1, "queued", words="a\0b", writer="\0")
    long = put(sqlite_store, 2, "queued", words="x" * 600)
    with opened(target_url, tmp_path / "there") as there:
        assert moving.move(sqlite_store, there).changed == 3
        found = {row["id"]: row for row in rows(there, "SELECT id, words, writer FROM messages")}
        assert (found[id]["words"], found[id]["writer"]) == ("a\ufffdb", "\ufffd")
        assert found[long]["words"] == "x" * 500


@pytest.mark.slow
def test_nothing_is_moved_while_a_daemon_lives_on_either(
    source: Store, target_url: str, tmp_path: Path
) -> None:
    new = Registration("web1", 1, "1", "")
    with (
        opened(target_url, tmp_path / "there") as there,
        opened(f"sqlite:///{tmp_path}/back/relay.db", tmp_path / "back") as back,
    ):
        there.write_now(lambda c, b: [daemons.join(c, new)], [None])
        for one, other in ((source, there), (there, back)):
            with pytest.raises(ConfigurationError, match="daemon 1 on web1 was heard of"):
                moving.move(one, other)
        assert rows(there, "SELECT id FROM messages") == []


@pytest.mark.slow
def test_a_daemon_that_comes_meanwhile_keeps_its_database(
    source: Store, target_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Registration("web1", 1, "1", "")
    with (
        opened(target_url, tmp_path / "there") as there,
        opened(f"sqlite:///{tmp_path}/back/relay.db", tmp_path / "back") as back,
    ):
        moving.move(source, there)
        joined = iter([new])

        def progress(step: int) -> None:
            there.write_now(lambda c, b: [daemons.join(c, one) for one in b], [*joined])

        with pytest.raises(ConfigurationError, match="was heard of"):
            moving.move(there, back, progress)
        assert there.read_now(served.why_not) == ""


def test_every_table_is_moved_but_those_of_who_runs() -> None:
    left = metadata.tables.keys() - {table.name for table in moving.TABLES}
    assert left == {"daemons", "leases"}


@pytest.mark.slow
def test_a_daemon_goes_on_where_it_was_moved_to(offline: Daemon, target_url: str) -> None:
    form = {"to_address": "desk@example.gov", "from_address": "a@example.com", "message": "Hi."}
    keys = '[keys.application]\nsecret = { env = "APPLICATION" }\nservers = ["*"]\n'
    given = SHIPPED.replace("[relay]\n", '[relay]\nsecret = { file = "var/secret" }\n', 1) + keys
    with offline:
        key = offline.made_keys()["application"]
        offline.post("/rest/email/default", key, data=form | {"subject": "one"})
        refused = offline.command("move-store", target_url, "--yes")
        assert "needed with PostgreSQL" in refused.stderr
        offline.settings.write_text(given)
        offline.environment["APPLICATION"] = key
        refused = offline.command("move-store", target_url, "--yes")
        assert (refused.returncode, "a daemon runs: stop it first" in refused.stderr) == (1, True)
    ran = offline.command("move-store", target_url, "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "1 message, " in ran.stdout
    assert "in balance" in ran.stdout
    again = offline.command("serve")
    assert (again.returncode, "was moved to" in again.stderr) == (2, True), again.stderr
    offline.environment["RELAY_DATABASE"] = target_url
    with offline:
        assert offline.post("/rest/email/default", key, data=form | {"subject": "two"}).ok
        refused = offline.command("move-store", f"sqlite:///{offline.folder}/back.db", "--yes")
        assert "a daemon runs" in refused.stderr
    listed = offline.command("mailbox").stdout
    assert ("one" in listed, "two" in listed) == (True, True)
    with closing(sqlite3.connect(offline.folder / "var" / "relay.db")) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)
