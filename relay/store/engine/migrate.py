"""Bringing the schema up to date, at start: that of a file in one transaction, after copying it.

On a server daemons of the version before go on meanwhile, and afterwards. So every migration says
of which schema the oldest program may be that runs with it, as `oldest`; without a word it is the
migration's own.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select, text

from relay.store import values
from relay.store.engine.newer_schema import NewerSchema, copied_before, schema_of
from relay.store.schema import WORDS_ON_POSTGRESQL, metadata

log = structlog.get_logger()


# Who migrates holds this lock of PostgreSQL's; a number that nobody else uses there.
LOCK = 0x52454C4159
LOCK_PAUSE_SECONDS = 0.2
# How long a migration waits for a table: whoever comes after it waits, too.
TABLE_SECONDS = 10

# The name in `installation` of the oldest schema whose program may run with the database's.
OLDEST_SCHEMA = "oldest_schema"


def migrate(engine: Engine, where: str, path: Path | None) -> None:
    """Run the migrations that are missing; raise NewerSchema for a newer program's.

    where: what the database is called in an error. path: its file, which is copied before.
    """
    config, scripts = _scripts()
    with _alone(engine) if path is None else engine.begin() as connection:
        current, head = current_schema(connection), str(scripts.get_current_head())
        if current == head:
            return
        if current is not None and not _is_known(scripts, current):
            if _is_known(scripts, _oldest_of(connection)):
                log.info("schema.newer", schema=current)
                return
            raise NewerSchema(where, current, None if path is None else _copy_for(scripts, path))
        config.attributes["connection"] = connection
        if path is None:
            _migrate_server(connection, config, scripts, is_new=current is None)
        else:
            if current is not None:
                _copy(path, copied_before(path, head))
            command.upgrade(config, "head")
            _note_oldest(connection, scripts)
        log.info("schema.migrated", before=current, after=head)


def newest_schema() -> str | None:
    """Return the revision of the schema that this program works with."""
    return _scripts()[1].get_current_head()


def oldest_schema(scripts: ScriptDirectory) -> str:
    """Return the schema of the oldest program that runs with the newest one.

    scripts: the migrations, of which each says what it asks for.
    """
    newest_first = list(scripts.walk_revisions())
    names = [script.revision for script in newest_first]
    asked = [getattr(script.module, "oldest", script.revision) for script in newest_first]
    return str(min(asked, key=names.index))


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """Open a connection to a server for whoever migrates, once nobody else does.

    The lock is another connection's, outside of any transaction: who waits for it by asking again
    holds up no index that is made concurrently.
    """
    with engine.connect() as locking, engine.connect() as connection:
        locking.execution_options(isolation_level="AUTOCOMMIT")
        while not locking.execute(select(func.pg_try_advisory_lock(LOCK))).scalar_one():
            time.sleep(LOCK_PAUSE_SECONDS)
        connection.execute(text(f"SET lock_timeout = '{TABLE_SECONDS}s'"))
        connection.commit()
        try:
            yield connection
        finally:
            locking.execute(select(func.pg_advisory_unlock(LOCK)))


def _migrate_server(
    connection: Connection, config: Config, scripts: ScriptDirectory, *, is_new: bool
) -> None:
    """Run the migrations, each in a transaction of its own; make all tables of a new database.

    Programs that are too old are kept out before: the first migrations may be all that is done.
    """
    connection.rollback()  # what was read until here began a transaction
    with connection.begin():
        if is_new:  # the first migrations are older than PostgreSQL is an engine
            metadata.create_all(connection)
            for statement in WORDS_ON_POSTGRESQL:
                connection.exec_driver_sql(statement)
            command.stamp(config, "head")
        _note_oldest(connection, scripts)
    command.upgrade(config, "head")


def current_schema(connection: Connection) -> str | None:
    """Return the schema of a database; None of an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def _oldest_of(connection: Connection) -> str | None:
    """Return the schema of the oldest program that runs with a database, as it says."""
    return values.find(connection, OLDEST_SCHEMA)


def _note_oldest(connection: Connection, scripts: ScriptDirectory) -> None:
    values.put(connection, OLDEST_SCHEMA, oldest_schema(scripts))


def _is_known(scripts: ScriptDirectory, revision: str | None) -> bool:
    return revision in {script.revision for script in scripts.walk_revisions()}


def _copy_for(scripts: ScriptDirectory, path: Path) -> Path | None:
    """Return the latest copy that a newer program made of a schema that this one works with."""
    copies = path.parent.glob(copied_before(path, "*").name)
    usable = [copy for copy in copies if _is_known(scripts, schema_of(copy))]
    return max(usable, key=lambda copy: copy.stat().st_mtime, default=None)


def _scripts() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config, ScriptDirectory.from_config(config)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as copy:
        before.backup(copy)
