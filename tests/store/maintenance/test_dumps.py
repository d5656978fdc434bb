"""What a server's own tools put back is known; it is served when what waited is in doubt."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from relay.core.errors import ConfigurationError
from relay.store.cluster import daemons
from relay.store.cluster.daemons import Registration
from relay.store.engine.database import Store
from relay.store.schema import metadata
from tests.support.daemon import SHIPPED, Daemon
from tests.support.postgresql import engine_of, new_database, tool
from tests.support.stored import happened, put, row, rows

KEYS = """
[keys.application]
secret = { env = "APPLICATION" }
servers = ["*"]
"""


@pytest.fixture
def url(postgresql_url: str) -> str:
    return new_database(postgresql_url, "city").replace(":@", "@")


@pytest.fixture
def installation(offline: Daemon, url: str) -> Daemon:
    """Settings of several daemons, for commands and for one of them."""
    shared = SHIPPED.replace("[relay]\n", '[relay]\nsecret = { env = "SECRET" }\n', 1)
    offline.settings.write_text(shared + KEYS)
    offline.environment |= {"RELAY_DATABASE": url, "SECRET": "s" * 40, "APPLICATION": "k" * 40}
    return offline


def opened(url: str, folder: Path) -> Store:
    store = Store(url, folder)
    store.open()
    return store


def run(name: str, *arguments: str) -> None:
    """Run a program of the server's."""
    ran = subprocess.run([tool(name), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def dumped(url: str, folder: Path, *options: str) -> Path:
    path = folder / "relay.dump"
    run("pg_dump", "-Fc", "-f", str(path), *options, url)
    return path


def execute(url: str, *statements: str) -> None:
    engine = engine_of(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def into_a_new_database(url: str, folder: Path) -> str:
    dump = dumped(url, folder)
    new = new_database(url, "again").replace(":@", "@")
    run("pg_restore", "-d", new, str(dump))
    return new


def in_its_own_place(url: str, folder: Path) -> str:
    dump = dumped(url, folder)
    run("pg_restore", "--clean", "-d", url, str(dump))
    return url


def the_rows_alone(url: str, folder: Path) -> str:
    dump = dumped(url, folder)
    execute(url, f"TRUNCATE alembic_version, {', '.join(metadata.tables)}")
    run("pg_restore", "--data-only", "-d", url, str(dump))
    return url


def as_statements(url: str, folder: Path) -> str:
    path = folder / "relay.sql"
    run("pg_dump", "--inserts", "-f", str(path), url)
    new = new_database(url, "again").replace(":@", "@")
    run("psql", "-q", "-d", new, "-f", str(path))
    return new


def as_a_copy(url: str, folder: Path) -> str:
    new = make_url(url).set(database="again").render_as_string(hide_password=False)
    elsewhere = make_url(url).set(database="postgres").render_as_string(hide_password=False)
    execute(elsewhere, "DROP DATABASE IF EXISTS again", "CREATE DATABASE again TEMPLATE city")
    return new.replace(":@", "@")


WAYS = [into_a_new_database, in_its_own_place, the_rows_alone, as_statements, as_a_copy]


@pytest.mark.slow
@pytest.mark.parametrize("put_back", WAYS)
def test_what_was_put_back_is_not_served_before_what_waited_is_in_doubt(
    installation: Daemon, url: str, tmp_path: Path, put_back: Callable[[str, Path], str]
) -> None:
    store = opened(url, tmp_path)
    waits, sent = put(store, 1, "queued"), put(store, 2, "sent", tried=[("sent", 1.0)])
    store.close()
    again = put_back(url, tmp_path)
    installation.environment["RELAY_DATABASE"] = again
    for command in (["serve"], ["pause", "default"]):
        ran = installation.command(*command)
        assert (ran.returncode, "`run.py restore --check`" in ran.stderr) == (2, True), ran.stderr
    ran = installation.command("restore", "--check", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "1 message that waited: in doubt" in ran.stdout
    assert ran.stdout.endswith("audited: in balance\n")
    store = opened(again, tmp_path)
    assert (row(store, waits)["state"], row(store, sent)["state"]) == ("in_doubt", "sent")
    assert [kind for kind, _ in happened(store, waits)] == ["restored"]
    put(store, 3, "queued")
    store.close()
    ran = installation.command("restore", "--check", "--yes")
    assert (ran.returncode, "nothing shows" in ran.stderr) == (1, True), ran.stderr
    ran = installation.command("restore", "--check", "--yes", "--force")
    assert (ran.returncode, "2 messages that waited" in ran.stdout) == (0, True), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "upkeep",
    ["VACUUM FULL", "VACUUM FREEZE", "REINDEX DATABASE city", "ANALYZE", "CHECKPOINT"],
)
def test_upkeep_is_not_taken_for_a_dump(url: str, tmp_path: Path, upkeep: str) -> None:
    opened(url, tmp_path).close()
    execute(url, upkeep)
    opened(url, tmp_path).close()


@pytest.mark.slow
def test_daemons_of_the_time_of_the_dump_are_gone(
    installation: Daemon, url: str, tmp_path: Path
) -> None:
    store = opened(url, tmp_path)
    new = Registration("web1", 1, "1", "")
    [number] = store.write_now(lambda c, b: [daemons.join(c, new)], [None])
    put(store, 1, "sending", daemon=number)
    store.close()
    installation.environment["RELAY_DATABASE"] = again = into_a_new_database(url, tmp_path)
    ran = installation.command("restore", "--check", "--yes")
    assert (ran.returncode, "daemon 1 on web1 was heard of" in ran.stderr) == (2, True), ran.stderr
    execute(again, "UPDATE daemons SET heartbeat_at = heartbeat_at - 60")
    ran = installation.command("restore", "--check", "--yes")
    assert (ran.returncode, "1 message that waited" in ran.stdout) == (0, True), ran.stderr
    store = opened(again, tmp_path)
    assert rows(store, "SELECT * FROM daemons") == []
    store.close()


@pytest.mark.slow
def test_files_are_put_back_otherwise(offline: Daemon) -> None:
    ran = offline.command("restore", "--check")
    assert (ran.returncode, "a file is put back by `restore PATH`" in ran.stderr) == (2, True)


@pytest.mark.slow
def test_commands_say_by_what_a_server_is_copied_and_put_back(installation: Daemon) -> None:
    for command in (["backup", "copy"], ["restore", "copy", "--yes"]):
        ran = installation.command(*command)
        assert ran.returncode == 2
        assert "`run.py restore --check`" in ran.stderr
        assert "pg_" in ran.stderr


def test_a_database_that_was_put_back_is_refused_in_one_line(url: str, tmp_path: Path) -> None:
    opened(url, tmp_path).close()
    execute(url, "UPDATE installation SET value = value WHERE name = 'origin'")
    with pytest.raises(ConfigurationError, match="was put back from a dump"):
        opened(url, tmp_path)
