"""Bringing the schema up to date: at start, in one transaction, after copying the database."""

import sqlite3
from contextlib import closing
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, func, select

from relay.store.engine.newer_schema import NewerSchema, copied_before, schema_of
from relay.store.schema import metadata

log = structlog.get_logger()


# Who migrates holds this lock of PostgreSQL's; a number that nobody else uses there.
LOCK = 0x52454C4159


def migrate(engine: Engine, where: str, path: Path | None) -> None:
    """Run the migrations that are missing; raise NewerSchema for a newer program's.

    where: what the database is called in an error. path: its file, which is copied before.
    """
    config, scripts = _scripts()
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        try:
            if current is not None:
                scripts.get_revision(current)
        except CommandError:
            copy = None if path is None else _copy_for(scripts, path)
            raise NewerSchema(where, str(current), copy) from None
        if current is not None and path is not None:
            _copy(path, copied_before(path, str(scripts.get_current_head())))
        config.attributes["connection"] = connection
        if current is None and path is None:
            # The first migrations are older than PostgreSQL is an engine.
            metadata.create_all(connection)
            command.stamp(config, "head")
        else:
            command.upgrade(config, "head")
        log.info("schema.migrated", before=current, after=scripts.get_current_head())


def newest_schema() -> str | None:
    """Return the revision of the schema that this program works with."""
    return _scripts()[1].get_current_head()


def _copy_for(scripts: ScriptDirectory, path: Path) -> Path | None:
    """Return the latest copy that a newer program made of a schema that this one works with."""
    known = {script.revision for script in scripts.walk_revisions()}
    copies = path.parent.glob(copied_before(path, "*").name)
    usable = [copy for copy in copies if schema_of(copy) in known]
    return max(usable, key=lambda copy: copy.stat().st_mtime, default=None)


def _scripts() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config, ScriptDirectory.from_config(config)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as copy:
        before.backup(copy)
