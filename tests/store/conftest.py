"""The store's tests run on both engines, but for those that are about SQLite's files and plans."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.store.engine.database import Store
from tests.support.engines import both, empty


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both(metafunc, quick=("test_database",))


@pytest.fixture
def store(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An open store, without a site: once on SQLite, once on PostgreSQL."""
    if engine == "sqlite":
        yield request.getfixturevalue("sqlite_store")
        return
    url = request.getfixturevalue("postgresql_url")
    store = Store(url, tmp_path)
    store.open()
    try:
        yield store
    finally:
        store.close()
        empty(url)
