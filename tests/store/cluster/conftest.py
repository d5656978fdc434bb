"""Several daemons' stores on one PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from relay.store.engine.database import Store
from relay.store.schema import metadata

Open = Callable[[], Store]


@pytest.fixture
def another(postgresql_url: str, tmp_path: Path) -> Iterator[Open]:
    """Open a store of the database that all of the test's share."""
    with ExitStack() as closing:

        def opened() -> Store:
            store = Store(postgresql_url, tmp_path)
            store.open()
            closing.callback(store.close)
            return store

        yield opened
        names = ", ".join(table.name for table in metadata.sorted_tables)
        with opened()._writing.connect() as connection, connection.begin():
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
