"""The database of an installation, whichever engine it is: what is written to it and read of it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Connection, func, make_url, select
from sqlalchemy.exc import DBAPIError

from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.store.cluster.daemons import Identity
from relay.store.engine import served
from relay.store.engine.failures import OutageLog, advice, explained, words
from relay.store.engine.postgresql import Postgresql
from relay.store.engine.sqlite import Sqlite
from relay.store.engine.writer import Writer, apart, unavailable

# `Connection` is what queries and operations run on. Outside the store it is only handed on.
__all__ = ["Connection", "Store", "StoreUnreadable", "nothing"]

Argument = TypeVar("Argument")
T = TypeVar("T")
Arguments = ParamSpec("Arguments")


class StoreUnreadable(Exception):
    """The database cannot be read, in its own words; `hint` is what may help."""

    def __init__(self, words: str, hint: str) -> None:
        super().__init__(words)
        self.hint = hint


class Store:
    """The database of one installation.

    url: `sqlite:///path` or `postgresql://user@host/name`. data: the folder of the installation.
    `open` takes the lock and migrates; `write` and `read` are for the event loop, `read_now` for
    commands. Readers cannot write: their connections refuse it. `identity` has the number of this
    daemon once it has joined those that share the database.
    """

    def __init__(self, url: Secret | str, data: Path) -> None:
        where = make_url(url if isinstance(url, str) else url.reveal())
        self._engine: Sqlite | Postgresql
        if where.get_backend_name() == "postgresql":
            self._engine = Postgresql(where)
        else:
            self._engine = Sqlite(Path(where.database or ""), data)
        self._writing, self._reading = self._engine.writing, self._engine.reading
        self.identity = Identity()
        self._long_writing = self._engine.long_writing
        self._long_reading = self._engine.long_reading
        for engine in {self._writing, self._reading, self._long_writing, self._long_reading}:
            engine.update_execution_options(identity=self.identity)
        self._writer = Writer(self._writing)
        self._readers = ThreadPoolExecutor(self._engine.readers, "reader")
        self._outage = OutageLog("reading")

    def open(self, *, to_serve: bool = True) -> None:
        """Bring the schema up to date, start writing.

        Raise ConfigurationError if another daemon has the lock, the schema is a newer one, or what
        is to be served may not be.
        """
        try:
            self._engine.open()
            if to_serve:
                self.write_now(served.check, [self.where])
        except BaseException as error:
            self._engine.close()
            if isinstance(error, DBAPIError):
                raise ConfigurationError(f"{self.where}: {explained(error)}") from None
            raise
        self._writer.start()

    def close(self) -> None:
        """Write what waits, end the reading, release the database."""
        self._writer.stop()
        self._readers.shutdown()
        self._engine.finish()
        self._engine.close()

    @property
    def path(self) -> Path | None:
        """The database's file; None of one on a server."""
        return self._engine.path

    @property
    def where(self) -> str:
        """The database's file, or its URL without the password."""
        return self._engine.where

    @property
    def shared(self) -> Postgresql | None:
        """The server, where other daemons may use this database at the same time."""
        return self._engine if isinstance(self._engine, Postgresql) else None

    @property
    def is_missing(self) -> bool:
        """Whether it is a file that is not there yet."""
        return self.path is not None and not self.path.exists()

    @property
    def is_broken(self) -> bool:
        """Whether the disk failed to say what it holds: nothing is written any more."""
        return self._writer.is_broken

    def when_broken(self, call: Callable[[], None]) -> None:
        """Call on the event loop when the disk has failed so."""
        self._writer.when_broken = call

    def when_committed(self, call: Callable[[int, float], None]) -> None:
        """Call in the writer's thread after each commit: its units of work and its seconds."""
        self._writer.when_committed = call

    @property
    def stalled(self) -> float:
        """The seconds for which the writer has been busy with its present transaction."""
        return self._writer.stalled

    def write(
        self,
        operation: Callable[[Connection, Sequence[Argument]], Sequence[T | Exception]],
        argument: Argument,
    ) -> asyncio.Future[T]:
        """Run an operation on one argument, in one commit with whatever else waits."""
        return self._writer.submit(operation, argument)

    def write_now(
        self,
        operation: Callable[[Connection, Sequence[Argument]], Sequence[T]],
        batch: Sequence[Argument],
    ) -> Sequence[T]:
        """Run an operation in this thread: at start, and for commands while no daemon runs."""
        with self._long_writing.connect() as connection, connection.begin():
            return operation(connection, batch)

    async def scrub(self, *, whole: bool = False) -> bool:
        """Leave nothing in the database's files that was deleted, as far as that can be done.

        Return False where it is to be tried again. whole: write a file anew, too.
        """
        scrub = partial(self._engine.scrub, whole=whole)
        if self.shared is not None:
            return await asyncio.to_thread(scrub)
        done: bool = await self._writer.submit(apart, scrub)
        return done

    def scrub_now(self, *, whole: bool = False) -> bool:
        """Do the same in this thread."""
        return self._engine.scrub(whole=whole)

    async def read(
        self,
        query: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        """Run a query in a reader's thread; raise Unavailable if the database cannot be read."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._read(query, *args, **kwargs))

    def read_now(
        self,
        query: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        """Run a query in this thread; raise StoreUnreadable if the database cannot be read."""
        try:
            with self._long_reading.connect() as connection:
                return query(connection, *args, **kwargs)
        except DBAPIError as error:
            raise StoreUnreadable(words(error.orig), _hint(error)) from error.orig

    def _read(
        self,
        query: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        """Run a query on a reader's connection: once more on a new one, if that was lost."""
        for is_last in (False, True):
            try:
                with self._reading.connect() as connection:
                    result = query(connection, *args, **kwargs)
            except DBAPIError as error:
                if is_last or not error.connection_invalidated:
                    self._outage.failed(error.orig)
                    raise unavailable(error.orig) from error.orig
            else:
                self._outage.worked()
                return result
        raise AssertionError


def _hint(error: DBAPIError) -> str:
    """Return what may help against an error of a query, or of the connection that it needs."""
    if isinstance(error.orig, psycopg.Error) and error.statement is None:
        return advice(error)
    return "an older database is brought up to date when the daemon starts"


def nothing(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
    """Take part in a commit, which needs a store that can be written, and change nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_current_xact_id()))
    return batch
