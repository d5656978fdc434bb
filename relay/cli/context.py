"""What commands open: the chains as a daemon would build them, the store beside one or alone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import click

from relay.cli.control_client import SECONDS, tell
from relay.config import keys, settings
from relay.config.keys import StoredKeys
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.server import Server
from relay.core.text import nearest
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.notifications.receipts import emails
from relay.store import keys as stored_keys
from relay.store.cluster import versions
from relay.store.engine.database import Store, StoreUnreadable


def built(path: Path, *, stored: bool = False) -> tuple[Settings, dict[str, Chain]]:
    """Return the settings and every server's chain; make nothing that is not there yet.

    stored: let those in who have a key of the store, as far as that can be read.
    """
    read = settings.load(path)
    made = tuple(one.key for one in keys.made(read.data, make=False).values())
    chains = loader.build(read, read.keys or made, stored=_stored_keys(read) if stored else None)
    emails.check(chain.server for chain in chains.values())
    return read, chains


def _stored_keys(read: Settings) -> StoredKeys:
    store = Store(read.database, read.data)
    try:
        rows = [] if store.is_missing else store.read_now(stored_keys.listed)
    except StoreUnreadable:
        rows = []
    return StoredKeys(tuple(row.key for row in rows))


def server_of(read: Settings, name: str) -> Server:
    """Return the server of a name; end the command, with the nearest name, if there is none."""
    found = read.servers.get(name.lower())
    if found is None:
        close = nearest(name.lower(), read.servers)
        raise click.ClickException(f"{read.path.name}: no server {name}{close}")
    return found.server


@contextmanager
def reading(path: Path) -> Iterator[tuple[Settings, Store]]:
    """Return the settings and their store, for queries only."""
    read = settings.load(path)
    store = Store(read.database, read.data)
    if store.is_missing:
        raise ConfigurationError(f"{store.where}: no database yet; start the daemon once")
    try:
        yield read, store
    except StoreUnreadable as error:
        raise ConfigurationError(f"{store.where}: {error} ({error.hint})") from None


class Orders:
    """Carries orders out: through the daemon where one runs, else in this process.

    Which of them it is the first order decides. `see` is the command that shows what became of an
    order where nobody knows.
    """

    def __init__(self, read: Settings, *, see: str, seconds: float = SECONDS) -> None:
        self._read, self._see, self._seconds = read, see, seconds
        self._is_told = False
        self._store: Store | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._store is None:
            return
        if self._store.shared is not None and not any(error):
            self._store.write_now(versions.mail_waits, [None])  # daemons elsewhere look at once
        self._store.close()

    def carry_out(self, path: str, asked: Mapping[str, Any], alone: Callable[[Store], Any]) -> Any:
        """Return the daemon's answer to `asked`, or what `alone` returns, given the open store."""
        if self._store is None:
            answer = tell(self._read.data, path, asked, see=self._see, seconds=self._seconds)
            if answer is not None:
                self._is_told = True
                return answer
            if self._is_told:
                words = f"the daemon stopped: see `{self._see}` for what it did"
                raise click.ClickException(words)
            store = Store(self._read.database, self._read.data)
            store.open()
            store.identity.announced = self._read.announced
            self._store = store
        return alone(self._store)
