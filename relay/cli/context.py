"""What commands open: the chains as a daemon would build them, the store beside one or alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from relay.cli.terminal import visible
from relay.config import keys, settings
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.server import Server
from relay.core.text import nearest
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.notifications.receipts import emails
from relay.store.engine.database import Store, StoreUnreadable


def built(path: Path) -> tuple[Settings, dict[str, Chain]]:
    """Return the settings and every server's chain; make nothing that is not there yet."""
    read = settings.load(path)
    made = tuple(one.key for one in keys.made(read.data, make=False).values())
    chains = loader.build(read, read.keys or made)
    emails.check(chain.server for chain in chains.values())
    return read, chains


def server_of(read: Settings, name: str) -> Server:
    """Return the server of a name; end the command, with the nearest name, if there is none."""
    found = read.servers.get(name.lower())
    if found is None:
        close = nearest(name.lower(), read.servers)
        raise click.ClickException(f"{read.path.name}: no server {visible(name)}{close}")
    return found.server


@contextmanager
def reading(path: Path) -> Iterator[tuple[Settings, Store]]:
    """Return the settings and their store, for queries only."""
    read = settings.load(path)
    store = Store(read.database, read.data)
    if not store.path.exists():
        raise ConfigurationError(f"{store.path}: no database yet; start the daemon once")
    try:
        yield read, store
    except StoreUnreadable as error:
        hint = "an older database is brought up to date when the daemon starts"
        raise ConfigurationError(f"{store.path}: {error} ({hint})") from None


@contextmanager
def writing(read: Settings) -> Iterator[Store]:
    """Take the store for a command that writes while no daemon runs."""
    store = Store(read.database, read.data)
    store.open()
    try:
        yield store
    finally:
        store.close()
