"""Migrations on a server: the same tables in the end, under one lock, and who may run with them."""

import shutil
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from relay.store.engine import migrate as migrations
from relay.store.engine.database import Store
from relay.store.engine.migrate import migrate, newest_schema
from relay.store.engine.newer_schema import NewerSchema
from tests.support import postgresql
from tests.support.postgresql import new_database
from tests.support.stored import put, row

SCHEMA_0007 = Path(__file__).with_name("schema_0007.sql")

Write = Callable[..., None]


@pytest.fixture
def url(postgresql_url: str) -> str:
    return new_database(postgresql_url, "migrated")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each engine."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("url"))
    return f"sqlite:///{tmp_path}/relay.db"


@pytest.fixture
def engine_of(url: str) -> Iterator[Callable[[str], Engine]]:
    """Open a database by its URL, for the time of a test."""
    engines = []

    def open_engine(url: str) -> Engine:
        engines.append(postgresql.engine_of(url))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.dispose()


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a migration after the newest, for the program that a test says is newer."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent / "migrations", folder)
    newest = newest_schema()
    known = migrations._scripts

    def newer() -> Any:
        config, _ = known()
        config.set_main_option("script_location", str(folder))
        return config, ScriptDirectory.from_config(config)

    def write(body: str, oldest: str | None = None) -> None:
        lines = ["import sqlalchemy as sa", "from alembic import op"]
        lines += ["from relay.store.engine.migrations.indexes import create_index"]
        lines += ['revision = "9000"', f"down_revision = {newest!r}"]
        lines += [f"oldest = {oldest!r}"] if oldest else []
        lines += ["def upgrade():", textwrap.indent(textwrap.dedent(body), "    ")]
        (folder / "versions" / "9000_next.py").write_text("\n".join(lines))
        monkeypatch.setattr(migrations, "_scripts", newer)

    def older() -> None:
        monkeypatch.setattr(migrations, "_scripts", known)

    write.older = older  # type: ignore[attr-defined]
    return write


def schema_of(engine: Engine) -> dict[str, Any]:
    """Everything about the tables, but for the order of their columns."""
    seen = inspect(engine)
    with engine.connect() as connection:
        options = dict(
            connection.execute(
                text("SELECT relname, reloptions FROM pg_class WHERE relkind IN ('r', 'i')")
            ).all()
        )
        indexes = connection.execute(
            text("SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname='public'")
        ).all()
    tables = {}
    for name in seen.get_table_names():
        tables[name] = {
            "columns": {
                one["name"]: {key: str(value) for key, value in one.items()}
                | {"collation": getattr(one["type"], "collation", None)}
                for one in seen.get_columns(name)
            },
            "key": seen.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(
                tuple(one["column_names"]) for one in seen.get_unique_constraints(name)
            ),
            "indexes": {one.indexname: one.indexdef for one in indexes if one.tablename == name},
            "options": sorted(options.get(name) or []),
        }
    return tables


@pytest.mark.slow
def test_what_is_migrated_from_0007_is_what_is_made_anew(
    url: str, engine_of: Callable[[str], Engine]
) -> None:
    old, new = engine_of(url), engine_of(new_database(url, "made_anew"))
    with old.begin() as connection:
        connection.exec_driver_sql(SCHEMA_0007.read_text(encoding="utf-8"))
    for engine in (old, new):
        migrate(engine, "the database", None)
    assert schema_of(old) == schema_of(new)
    assert "messages" in schema_of(old)


COLUMN = 'op.add_column("messages", sa.Column("colour", sa.String(10), server_default=""))'
INDEX = 'create_index("messages_by_key", "messages", ["key"])'


def test_an_older_program_opens_what_the_migrations_let_it(
    place: str, tmp_path: Path, next_migration: Any
) -> None:
    opened(place, tmp_path).close()
    next_migration(COLUMN, oldest=newest_schema())
    store = opened(place, tmp_path)
    id = put(store, 1, "queued")
    store.close()
    next_migration.older()
    store = opened(place, tmp_path)
    assert row(store, id)["colour"] == ""
    put(store, 2, "queued")
    store.close()


@pytest.mark.parametrize("oldest", [None, "9000"])
def test_an_older_program_is_refused_in_one_line_otherwise(
    place: str, oldest: str | None, tmp_path: Path, next_migration: Any
) -> None:
    opened(place, tmp_path).close()
    next_migration(COLUMN, oldest=oldest)
    opened(place, tmp_path).close()
    next_migration.older()
    with pytest.raises(NewerSchema, match=r"its schema \(9000\) is newer than this program"):
        opened(place, tmp_path)


def opened(url: str, data: Path) -> Store:
    store = Store(url, data)
    store.open()
    return store


def test_a_large_index_is_made_by_a_migration(
    place: str, tmp_path: Path, next_migration: Any
) -> None:
    opened(place, tmp_path).close()
    next_migration(INDEX, oldest=newest_schema())
    store = opened(place, tmp_path)
    with store._writing.connect() as connection:
        names = {one["name"] for one in inspect(connection).get_indexes("messages")}
    assert "messages_by_key" in names
    store.close()


def test_an_index_is_made_while_others_write_and_wait_to_migrate(
    url: str, tmp_path: Path, engine_of: Callable[[str], Engine], next_migration: Any
) -> None:
    """Whoever waits for the lock of migrations is no transaction that the index waits for."""
    opened(url, tmp_path).close()
    next_migration(INDEX, oldest=newest_schema())
    with ThreadPoolExecutor(3) as daemons, engine_of(url).connect() as writer:
        # The index waits for this transaction, and lets others write.
        writer.execute(text("INSERT INTO paused VALUES ('a', 1)"))
        writer.execute(text("UPDATE messages SET words = 'a'"))
        started = [daemons.submit(migrate, engine_of(url), "", None) for _ in range(3)]
        with engine_of(url).connect() as other:
            other.execute(text("SET lock_timeout = '5s'"))
            other.execute(text("UPDATE messages SET words = 'b'"))
            other.commit()
        writer.commit()
        assert [one.result(timeout=40) for one in started] == [None] * 3
    with engine_of(url).connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'messages_by_key'::regclass"
        assert connection.execute(text(valid)).scalar_one()


def test_a_migration_that_fails_leaves_what_was_there(
    url: str, tmp_path: Path, next_migration: Any
) -> None:
    opened(url, tmp_path).close()
    next_migration(COLUMN + '\nop.execute("SELECT no_such_function()")', oldest=newest_schema())
    with pytest.raises(Exception, match="no_such_function"):
        opened(url, tmp_path)
    next_migration.older()
    store = opened(url, tmp_path)
    put(store, 1, "queued")
    assert "colour" not in row(store, put(store, 2, "queued"))
    store.close()
