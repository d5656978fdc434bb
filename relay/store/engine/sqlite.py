"""SQLite: one file, one daemon, one connection that writes."""

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import structlog
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from relay.core.errors import ConfigurationError

# SQLite before this can corrupt its log when two connections write or checkpoint at once. Here
# one connection does both, and readers do neither.
SAFE_SQLITE = (3, 51, 3)

# How long another process may hold the database: then what was to be stored is refused.
LOCKED_MILLISECONDS = 2000
# How long the log's emptying waits for those who read it: what is to be stored waits for that.
SCRUB_MILLISECONDS = 200

# The disk did not say that it holds what was written, and asked again it would say so without
# holding it: nobody knows any more what is stored.
LOST_SYNCS = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)

log = structlog.get_logger()


class Sqlite:
    """A database file, `path`; `writing` and `reading` are its engines. Readers cannot write.

    data: the folder whose lock keeps a second daemon out.
    """

    readers = 2

    def __init__(self, path: Path, data: Path) -> None:
        self.path: Path | None = path
        self.where = str(path)
        self._data = data
        self._lock: IO[str] | None = None
        # What is cleared is to be gone from the file, whatever SQLite was built with.
        writing = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
        self.writing = _engine(path, "BEGIN IMMEDIATE", writing)
        self.reading = _engine(path, "BEGIN", ("query_only=ON", "wal_autocheckpoint=0"))
        self.long_writing, self.long_reading = self.writing, self.reading

    def open(self) -> None:
        """Take the lock and bring the schema up to date; raise ConfigurationError."""
        self._lock = take_lock(self._data)
        from relay.store.engine.migrate import migrate

        migrate(self.writing, self.where, self.path)
        if sqlite3.sqlite_version_info < SAFE_SQLITE:
            log.info("sqlite.old", version=sqlite3.sqlite_version, safe="one writing connection")

    def scrub(self, *, whole: bool) -> bool:
        """Leave nothing in the log that was deleted; return False while others read it.

        whole: write the database anew, too, without what stands in its free space.
        """
        # Not through a Connection: that would begin a transaction, in which nothing is emptied.
        try:
            with closing(self.writing.raw_connection()) as connection:
                cursor = connection.cursor()
                cursor.execute(f"PRAGMA busy_timeout={SCRUB_MILLISECONDS}")
                try:
                    if whole:
                        cursor.execute("VACUUM")
                    return not cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                finally:
                    cursor.execute(f"PRAGMA busy_timeout={LOCKED_MILLISECONDS}")
        except sqlite3.OperationalError:  # another command has it, or there is no room for it twice
            return False

    def finish(self) -> None:
        """Empty the log into the database, when nobody reads any more."""
        self.reading.dispose()
        self.scrub(whole=False)

    def close(self) -> None:
        """Release the connections and the lock."""
        self.reading.dispose()
        self.writing.dispose()
        if self._lock is not None:
            self._lock.close()


def is_lost_sync(error: DBAPIError) -> bool:
    """Return whether the disk did not say that it holds what was written."""
    return getattr(error.orig, "sqlite_errorcode", None) in LOST_SYNCS


def _engine(path: Path, begin: str, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in (f"busy_timeout={LOCKED_MILLISECONDS}", "foreign_keys=ON", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    def start(connection: Any) -> None:
        connection.cursor().execute(begin)

    # No event: each statement would look for those that may be before and after it.
    engine.dialect.do_begin = start  # type: ignore[assignment]
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
