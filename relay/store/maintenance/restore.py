"""Putting a backup in the place of the database, so that nothing is sent twice.

Since the backup was taken, what waited then may have been sent, and unspent tokens may have been
spent. So what waited is in doubt, to be looked up before it is sent, and those tokens are dropped.
The database that was there is moved aside, never deleted.
"""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, or_, select

from relay.core.states import UNDECIDED, State
from relay.store import installation
from relay.store.engine import served
from relay.store.engine.database import Store
from relay.store.engine.writer import one_by_one
from relay.store.maintenance import backup
from relay.store.maintenance.backup import BESIDE, DATABASE, BackupError, Progress
from relay.store.outbox.recovery import Interruption, put_in_doubt
from relay.store.schema import daemons, leases, messages, tokens

# How many messages are put in doubt at a time.
CHUNK = 5000
WORDS = "put back from a backup: it may have been sent since"


class Restored(NamedTuple):
    """What was done to a backup's rows, and what stands in them.

    Messages put in doubt, those that stay scheduled, tokens dropped, servers that are paused, and
    the newest message's id.
    """

    doubted: int
    scheduled: int
    tokens: int
    paused: tuple[str, ...]
    newest: str


class Report(NamedTuple):
    """What was done: to the rows, where the database that was there is now, and what it alone has.

    aside: None where there was none. newer: how many messages it accepted since the backup was
    taken; None where it cannot be read.
    """

    rows: Restored
    aside: Path | None
    newer: int | None


@one_by_one
def doubt(connection: Connection, interruption: Interruption) -> Restored:
    """Put in doubt what waited in a backup, and drop its unspent tokens."""
    waited = or_(
        messages.c.state.in_((State.QUEUED, *UNDECIDED)),
        and_(messages.c.state == State.SCHEDULED, messages.c.due_at <= interruption.now),
    )
    doubted, after = 0, ""
    ids = select(messages.c.id).where(waited).order_by(messages.c.id).limit(CHUNK)
    while some := connection.execute(ids.where(messages.c.id > after)).scalars().all():
        those = messages.c.id.in_(some)
        doubted += put_in_doubt(connection, those, interruption, ("restored", WORDS))
        after = some[-1]
    dropped = connection.execute(delete(tokens).where(tokens.c.message.is_(None))).rowcount
    query = select(func.count()).where(messages.c.state == State.SCHEDULED)
    newest = connection.execute(select(func.max(messages.c.id))).scalar() or ""
    scheduled = connection.execute(query).scalar_one()
    return Restored(
        doubted, scheduled, dropped, tuple(installation.paused_servers(connection)), newest
    )


@one_by_one
def accept_dump(connection: Connection, interruption: Interruption) -> Restored:
    """Do the same to what a server's own tools put back, and let it be served from here on."""
    for table in (daemons, leases):  # as they were
        connection.execute(delete(table))
    [rows] = doubt(connection, [interruption])
    served.mark(connection, [None])
    return rows


def restore(
    source: Path,
    database: Path,
    data: Path,
    interruption: Interruption,
    *,
    aside: str,
    progress: Progress = lambda *_: None,
) -> Report:
    """Put a backup in the place of a database; raise BackupError and leave all as it is.

    source: the folder, or a database alone, as one that was copied before it was migrated.
    Whoever calls has the lock of the data folder. aside: the name of the folder beside the
    database for what was there. The backup is made ready first, beside the database; it takes its
    place in one step.
    """
    saved = source if source.is_file() else source / DATABASE
    if not saved.is_file():
        raise BackupError(f"{source}: no backup: there is no {DATABASE} in it")
    ready = database.with_name(f".restoring.{os.getpid()}")
    ready.mkdir(mode=0o700)
    try:
        backup.copy(saved, ready / DATABASE, progress)
        rows = _prepared(ready, interruption)
        newer = _newer(database, rows.newest)
        kept = _move_aside(database, data, database.with_name(aside))
        for name in BESIDE:
            if (source / name).exists():
                backup.copy_private(source / name, ready / name)
                (ready / name).replace(data / name)
        (ready / DATABASE).replace(database)
        backup.sync(data)
        backup.sync(database.parent)
    except sqlite3.Error as error:
        raise BackupError(f"{saved}: {error}") from None
    except OSError as error:
        raise BackupError(f"{error.filename or database}: {error.strerror}") from None
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    return Report(rows, kept, newer)


def _prepared(ready: Path, interruption: Interruption) -> Restored:
    """Bring the copy of a backup up to date, and put in doubt what waited."""
    with closing(backup.opened(ready / DATABASE)) as connection:
        query = "SELECT 1 FROM sqlite_master WHERE name IN ('messages', 'alembic_version')"
        if len(connection.execute(query).fetchall()) != 2:
            raise BackupError("the backup's database holds no outbox")
    store = Store(f"sqlite:///{ready / DATABASE}", ready)
    store.open()
    try:
        [rows] = store.write_now(doubt, [interruption])
    finally:
        store.close()
    # Closed, it is one file again: only what is in it takes the database's place.
    with closing(sqlite3.connect(ready / DATABASE)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    with (ready / DATABASE).open("rb") as file:
        os.fsync(file.fileno())
    return rows


def _newer(database: Path, newest: str) -> int | None:
    """Count the messages of the present database that came in after a backup's newest."""
    if not database.exists():
        return 0
    try:
        with closing(backup.opened(database)) as connection:
            query = "SELECT count(*) FROM messages WHERE id > ?"
            return int(connection.execute(query, [newest]).fetchone()[0])
    except sqlite3.Error:
        return None


def _move_aside(database: Path, data: Path, aside: Path) -> Path | None:
    """Keep the present database and what belongs to it in a folder; the database stays as well.

    Its log is emptied into it first: a log that stayed would be taken for the backup's.
    """
    if not database.exists():
        return None
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(database)) as connection:
        if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise BackupError(f"{database}: another command is reading it; try again")
    aside.mkdir(mode=0o700)
    try:
        os.link(database, aside / DATABASE)
    except OSError:  # a file system without hard links
        backup.copy_private(database, aside / DATABASE)
    for suffix in ("-wal", "-shm"):
        log = database.with_name(database.name + suffix)
        if log.exists():
            log.rename(aside / f"{DATABASE}{suffix}")
    for name in BESIDE:
        if (data / name).exists():
            backup.copy_private(data / name, aside / name)
    backup.sync(aside)
    return aside
