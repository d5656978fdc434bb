"""Backups: taken while mail flows, whole or not at all; put back, nothing is sent twice."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from relay.store import tokens
from relay.store.engine.database import Store
from relay.store.engine.sqlite import take_lock
from relay.store.maintenance import backup
from relay.store.maintenance.backup import BackupError
from relay.store.tokens import NewToken, Spending, TokenUse
from tests.support.daemon import REGISTRY, ROOT, WITHOUT_REGISTRY, Daemon
from tests.support.fake_postmark import FakePostmark
from tests.support.stored import CREATED, happened, put, row, rows

FORM = {"to_address": "desk@example.gov", "from_address": "a@example.com", "message": "Hi."}
FAR = 4e9


def _opened(folder: Path) -> Store:
    (folder / "var").mkdir(exist_ok=True)
    store = Store(f"sqlite:///{folder}/var/relay.db", folder / "var")
    store.open()
    return store


def states(path: Path) -> dict[str, str]:
    """What a database file says of its messages, by subject."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT subject, state FROM messages JOIN contents USING (id)"
        return dict(connection.execute(query).fetchall())


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


@pytest.mark.slow
def test_a_backup_is_a_folder_of_what_is_needed_for_its_owner_alone(offline: Daemon) -> None:
    with offline:
        key = offline.made_keys()["application"]
        offline.post("/rest/email/default", key, data=FORM | {"subject": "one"})
        ran = offline.command("backup", "copy")
    assert ran.returncode == 0, ran.stderr
    copy = offline.folder / "copy"
    assert names(copy) == {"relay.db", "secret", "keys.json"}
    assert {oct(one.stat().st_mode & 0o777) for one in copy.iterdir()} == {"0o600"}
    assert copy.stat().st_mode & 0o777 == 0o700
    for name in ("secret", "keys.json"):
        assert (copy / name).read_bytes() == (offline.folder / "var" / name).read_bytes()
    assert states(copy / "relay.db") == {"one": "sent"}
    assert ran.stdout.startswith(f"{copy}  ")


@pytest.mark.sqlite
@pytest.mark.slow
def test_a_backup_needs_no_daemon_and_replaces_only_backups_and_only_by_force(
    offline: Daemon, store: Store
) -> None:
    put(store, 1, "sent")
    assert offline.command("backup", "copy").returncode == 0
    put(store, 2, "sent")
    ran = offline.command("backup", "copy")
    assert (ran.returncode, "is there already; --force" in ran.stderr) == (2, True)
    copy = offline.folder / "copy" / "relay.db"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    assert offline.command("backup", "--force", "copy").returncode == 0
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    (offline.folder / "copy" / "letter.txt").write_text("mine")
    (offline.folder / "papers").mkdir()
    for name in ("copy", "papers", "settings.toml"):
        ran = offline.command("backup", "--force", name)
        assert (ran.returncode, "is no backup" in ran.stderr) == (2, True), ran
    assert (offline.folder / "copy" / "letter.txt").read_text() == "mine"
    assert not any(name.startswith(".") for name in names(offline.folder))


@pytest.mark.slow
@pytest.mark.sqlite
def test_a_backup_that_cannot_be_made_leaves_nothing_behind(offline: Daemon, store: Store) -> None:
    put(store, 1, "sent")
    ran = offline.command("backup", "nowhere/copy")
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert "No such file" in ran.stderr
    assert not (offline.folder / "nowhere").exists()


def test_a_damaged_database_makes_no_backup(offline: Daemon) -> None:
    store = _opened(offline.folder)
    for number in range(200):
        put(store, number, "sent")
    store.close()
    path = offline.folder / "var" / "relay.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 20_000] = os.urandom(20_000)
    path.write_bytes(content)
    with pytest.raises(BackupError) as caught:
        backup.make(path, offline.folder / "var", offline.folder / "copy", force=False)
    assert "\n" not in str(caught.value)
    assert names(offline.folder) == {"var", "settings.toml"}


@pytest.mark.sqlite
def test_a_backup_is_of_one_moment_while_others_write(
    offline: Daemon, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small steps with a commit between any two, it neither tears nor begins anew."""
    monkeypatch.setattr(backup, "PAGES", 5)
    for number in range(20):
        put(store, number, "sent")
    steps: list[int] = []

    def meanwhile(copied: int, total: int) -> None:
        steps.append(copied)
        put(store, 100 + len(steps), "queued")

    backup.make(
        store.path, offline.folder / "var", offline.folder / "copy", force=False, progress=meanwhile
    )
    assert len(steps) > 5
    assert steps == sorted(steps)
    with closing(sqlite3.connect(offline.folder / "copy" / "relay.db")) as connection:
        counts = connection.execute("SELECT state, count(*) FROM messages GROUP BY state")
        assert counts.fetchall() == [("sent", 20)]
    assert rows(store, "SELECT count(*) AS n FROM messages")[0]["n"] == 20 + len(steps)


class Provider:
    """A fake provider in a thread of its own."""

    def __init__(self) -> None:
        self.fake = FakePostmark()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._listen)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._server.close_all_connections())
        finally:
            self._loop.close()

    def _listen(self) -> None:
        socket, port = bind_unused_port()
        self._server = HTTPServer(self.fake.app)
        self._server.add_socket(socket)
        self.fake.url = f"http://127.0.0.1:{port}"
        self._ready.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def provider() -> Iterator[FakePostmark]:
    provider = Provider()
    yield provider.fake
    provider.stop()


class Poster(threading.Thread):
    """Posts to a daemon until told to stop; keeps the subjects that were accepted."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.url = f"{daemon.url}/rest/email/registry"
        self.headers = {"authorization": f"token {daemon.made_keys()['application']}"}
        self.accepted: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            subject = f"{self.name}-{len(self.accepted)}"
            form = FORM | {"subject": subject}
            reply = requests.post(self.url, data=form, headers=self.headers, timeout=20)
            assert reply.status_code == 200, reply.text
            self.accepted.append(subject)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_backup_under_load_put_back_later_sends_nothing_twice(
    tmp_path: Path, provider: FakePostmark
) -> None:
    registry = REGISTRY.format(url=provider.url) + "settle = [0.5, 0.5]\n"
    limits = "\n[relay.limits]\nposts_per_minute = 0\n"
    shipped = WITHOUT_REGISTRY.replace("[relay]", "[relay]", 1) + registry + limits
    daemon = Daemon(tmp_path, shipped, {"POSTMARK_TOKEN": "postmark-server-token"})
    with daemon:
        assert daemon.command("pause", "registry").returncode == 0
        posters = [Poster(daemon, f"caller{number}") for number in range(2)]
        for one in posters:
            one.start()
        ran = daemon.command("backup", "copy")
        assert ran.returncode == 0, ran.stderr
        waited = set(states(tmp_path / "copy" / "relay.db"))
        for one in posters:
            one.ending.set()
            one.join(30)
        assert waited
        accepted = {subject for one in posters for subject in one.accepted}
        assert waited < accepted
        assert daemon.command("resume", "registry").returncode == 0
        while daemon.command("queue").stdout:
            pass
        assert daemon.stop() == 0
    assert {one.body["Subject"] for one in provider.accepted} == accepted
    ran = daemon.command("restore", "--yes", "copy")
    assert ran.returncode == 0, ran.stderr
    assert f"{len(waited):,} messages that waited: in doubt" in ran.stdout
    assert f"{len(accepted - waited):,} message" in ran.stdout.splitlines()[-1]
    assert "only in the database that was there" in ran.stdout.splitlines()[-1]
    assert "registry is paused, as it was then" in ran.stdout
    assert states(tmp_path / "var" / "relay.db") == dict.fromkeys(waited, "in_doubt")
    [aside] = (tmp_path / "var").glob("before-restore-*")
    assert states(aside / "relay.db") == dict.fromkeys(accepted, "sent")
    with daemon:
        # Its server was paused when the backup was taken.
        assert daemon.command("resume", "registry").returncode == 0
        while daemon.command("queue").stdout:
            pass
        assert daemon.command("audit").returncode == 0
    assert states(tmp_path / "var" / "relay.db") == dict.fromkeys(waited, "sent")
    subjects = [one.body["Subject"] for one in provider.accepted]
    assert len(subjects) == len(set(subjects)) == len(accepted)


WAITED = {"queued": CREATED, "sending": CREATED, "in_doubt": FAR, "scheduled": CREATED + 10}
STAYS = ("held", "sent", "failed", "expired", "cancelled", "suppressed", "quarantined", "screened")


def restored(offline: Daemon, *options: str) -> Any:
    return offline.command("restore", "--yes", *options, "copy")


@pytest.mark.slow
def test_what_waited_is_in_doubt_and_all_else_is_as_it_was(offline: Daemon) -> None:
    store = _opened(offline.folder)
    ids = {
        state: put(store, number, state, due_at=due, looks=1, absences=1, fence=4)
        for number, (state, due) in enumerate(WAITED.items())
    }
    later = put(store, 50, "scheduled", due_at=FAR)
    stays = {state: put(store, 60 + place, state) for place, state in enumerate(STAYS)}
    before = {id: row(store, id) for id in (later, *stays.values())}
    store.write_now(tokens.create, [NewToken(b"spent", FAR), NewToken(b"unspent", FAR)])
    store.write_now(tokens.spend, [Spending(TokenUse(b"spent"), ids["queued"], CREATED)])
    store.close()
    assert offline.command("backup", "copy").returncode == 0
    ran = restored(offline)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert "4 messages that waited: in doubt" in lines[1]
    assert lines[2].startswith("1 message scheduled for later")
    assert lines[3].startswith("1 unspent session token dropped")
    store = _opened(offline.folder)
    for id in ids.values():
        found = row(store, id)
        assert (found["state"], found["fence"]) == ("in_doubt", 5)
        assert (found["looks"], found["absences"]) == (0, 0)
        # The shipped server is looked up 120 s after.
        assert CREATED < found["due_at"] < FAR
        assert [kind for kind, _ in happened(store, id)] == ["restored"]
    assert {id: row(store, id) for id in before} == before
    assert all(happened(store, id) == [] for id in before)
    found = rows(store, "SELECT digest FROM tokens")
    assert [one["digest"] for one in found] == [b"spent"]
    store.close()


@pytest.mark.slow
def test_the_secrets_of_the_backup_are_put_back_and_the_present_ones_kept(offline: Daemon) -> None:
    _opened(offline.folder).close()
    var = offline.folder / "var"
    (var / "secret").write_text("old")
    (var / "keys.json").write_text("{}")
    assert offline.command("backup", "copy").returncode == 0
    (var / "secret").write_text("new")
    ran = restored(offline)
    assert ran.returncode == 0, ran.stderr
    assert (var / "secret").read_text() == "old"
    assert (var / "secret").stat().st_mode & 0o777 == 0o600
    [aside] = var.glob("before-restore-*")
    assert (aside / "secret").read_text() == "new"
    assert names(var) == {"relay.db", "relay.lock", "secret", "keys.json", aside.name}


@pytest.mark.slow
def test_a_backup_is_put_back_where_there_is_nothing_yet(offline: Daemon) -> None:
    store = _opened(offline.folder)
    put(store, 1, "sent")
    store.close()
    assert offline.command("backup", "copy").returncode == 0
    for one in (offline.folder / "var").iterdir():
        one.unlink()
    (offline.folder / "var").rmdir()
    ran = restored(offline)
    assert ran.returncode == 0, ran.stderr
    assert "the database that was there" not in ran.stdout
    assert states(offline.folder / "var" / "relay.db") == {"An idea": "sent"}


@pytest.mark.slow
def test_a_backup_is_put_back_in_the_place_of_a_damaged_database(offline: Daemon) -> None:
    store = _opened(offline.folder)
    put(store, 1, "sent")
    store.close()
    assert offline.command("backup", "copy").returncode == 0
    path = offline.folder / "var" / "relay.db"
    path.write_bytes(b"no database at all" * 1000)
    ran = restored(offline)
    assert ran.returncode == 0, ran.stderr
    assert "it cannot be read" in ran.stdout
    assert states(path) == {"An idea": "sent"}
    [aside] = (offline.folder / "var").glob("before-restore-*")
    assert (aside / "relay.db").read_bytes().startswith(b"no database")


@pytest.mark.slow
def test_a_restore_beside_a_daemon_or_another_command_is_refused(offline: Daemon) -> None:
    with offline:
        assert offline.command("backup", "copy").returncode == 0
        before = (offline.folder / "var" / "relay.db").stat().st_ino
        ran = restored(offline)
        assert (ran.returncode, "a daemon runs: stop it first" in ran.stderr) == (1, True)
    with take_lock(offline.folder / "var"):
        ran = restored(offline)
        assert (ran.returncode, "uses this folder" in ran.stderr) == (2, True)
    assert (offline.folder / "var" / "relay.db").stat().st_ino == before
    assert list((offline.folder / "var").glob("before-restore-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "empty", "damaged", "newer"])
def test_what_is_no_good_backup_changes_nothing(offline: Daemon, damage: str) -> None:
    store = _opened(offline.folder)
    for number in range(200):
        put(store, number, "queued")
    store.close()
    assert offline.command("backup", "copy").returncode == 0
    copy = offline.folder / "copy" / "relay.db"
    if damage == "missing":
        copy.unlink()
    elif damage == "empty":
        copy.write_bytes(b"")
    elif damage == "damaged":
        content = bytearray(copy.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 20_000] = os.urandom(20_000)
        copy.write_bytes(content)
    else:
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.execute("DELETE FROM installation WHERE name = 'oldest_schema'")
    before = (offline.folder / "var" / "relay.db").read_bytes()
    ran = restored(offline)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert (offline.folder / "var" / "relay.db").read_bytes() == before
    assert names(offline.folder / "var") == {"relay.db", "relay.lock"}


@pytest.mark.slow
def test_a_restore_while_another_command_reads_is_refused_and_changes_nothing(
    offline: Daemon,
) -> None:
    store = _opened(offline.folder)
    put(store, 1, "sent")
    path = offline.folder / "var" / "relay.db"
    with closing(backup.opened(path)) as reader:
        store.close()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        writer = _opened(offline.folder)
        put(writer, 2, "sent")
        writer.close()
        assert offline.command("backup", "copy").returncode == 0
        ran = restored(offline)
        assert (ran.returncode, "another command is reading it" in ran.stderr) == (2, True)
        reader.execute("ROLLBACK")
    assert list((offline.folder / "var").glob("before-restore-*")) == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (2,)


@pytest.mark.slow
def test_a_restore_asks_first(offline: Daemon) -> None:
    _opened(offline.folder).close()
    assert offline.command("backup", "copy").returncode == 0
    before = (offline.folder / "var" / "relay.db").stat().st_ino
    ran = offline.command("restore", "copy", stdin="")
    assert (ran.returncode, "nothing was changed" in ran.stderr) == (1, True)
    assert (offline.folder / "var" / "relay.db").stat().st_ino == before


@pytest.mark.slow
def test_a_backup_of_an_older_schema_is_brought_up_to_date(offline: Daemon) -> None:
    from alembic import command
    from alembic.config import Config

    from relay.store.engine.sqlite import _engine

    config = Config()
    config.set_main_option(
        "script_location", str(ROOT / "relay" / "store" / "engine" / "migrations")
    )
    copy = offline.folder / "copy"
    copy.mkdir()
    engine = _engine(copy / "relay.db", "BEGIN IMMEDIATE", ())
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql(
            "INSERT INTO messages (id, server, state, created_at, due_at, since, fence, attempts,"
            " tries, key) VALUES ('m', 'contactform', 'queued', 1, 1, 1, 0, 0, 0, '')"
        )
        connection.exec_driver_sql(
            "INSERT INTO contents (id, recipients, subject, document) VALUES ('m', '', 's', '{}')"
        )
    engine.dispose()
    ran = restored(offline)
    assert ran.returncode == 0, ran.stderr
    assert states(offline.folder / "var" / "relay.db") == {"s": "in_doubt"}
    assert names(offline.folder / "var") == {"relay.db", "relay.lock"}
