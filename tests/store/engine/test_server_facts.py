"""Servers that no daemon can work with: each is one line that says what it is and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from relay.core.errors import ConfigurationError
from relay.store.engine import server_facts
from relay.store.engine.database import Store
from relay.store.engine.server_facts import Facts
from tests.support.killable_postgresql import PASSWORD, Server, running_server

# A server of its own, in each state.
pytestmark = pytest.mark.slow

GOOD = Facts(180000, "UTF8", False, False, "public", True, "on", True, True, 100, None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


def refusal(url: str, folder: Path) -> str:
    """Return the one line for which a store is not opened."""
    store = Store(url, folder)
    with pytest.raises(ConfigurationError) as caught:
        store.open()
    line = str(caught.value)
    assert "\n" not in line
    assert PASSWORD not in line
    assert "wrong-4711" not in line
    return line


@contextmanager
def ordered(server: Server, order: str, undo: str, database: str = "postgres") -> Iterator[None]:
    server.execute(order, database)
    try:
        yield
    finally:
        server.execute(undo, database)


def test_what_keeps_a_connection_from_being_made(server: Server, tmp_path: Path) -> None:
    gone = f"postgresql://relay:{PASSWORD}@127.0.0.1:1/relay"
    cases = {
        gone: ("Connection refused", "is the server running there"),
        "postgresql://relay:wrong-4711@nowhere.invalid/relay": ("resolve", "is the server running"),
        "postgresql:///relay?host=/nowhere": ("No such file", "is the server running"),
        server.url_of("relay", password="wrong-4711"): ("password authentication", "mend the user"),
        server.url_of("relay", user="nobody"): ("authentication failed", "mend the user"),
        f"postgresql://relay@127.0.0.1:{server.port}/relay": ("no password", "mend the user"),
        f"postgresql://relay@127.0.0.1:{server.port}/relay?password=wrong-4711": ("mend the user",),
        server.url_of("nope"): ('"nope" does not exist', "make the database"),
        f"{server.url}?sslmode=require": ("SSL", "mend sslmode"),
    }
    for url, words in cases.items():
        line = refusal(url, tmp_path)
        assert all(word in line for word in words), line


def test_what_a_database_must_allow(server: Server, tmp_path: Path) -> None:
    owner = "DATABASE relay OWNER TO"
    cases = [
        (
            "ALTER DATABASE relay SET default_transaction_read_only = on",
            "ALTER DATABASE relay RESET default_transaction_read_only",
            ("is read only", "default_transaction_read_only off"),
        ),
        (
            "ALTER ROLE relay SET search_path = nowhere",
            "ALTER ROLE relay RESET search_path",
            ("no schema of its search_path", "CREATE SCHEMA"),
        ),
        (
            f"ALTER {owner} postgres",
            f"ALTER {owner} relay",
            ("may not make tables in the schema public", "GRANT CREATE ON SCHEMA public"),
        ),
        (
            "ALTER ROLE relay CONNECTION LIMIT 1",
            "ALTER ROLE relay CONNECTION LIMIT -1",
            ("too many connections", "raise max_connections"),
        ),
        (
            "ALTER DATABASE relay ALLOW_CONNECTIONS false",
            "ALTER DATABASE relay ALLOW_CONNECTIONS true",
            ("not currently accepting connections", "start again"),
        ),
    ]
    for order, undo, words in cases:
        with ordered(server, order, undo):
            line = refusal(server.url, tmp_path)
        assert all(word in line for word in words), line


def test_tables_that_are_somebody_elses(server: Server, tmp_path: Path) -> None:
    store = Store(server.url, tmp_path)
    store.open()
    store.close()
    for order, undo in (
        ("ALTER TABLE messages OWNER TO postgres", "ALTER TABLE messages OWNER TO relay"),
        ("REVOKE DELETE ON leases FROM relay", "GRANT DELETE ON leases TO relay"),
    ):
        with ordered(server, order, undo, "relay"):
            assert "make it the tables' owner" in refusal(server.url, tmp_path)


def test_a_database_of_another_encoding(server: Server, tmp_path: Path) -> None:
    for encoding in ("LATIN1", "SQL_ASCII"):
        server.execute(
            f"CREATE DATABASE {encoding} OWNER relay TEMPLATE template0"
            f" ENCODING '{encoding}' LOCALE 'C'"
        )
        line = refusal(server.url_of(encoding.lower()), tmp_path)
        assert f"its encoding is {encoding}: make the database with ENCODING 'UTF8'" in line


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 130012}, "PostgreSQL 13 is too old: take 14 or a later one"),
        ({"version": 90624}, "PostgreSQL 9 is too old: take 14 or a later one"),
        ({"is_standby": True, "is_read_only": True}, "is a standby, which cannot be written"),
        ({"synchronous_commit": "off"}, "synchronous_commit is off again after it was set"),
        ({"synchronous_commit": "local"}, "synchronous_commit is local again after it was set"),
        ({"version": 140000}, None),
        ({"synchronous_commit": "remote_apply", "fsync": False}, None),
    ],
)
def test_what_a_server_must_be(changed: dict[str, object], said: str | None) -> None:
    found = server_facts.obstacle(GOOD._replace(**changed))
    assert (found is None) if said is None else (said in found)


@pytest.mark.parametrize(
    ("changed", "living", "said"),
    [
        ({}, 3, []),
        ({"fsync": False}, 0, ["fsync is off on the server"]),
        ({"full_page_writes": False}, 0, ["full_page_writes is off"]),
        ({"connections": 6}, 0, ["allows 6 connections; 1 daemons and their commands need 7"]),
        ({"connections": 20}, 2, ["allows 20 connections; 3 daemons and their commands need 21"]),
        ({"connections": 21}, 2, []),
    ],
)
def test_what_a_server_had_better_be(
    changed: dict[str, object], living: int, said: list[str]
) -> None:
    found = list(server_facts.warnings(GOOD._replace(**changed), living))
    assert len(found) == len(said)
    assert all(words in line for words, line in zip(said, found, strict=True))


def test_a_session_is_asked_for_what_it_is(server: Server, tmp_path: Path) -> None:
    store = Store(server.url, tmp_path)
    with store._writing.connect() as connection:
        facts = server_facts.ask(connection)
        assert facts._replace(version=180000) == GOOD._replace(connections=97)
        assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
    store.close()
