"""Opening the database: its lock, its migrations, its connections."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from relay.core.errors import ConfigurationError
from relay.store.engine.writer import Writer, unavailable

# `Connection` is what queries and operations run on. Outside the store it is only handed on.
__all__ = ["Connection", "Store", "StoreUnreadable", "nothing"]

Argument = TypeVar("Argument")
T = TypeVar("T")
Arguments = ParamSpec("Arguments")

# SQLite before this can corrupt its log when two connections write or checkpoint at once. Here
# one connection does both, and readers do neither.
SAFE_SQLITE = (3, 51, 3)

# How long another process may hold the database: then what was to be stored is refused.
LOCKED_MILLISECONDS = 2000

log = structlog.get_logger()


class StoreUnreadable(Exception):
    """The database cannot be read, in its own words."""


class Store:
    """The database of one installation.

    `open` takes the lock and migrates; `write` and `read` are for the event loop, `read_now` for
    commands. Readers cannot write: their connections refuse it.
    """

    def __init__(self, url: str, data: Path) -> None:
        self.path = Path(url.removeprefix("sqlite:///"))
        self._data = data
        self._lock: IO[str] | None = None
        # What is cleared is to be gone from the file, whatever SQLite was built with.
        writing = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
        self._writing = _engine(url, "BEGIN IMMEDIATE", writing)
        self._reading = _engine(url, "BEGIN", ("query_only=ON", "wal_autocheckpoint=0"))
        self._writer = Writer(self._writing)
        self._readers = ThreadPoolExecutor(2, "reader")

    def open(self) -> None:
        """Take the lock, bring the schema up to date, start writing.

        Raise ConfigurationError if another daemon has the lock or the schema is a newer one.
        """
        self._lock = take_lock(self._data)
        try:
            from relay.store.engine.migrate import migrate

            migrate(self._writing, self.path)
        except BaseException as error:
            self._give_up()
            if isinstance(error, DBAPIError):
                raise ConfigurationError(f"{self.path}: {error.orig}") from None
            raise
        if sqlite3.sqlite_version_info < SAFE_SQLITE:
            log.info("sqlite.old", version=sqlite3.sqlite_version, safe="one writing connection")
        self._writer.start()

    def close(self) -> None:
        """Write what waits, empty the log into the database, release the lock."""
        self._writer.stop()
        self._readers.shutdown()
        self._reading.dispose()
        # Not through a Connection: that would begin a transaction, in which nothing is emptied.
        with closing(self._writing.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._give_up()

    def _give_up(self) -> None:
        self._writing.dispose()
        if self._lock is not None:
            self._lock.close()

    @property
    def is_broken(self) -> bool:
        """Whether the disk failed to say what it holds: nothing is written any more."""
        return self._writer.is_broken

    def when_broken(self, call: Callable[[], None]) -> None:
        """Call on the event loop when the disk has failed so."""
        self._writer.when_broken = call

    @property
    def stalled(self) -> float:
        """The seconds for which the writer has been busy with its present transaction."""
        return self._writer.stalled

    async def write(
        self,
        operation: Callable[[Connection, Sequence[Argument]], Sequence[T | Exception]],
        argument: Argument,
    ) -> T:
        """Run an operation on one argument, in one commit with whatever else waits."""
        result: T = await self._writer.submit(operation, argument)
        return result

    def write_now(
        self,
        operation: Callable[[Connection, Sequence[Argument]], Sequence[T]],
        batch: Sequence[Argument],
    ) -> Sequence[T]:
        """Run an operation in this thread: at start, and for commands while no daemon runs."""
        with self._writing.connect() as connection, connection.begin():
            return operation(connection, batch)

    async def read(
        self,
        query: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        """Run a query in a reader's thread; raise Unavailable if the database cannot be read."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._readers, lambda: self.read_now(query, *args, **kwargs)
            )
        except StoreUnreadable as error:
            raise unavailable(error.__cause__) from error.__cause__

    def read_now(
        self,
        query: Callable[Concatenate[Connection, Arguments], T],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> T:
        """Run a query in this thread; raise StoreUnreadable if the database cannot be read."""
        try:
            with self._reading.connect() as connection:
                return query(connection, *args, **kwargs)
        except DBAPIError as error:
            raise StoreUnreadable(str(error.orig)) from error.orig


def nothing(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
    """Take part in a commit, which needs the store's write lock, and change nothing."""
    return batch


def _engine(url: str, begin: str, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in (f"busy_timeout={LOCKED_MILLISECONDS}", "foreign_keys=ON", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def take_lock(data: Path) -> IO[str]:
    """Take the lock of a data folder until the file is closed; raise ConfigurationError."""
    try:
        lock = (data / "relay.lock").open("a+")
    except OSError as error:
        raise ConfigurationError(f"{data} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigurationError(f"{data}: another daemon uses this folder") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
