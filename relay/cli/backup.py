"""`backup` and `restore`: a folder that holds all that this installation keeps."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from relay.cli.context import reading
from relay.cli.control_client import ask
from relay.cli.terminal import agree, counted, progress, say
from relay.config import settings
from relay.config.settings import Settings
from relay.core import clock
from relay.core.errors import ConfigurationError
from relay.core.times import utc
from relay.store.cluster import daemons
from relay.store.engine import served
from relay.store.engine.database import Connection, Store
from relay.store.engine.sqlite import take_lock
from relay.store.engine.writer import one_by_one
from relay.store.maintenance import audit as audits
from relay.store.maintenance import backup as backups
from relay.store.maintenance import restore as restoring
from relay.store.maintenance.restore import Report
from relay.store.outbox.recovery import Interruption

MEGABYTE = 2**20
_CHECK = "`run.py restore --check`"


@click.command()
@click.option("--force", is_flag=True, help="Replace a backup that is there.")
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path))
@click.pass_obj
def backup(path: Path, folder: Path, *, force: bool) -> None:
    """Copy the database and the made secrets to the folder PATH, while mail flows."""
    os.umask(0o077)
    with reading(path) as (read, store), _pages() as went_on:
        if store.path is None:
            words = "a server's database is copied by pg_dump, or by snapshots of the server"
            raise ConfigurationError(
                f"{store.where}: {words}; put back, it is made ready by {_CHECK}"
            )
        made = backups.make(store.path, read.data, folder.absolute(), force=force, progress=went_on)
    say(f"{made.path}  {made.size / MEGABYTE:.1f} MB, checked")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check", is_flag=True, help="A server's tools put a dump back: make it ready.")
@click.option("--force", is_flag=True, help="With --check: nothing shows that it was put back.")
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def restore(path: Path, folder: Path | None, *, yes: bool, check: bool, force: bool) -> None:
    """Put the backup PATH in the place of the database, so that nothing is sent twice.

    What waited in it is in doubt then: it is looked up at the provider before it is sent. With
    --check a server's database was put back already.
    """
    os.umask(0o077)
    read = settings.load(path)
    store = Store(read.database, read.data)
    if check:
        _accept_dump(read, store, yes=yes, force=force)
        return
    if folder is None:
        raise click.UsageError("Missing argument 'PATH'.")
    file = store.path
    if file is None:
        words = f"put it back by pg_restore, then make it ready by {_CHECK}"
        raise ConfigurationError(f"{store.where}: {words}")
    if ask(read.data, "GET", "/status") is not None:
        raise click.ClickException("a daemon runs: stop it first")
    agree(f"Put {folder} in the place of the database?", agreed=yes, option="--yes")
    read.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = clock.now()
    with take_lock(read.data), _pages() as went_on:
        report = restoring.restore(
            folder.absolute(),
            file,
            read.data,
            _interruption(read, now),
            aside=f"before-restore-{utc(now):%Y%m%dT%H%M%SZ}",
            progress=went_on,
        )
    for line in _told(report):
        say(line)


def _accept_dump(read: Settings, store: Store, *, yes: bool, force: bool) -> None:
    """Put in doubt what waited in a server's database that was put back, and audit it."""
    if store.shared is None:
        raise ConfigurationError(f"{store.where}: a file is put back by `restore PATH`")
    store.open(to_serve=False)
    try:
        [is_put_back] = store.write_now(_is_put_back, [None])
        if not is_put_back and not force:
            words = "nothing shows that a dump was put back; after a snapshot give --force"
            raise click.ClickException(f"{store.where}: {words}")
        store.write_now(daemons.refuse_living, [store.where])
        agree(f"Put in doubt what waits in {store.where}?", agreed=yes, option="--yes")
        [rows] = store.write_now(restoring.accept_dump, [_interruption(read, clock.now())])
        with progress("messages", store.read_now(audits.size)) as went_on:
            faults = store.read_now(audits.audit, went_on).faults
    finally:
        store.close()
    for line in _told(Report(rows, None, 0)):
        say(line)
    for fault in faults:
        say(f"imbalance: {fault}")
    if faults:
        sys.exit(1)
    say("audited: in balance")


@one_by_one
def _is_put_back(connection: Connection, nothing: None) -> bool:
    return served.is_put_back(connection)


def _interruption(read: Settings, now: float) -> Interruption:
    settle = {name: one.server.settle[0] for name, one in read.servers.items()}
    return Interruption(now, settle, max(settle.values(), default=0.0))


def _told(report: Report) -> Iterator[str]:
    rows = report.rows
    yield "restored"
    waited = counted(rows.doubted, "message")
    yield f"{waited} that waited: in doubt, looked up at the provider before being sent"
    if rows.scheduled:
        scheduled = counted(rows.scheduled, "message")
        yield f"{scheduled} scheduled for later: cancel what was cancelled since (`queue`)"
    tokens = counted(rows.tokens, "unspent session token")
    yield f"{tokens} dropped: pages that have them must be loaded anew"
    yield from (f"{server} is paused, as it was then" for server in rows.paused)
    if report.aside is not None:
        yield f"the database that was there: {report.aside}"
    if report.newer is None:
        yield "it cannot be read: what was accepted since the backup is not in this one"
    elif report.newer:
        newer = counted(report.newer, "message")
        yield f"{newer} accepted since the backup: only in the database that was there"


@contextmanager
def _pages() -> Iterator[Callable[[int, int], None]]:
    """Show how many pages are copied; how many there are is known with the first of them."""
    bar: list[Callable[[int], None]] = []
    done = 0
    with ExitStack() as stack:

        def went_on(copied: int, total: int) -> None:
            nonlocal done
            if not bar:
                bar.append(stack.enter_context(progress("pages", total)))
            bar[0](copied - done)
            done = copied

        yield went_on
