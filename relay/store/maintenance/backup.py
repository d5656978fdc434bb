"""Backups: a folder with the database, as it was at one moment, and what belongs to it.

A backup is taken while mail flows. It is checked, synchronous on the disk, and in its place whole
or not at all.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from relay.core.errors import ConfigurationError

# What a backup's database is called, and what stands beside it, where it was made here.
DATABASE = "relay.db"
BESIDE = ("secret", "keys.json")

# How many pages one step copies: a megabyte or a few.
PAGES = 1024

# Pages copied so far, and all there are.
Progress = Callable[[int, int], None]


class BackupError(ConfigurationError):
    """A backup that cannot be made, or cannot be used; one line."""


class Made(NamedTuple):
    """A backup that was made: where, and the bytes of its database."""

    path: Path
    size: int


def make(
    database: Path, data: Path, path: Path, *, force: bool, progress: Progress = lambda *_: None
) -> Made:
    """Make the backup `path`, a folder; raise BackupError. With `force` one there is replaced."""
    if path.exists() and not (force and _is_backup(path)):
        words = "is there already" if _is_backup(path) else "is there, and is no backup"
        raise BackupError(f"{path} {words}{'' if force else '; --force replaces a backup'}")
    try:
        with _beside(path) as folder:
            copy(database, folder / DATABASE, progress)
            for name in BESIDE:
                if (data / name).exists():
                    copy_private(data / name, folder / name)
            size = (folder / DATABASE).stat().st_size
            sync(folder)
            _put(folder, path)
    except sqlite3.Error as error:
        raise BackupError(f"{database}: {error}") from None
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None
    return Made(path, size)


def copy(source: Path, target: Path, progress: Progress = lambda *_: None) -> None:
    """Copy a database as it is now, into a new file that its owner alone can read; check it.

    Raise BackupError for one that is damaged. All of it is one moment's: the source is read in one
    transaction, beside whoever writes to it.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(opened(source)) as before, closing(sqlite3.connect(target)) as after:
        # Without a transaction of its own a copy begins anew whenever somebody writes.
        before.execute("BEGIN")
        before.execute("SELECT count(*) FROM sqlite_master").fetchone()
        before.backup(after, pages=PAGES, progress=_counted(progress))
        before.execute("ROLLBACK")
        after.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    check(target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def opened(path: Path) -> sqlite3.Connection:
    """Open a database for reading, without ever writing to it or emptying its log."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None)
    for pragma in ("busy_timeout=5000", "wal_autocheckpoint=0", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def check(path: Path) -> None:
    """Raise BackupError for a database that is damaged."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BackupError(f"{path}: the database is damaged: {' '.join(found.split())}")


def copy_private(source: Path, target: Path) -> None:
    """Copy a small file to a new one that its owner alone can read, to the disk."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as before, os.fdopen(descriptor, "wb") as after:
        shutil.copyfileobj(before, after)
        after.flush()
        os.fsync(after.fileno())


def sync(folder: Path) -> None:
    """Make the names in a folder synchronous with the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_backup(path: Path) -> bool:
    """Return whether a folder holds a backup and nothing else: only such a one is replaced."""
    names: Sequence[str] = [one.name for one in path.iterdir()] if path.is_dir() else []
    return DATABASE in names and not set(names) - {DATABASE, *BESIDE}


def _counted(progress: Progress) -> Callable[[int, int, int], None]:
    return lambda status, remaining, total: progress(total - remaining, total)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Return a new folder in the same place as a path, which is gone in the end."""
    folder = path.with_name(f".{path.name}.{os.getpid()}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(folder: Path, path: Path) -> None:
    """Return a folder its name; what has the name is moved away before, and removed after."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    with suppress(FileNotFoundError):
        path.rename(old)
    folder.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)
