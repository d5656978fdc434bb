"""The keys that operators make and revoke: they open at once, and end at once on all daemons."""

import asyncio
import re
import secrets
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import structlog

from relay.config.keys import StoredKeys
from relay.core import clock
from relay.core.errors import KeyRefused, RelayError
from relay.core.secret import digest
from relay.core.server import KeyKind
from relay.core.text import nearest
from relay.hooks.chain import Chain
from relay.store import acts
from relay.store import keys as stored
from relay.store.acts import Act, Acted, By
from relay.store.engine.database import Store
from relay.store.keys import KeyRow, NewKey

KINDS: tuple[KeyKind, ...] = ("secret", "publishable", "account")
DAY = 86400
# How often it is written down which keys were used.
NOTE_SECONDS = 60

BAD_NAME = (
    "a key's name has letters, digits, dots, hyphens and underscores, 50 at most, "
    "and begins with a letter or a digit"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}", re.ASCII)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

log = structlog.get_logger()


class AskedKey(NamedTuple):
    """A key that somebody wants; `expires_at` is None for one that is good until it is revoked."""

    name: str
    kind: KeyKind
    servers: Sequence[str]
    expires_at: float | None


class Keys:
    """The keys of the store, in a running daemon; `known` is where callers are looked up.

    The days on which keys are used are written in the background.
    """

    def __init__(self, store: Store, known: StoredKeys) -> None:
        self._store = store
        self._known = known
        self._ids: dict[str, int] = {}  # of those that are not revoked, by name
        self._days: dict[int, int] = {}
        self._unnoted: dict[int, int] = {}
        self._reading = asyncio.Lock()  # what is read last is learned last
        self._learn(store.read_now(stored.listed))

    async def read_again(self) -> None:
        """Know which are stored: another daemon made or revoked some."""
        async with self._reading:
            self._learn(await self._store.read(stored.listed))

    async def order(self, order: Acted) -> None:
        """Carry out what `making` or `revoking` returned, here at once; raise KeyRefused."""
        await self._store.write(acts.acted, order)
        await self.read_again()

    def used(self, name: str) -> None:
        """Note that a key let somebody in; nothing for those of the settings."""
        today, id = int(clock.now() // DAY), self._ids.get(name)
        if id is not None and self._days[id] < today:
            self._days[id] = self._unnoted[id] = today

    async def run(self) -> None:
        """Write down for ever which keys were used; what cannot be written waits."""
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            await self.note()

    async def note(self) -> None:
        """Write down which keys were used, once a day each."""
        noted = dict(self._unnoted)
        try:
            await asyncio.gather(
                *(self._store.write(stored.note_use, one) for one in noted.items())
            )
        except RelayError as error:
            log.warning("chore.undone", error=type(error).__name__)
            return
        self._unnoted = dict(self._unnoted.items() - noted.items())

    def _learn(self, rows: Sequence[KeyRow]) -> None:
        self._known.now = tuple(row.key for row in rows)
        self._ids = {row.key.id: row.id for row in rows if row.key.revoked_at is None}
        self._days = {row.id: max(row.used_day or 0, self._unnoted.get(row.id, 0)) for row in rows}


def random_key(kind: KeyKind) -> str:
    """Make a key: 256 random bits between a prefix and a checksum, by which scanners know it."""
    text = f"relay_{kind}_{_in_digits(secrets.randbits(256), 43)}"
    return text + _in_digits(zlib.crc32(text.encode()), 6)


def making(
    asked: AskedKey, chains: Mapping[str, Chain], named: Collection[str], by: By
) -> tuple[str, Acted]:
    """Return a new key, and what makes it; raise KeyRefused.

    chains: those of all servers. named: the names of the settings' keys.
    """
    now = clock.now()
    if not _NAME.fullmatch(asked.name):
        raise KeyRefused(BAD_NAME)
    if asked.name in named:
        raise KeyRefused(f"the settings have a key {asked.name} already: take another name")
    if asked.kind not in KINDS:
        raise KeyRefused(f"a kind is one of {', '.join(KINDS)}")
    if asked.expires_at is not None and asked.expires_at <= now:
        raise KeyRefused("it would have expired already")
    servers = _opened(asked, chains)
    key = random_key(asked.kind)
    values = {**asked._asdict(), "servers": servers, "digest": digest(key.encode())}
    act = Act(now, by, "make key", asked.name, "", " ".join([asked.kind, *servers]))
    return key, Acted(stored.add, NewKey(**values, made_at=now), lambda done: [act])


def revoking(name: str, named: Collection[str], by: By) -> Acted:
    """Return what ends a key; raise KeyRefused for one of the settings."""
    if name in named:
        raise KeyRefused(f"{name} stands in the settings: take it out there, then `run.py reload`")
    now = clock.now()
    act = Act(now, by, "revoke key", name, "", "revoked")
    return Acted(stored.revoke, (name, now), lambda done: [act])


def _opened(asked: AskedKey, chains: Mapping[str, Chain]) -> list[str]:
    """Return the names of the servers that a key is for, as the settings have them."""
    opened = sorted({server.strip().lower() for server in asked.servers} - {""})
    if asked.kind != "account" and not opened:
        raise KeyRefused("name the servers that it opens: --servers NAME,NAME, or * for all")
    for name in opened:
        if name != "*" and name not in chains:
            raise KeyRefused(f"no server {name}{nearest(name, chains)}")
    for name, chain in chains.items() if asked.kind == "publishable" else ():
        if {name, "*"} & {*opened} and chain.has_forms and chain.server.recipients is None:
            raise KeyRefused(f"{name} has no recipients: whoever sees the key could mail anybody")
    return opened


def _in_digits(number: int, width: int) -> str:
    text = ""
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
