"""Tests that run on both engines: quickly on SQLite, and once more on PostgreSQL."""

from collections.abc import Collection

import pytest
from sqlalchemy import text

from relay.store.schema import metadata
from tests.support.postgresql import engine_of


def both(metafunc: pytest.Metafunc, quick: Collection[str] = ()) -> None:
    """Run a test that opens a store on each engine, unless it is marked as one engine's.

    quick: names of modules that `make test` runs on PostgreSQL, too; the rest is left to
    `make test-all`.
    """
    if "engine" not in metafunc.fixturenames:
        return
    engines = []
    if not metafunc.definition.get_closest_marker("postgresql"):
        engines.append(pytest.param("sqlite"))
    if not metafunc.definition.get_closest_marker("sqlite"):
        is_quick = metafunc.module.__name__.rpartition(".")[2] in quick
        engines.append(pytest.param("postgresql", marks=() if is_quick else pytest.mark.slow))
    metafunc.parametrize("engine", engines)


def empty(url: str) -> None:
    """Empty all tables of a database that has some."""
    engine = engine_of(url)
    names = ", ".join(table.name for table in metadata.sorted_tables)
    with engine.connect() as connection, connection.begin():
        if connection.execute(text("SELECT to_regclass('messages')")).scalar() is not None:
            connection.execute(text(f"TRUNCATE {names}, words RESTART IDENTITY"))
    engine.dispose()
