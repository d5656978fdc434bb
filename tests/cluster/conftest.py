"""A PostgreSQL that several daemons share, and that may be killed."""

from collections.abc import Iterator

import pytest

from tests.cluster.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all; each test makes databases of its own in it."""
    with Server() as server:
        yield server
