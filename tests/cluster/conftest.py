"""A PostgreSQL that several daemons share, and that may be killed."""

from collections.abc import Iterator

import pytest

from tests.support.killable_postgresql import Server, running_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all; each test makes a database of its own in it."""
    with running_server() as server:
        # Processes die here, and no machine.
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        yield server
