"""The store, as a command reads it: beside a daemon, or alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay import settings
from relay.errors import ConfigurationError
from relay.settings import Settings
from relay.store.database import Store


@contextmanager
def reading(path: Path) -> Iterator[tuple[Settings, Store]]:
    """Give the settings and their store, for queries only."""
    read = settings.load(path)
    store = Store(read.database, read.data)
    if not store.path.exists():
        raise ConfigurationError(f"{store.path}: no database yet; start the daemon once")
    yield read, store


@contextmanager
def writing(read: Settings) -> Iterator[Store]:
    """Take the store for a command that writes while no daemon runs."""
    store = Store(read.database, read.data)
    store.open()
    try:
        yield store
    finally:
        store.close()
