"""Servers that an operator paused: their mail is stored, and attempted when they are resumed."""

from collections.abc import Callable, Collection

from relay.core import clock
from relay.core.errors import UnknownServer
from relay.store import acts, installation
from relay.store.acts import Act, Acted, By
from relay.store.engine.database import Store


class Pauses:
    """The paused servers of one installation, also after a restart; its store is open.

    known: names the servers that there are. changed: is told when others are paused than before.
    """

    def __init__(
        self, store: Store, known: Callable[[], Collection[str]], changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._known = known
        self._changed = changed
        self._names = frozenset(store.read_now(installation.paused_servers))

    async def read_again(self) -> None:
        """Know which are stored: another daemon paused or resumed some."""
        self._names = frozenset(await self._store.read(installation.paused_servers))
        self._changed()

    def names(self) -> frozenset[str]:
        """Return the servers that are paused; the same value until others are."""
        return self._names

    async def pause(self, server: str, by: By) -> None:
        """Store a server's mail and attempt none of it, until `resume`; raise UnknownServer."""
        name = self._found(server)
        await self._store.write(acts.acted, pausing(name, by))
        self._names |= {name}
        self._changed()

    async def resume(self, server: str, by: By) -> None:
        """Deliver a server's mail again; raise UnknownServer."""
        name = self._found(server)
        await self._store.write(acts.acted, resuming(name, by))
        self._names -= {name}
        self._changed()

    def _found(self, server: str) -> str:
        """Return the name of a server that there is, or that was paused when there was."""
        name = server.lower()
        if name not in self._known() and name not in self._names:
            raise UnknownServer
        return name


def pausing(server: str, by: By) -> Acted:
    """Return what pauses a server, for the store."""
    now = clock.now()
    act = Act(now, by, "pause", server, "", "paused")
    return Acted(installation.pause, (server, now), lambda is_new: [act] if is_new else [])


def resuming(server: str, by: By) -> Acted:
    """Return what lets a server's mail be attempted again, for the store."""
    act = Act(clock.now(), by, "resume", server, "paused", "")
    return Acted(installation.resume, server, lambda was_paused: [act] if was_paused else [])
