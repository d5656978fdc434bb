"""The store's tests run on both engines, but for those that are about SQLite's files and plans."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from relay.store.engine.database import Store
from relay.store.schema import metadata
from tests.support.postgresql import server_url


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with server_url() as url:
        yield url


# What `make test` runs on PostgreSQL, too; the rest is left to `make test-all`.
QUICK = ("test_database", "test_transitions")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" not in metafunc.fixturenames:
        return
    engines = [pytest.param("sqlite")]
    if not metafunc.definition.get_closest_marker("sqlite"):
        quick = metafunc.module.__name__.endswith(QUICK)
        engines.append(pytest.param("postgresql", marks=() if quick else pytest.mark.slow))
    metafunc.parametrize("engine", engines)


@pytest.fixture
def store(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An open store, without a site: once on SQLite, once on PostgreSQL."""
    if engine == "sqlite":
        yield request.getfixturevalue("sqlite_store")
        return
    store = Store(request.getfixturevalue("postgresql_url"), tmp_path)
    store.open()
    try:
        yield store
    finally:
        names = ", ".join(table.name for table in metadata.sorted_tables)
        with store._writing.connect() as connection, connection.begin():
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        store.close()
