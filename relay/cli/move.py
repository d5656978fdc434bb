"""`move-store`: from SQLite to PostgreSQL, or back."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from relay.cli.control_client import ask
from relay.cli.terminal import agree, counted, progress, say
from relay.config import settings
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.store.engine.database import Store
from relay.store.maintenance import move as moving
from relay.store.maintenance.move import Moved


@click.command("move-store")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("url", metavar="URL")
@click.pass_obj
def move_store(path: Path, url: str, *, yes: bool) -> None:
    """Move all that the database holds to an empty one at URL, and serve the old one no more.

    No daemon may run on either. URL is what `[relay] database` is to be; the password stands in
    `database_password`, or in PGPASSFILE. Begun again after a crash, it begins anew.
    """
    os.umask(0o077)
    read = settings.load(path)
    later = settings.load(path, {**os.environ, "RELAY_DATABASE": url})
    source, target = Store(read.database, read.data), Store(later.database, later.data)
    if source.shared is None and target.shared is None:
        raise ConfigurationError("a file is copied to another one by `backup` and `restore`")
    if source.is_missing:
        raise ConfigurationError(f"{source.where}: no database yet; start the daemon once")
    if ask(read.data, "GET", "/status") is not None:
        raise click.ClickException("a daemon runs: stop it first")
    agree(f"Move all of {source.where} to {target.where}?", agreed=yes, option="--yes")
    with ExitStack() as stack:
        for store in (source, target):
            store.open(to_serve=False)
            stack.callback(store.close)
        went_on = stack.enter_context(progress("rows", source.read_now(moving.size)))
        moved = moving.move(source, target, went_on)
    for line in _told(moved, read, source, target, url):
        say(line)


def _told(moved: Moved, read: Settings, source: Store, target: Store, url: str) -> Iterator[str]:
    rows = counted(moved.rows, "row")
    yield f"moved to {target.where}: {counted(moved.messages, 'message')}, {rows}"
    if moved.faults:
        yield f"counted; out of balance as before (`audit`): {counted(len(moved.faults), 'fault')}"
    else:
        yield "counted and audited: in balance"
    if moved.changed:
        changed = counted(moved.changed, "text")
        yield f"{changed} changed: PostgreSQL holds no NUL, and nothing longer than its column"
    yield f'in {read.path.name}, [relay]: database = "{url}"'
    yield f"{source.where} is not served any more, whatever the settings say: it holds mail still"
