"""PostgreSQL: the same tables and statements, on a server of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, text
from sqlalchemy.exc import DBAPIError

from relay.core.errors import ConfigurationError
from relay.store.cluster.versions import CHANNEL
from relay.store.engine import server_facts
from relay.store.engine.connecting import Connector, make_engine
from relay.store.engine.failures import explained
from relay.store.engine.server_facts import Facts
from relay.store.schema import metadata

# A reader sees one moment, however many queries it asks, as it does in SQLite.
READING = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
}


class Postgresql:
    """A database on a server: `writing` and `reading` are its engines. Readers cannot write.

    The connections of a daemon are one to write, one for each of its `readers`, and one to hear of
    the others. What may take long has its own for as long as it takes: `long_writing`,
    `long_reading`.
    """

    path: Path | None = None
    readers = 4

    def __init__(self, url: URL) -> None:
        shown = url.difference_update_query(("password", "sslpassword"))
        self.where = shown.render_as_string(hide_password=True)
        connector = Connector()
        kept: dict[str, Any] = {"max_overflow": 0, "pool_timeout": 10}
        self.writing = make_engine(url, connector, {}, pool_size=1, **kept)
        self.reading = make_engine(url, connector, READING, pool_size=self.readers, **kept)
        long: dict[str, Any] = {"timed": False, "poolclass": NullPool}
        self.long_writing = make_engine(url, connector, {}, **long)
        self.long_reading = make_engine(url, connector, READING, **long)
        self._watching = make_engine(
            url, connector, {}, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )

    def open(self) -> None:
        """Bring the schema up to date; raise ConfigurationError for a server that will not do."""
        from relay.store.engine.migrate import migrate

        self.examine()
        migrate(self.long_writing, self.where, None)

    def examine(self) -> Facts:
        """Return what the server is; raise ConfigurationError for one that will not do."""
        try:
            with self.writing.connect() as first, self.reading.connect() as second:
                # First: behind such a pooler, what one session is set to holds for others.
                self._refuse(server_facts.pooler(first, second))
                facts = server_facts.ask(first)
                self._refuse(server_facts.obstacle(facts))
        except DBAPIError as error:
            raise ConfigurationError(f"{self.where}: {explained(error)}") from None
        return facts

    def _refuse(self, obstacle: str | None) -> None:
        if obstacle:
            raise ConfigurationError(f"{self.where}: {obstacle}")

    @contextmanager
    def watching(self) -> Iterator[Connection]:
        """Open a connection that commits every statement and hears of changes."""
        with self._watching.connect() as connection:
            connection.execute(text(f"LISTEN {CHANNEL}"))
            yield connection

    def wait_for_change(self, connection: Connection, seconds: float) -> bool:
        """Wait until a change is committed by anybody, or for so many seconds; return whether."""
        driver: Any = connection.connection.driver_connection
        return any(True for _ in driver.notifies(timeout=seconds, stop_after=1))

    def scrub(self, *, whole: bool) -> bool:
        """Let the server reuse the room of what was deleted; return False if it does not.

        It writes no file anew: meanwhile nobody could use the tables.
        """
        names = ", ".join([*(table.name for table in metadata.sorted_tables), "words"])
        try:
            with self.long_writing.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.execute(text(f"VACUUM {names}, words"))
        except DBAPIError:
            return False
        return True

    def finish(self) -> None:
        """Do nothing: the server keeps its own files."""

    def close(self) -> None:
        """Release the connections."""
        self.reading.dispose()
        self.writing.dispose()
