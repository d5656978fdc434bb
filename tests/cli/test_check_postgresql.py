"""`run.py check` with a database on a server; a server that is away is one line of any command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.store.engine.database import Store
from tests.support.daemon import WITHOUT_REGISTRY, Daemon
from tests.support.killable_postgresql import PASSWORD, Server, running_server

pytestmark = pytest.mark.slow

SECRETS = {"RELAY_SECRET": "s" * 40, "KEY": "k" * 40, "PASSWORD": PASSWORD}
KEYS = '\n[keys.website]\nsecret = { env = "KEY" }\n'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


def on(server: Server, folder: Path) -> Daemon:
    url = server.url.replace(f":{PASSWORD}", "")
    own = (
        f'database = "{url}"\ndatabase_password = {{ env = "PASSWORD" }}\n'
        'secret = { env = "RELAY_SECRET" }\n'
    )
    settings = WITHOUT_REGISTRY.replace("[relay]\n", f"[relay]\n{own}", 1) + KEYS
    return Daemon(folder, settings, SECRETS)


def notes(daemon: Daemon) -> list[str]:
    """Return what `check` says of the database."""
    found = daemon.command("check")
    assert found.returncode == 0, found.stderr
    words = ("server", "schema", "fsync", "LISTEN", "clock")
    lines = [line.removeprefix("before production: ") for line in found.stdout.splitlines()[1:]]
    return [line for line in lines if line.split("[")[0] and any(one in line for one in words)]


def test_check_asks_the_server(server: Server, tmp_path: Path) -> None:
    daemon = on(server, tmp_path)
    assert notes(daemon) == []  # no tables yet: the daemon makes them
    store = Store(server.url, tmp_path)
    store.open()
    store.close()
    assert notes(daemon) == []
    server.stop()
    server.start("fsync=off", "full_page_writes=off", "max_connections=9")
    assert notes(daemon) == [
        "fsync is off on the server: when its machine fails, mail that was taken is lost",
        "full_page_writes is off on the server: when its machine fails, tables may break",
        "the server allows 6 connections; 1 daemons and their commands need 7",
    ]
    [[head]] = server.execute("SELECT version_num FROM alembic_version", "relay")
    server.execute("UPDATE alembic_version SET version_num = '0001'", "relay")
    assert notes(daemon)[-1].startswith(f"the database's schema is 0001, this program's {head}")
    set_back = f"UPDATE alembic_version SET version_num = '{head}'"  # noqa: S608
    server.execute(set_back, "relay")
    server.stop()
    server.start()


@pytest.mark.parametrize(
    "command",
    [
        *(["serve"], ["check"], ["queue"], ["queue", "show", "x"], ["audit"], ["mailbox"]),
        *(["pause", "contactform"], ["resume", "contactform"], ["screened"], ["find", "x"]),
    ],
    ids=" ".join,
)
def test_a_server_that_is_away_is_one_line(
    server: Server, tmp_path: Path, command: list[str]
) -> None:
    daemon = on(server, tmp_path)
    if server.is_running():
        server.kill()
    found = daemon.command(*command)
    assert found.returncode == 2
    [line] = found.stderr.splitlines()
    assert "is the server running there, and can it be reached from here?" in line
    assert PASSWORD not in line + found.stdout
