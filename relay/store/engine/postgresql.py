"""PostgreSQL: the same tables and statements, on a server of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text

from relay.core.errors import ConfigurationError
from relay.store.cluster.versions import CHANNEL

# The oldest server that is tested, as `server_version_num` says it.
OLDEST = 140000

# Of a group's transaction; and how long one may stand still between two statements.
STATEMENT_SECONDS = 30
IDLE_SECONDS = 60

# What every session is set to, whatever the server's own settings are: a commit is on the disk
# before it is answered.
SETTINGS = {
    "synchronous_commit": "on",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "timezone": "UTC",
}
# A reader sees one moment, however many queries it asks, as it does in SQLite.
READING = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
}


class Postgresql:
    """A database on a server: `writing` and `reading` are its engines. Readers cannot write."""

    path: Path | None = None

    def __init__(self, url: URL) -> None:
        self.where = url.render_as_string(hide_password=True)
        self.writing = _engine(url, SETTINGS)
        self.reading = _engine(url, SETTINGS | READING)
        self._watching = _engine(url, SETTINGS, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def open(self) -> None:
        """Bring the schema up to date; raise ConfigurationError for a server that is too old."""
        from relay.store.engine.migrate import migrate

        with self.writing.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
            if version < OLDEST:
                words = f"PostgreSQL {version // 10000} is too old; {OLDEST // 10000} is needed"
                raise ConfigurationError(f"{self.where}: {words}")
        migrate(self.writing, self.where, None)

    @contextmanager
    def watching(self) -> Iterator[Connection]:
        """Open a connection that commits every statement and hears of changes."""
        with self._watching.connect() as connection:
            connection.execute(text(f"LISTEN {CHANNEL}"))
            yield connection

    def wait_for_change(self, connection: Connection, seconds: float) -> None:
        """Wait until a change is committed by anybody, or for so many seconds."""
        driver: Any = connection.connection.driver_connection
        for _ in driver.notifies(timeout=seconds, stop_after=1):
            pass

    def finish(self) -> None:
        """Do nothing: the server keeps its own files."""

    def close(self) -> None:
        """Release the connections."""
        self.reading.dispose()
        self.writing.dispose()


def _engine(url: URL, settings: dict[str, str], **options: Any) -> Engine:
    engine = create_engine(url.set(drivername="postgresql+psycopg"), **options)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute(f"SET SESSION {name} = '{value}'")
        connection.commit()

    return engine
