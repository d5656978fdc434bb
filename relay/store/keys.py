"""The keys that were made here: their digests, whom they let in, since and until when."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, or_, select, update

from relay.core.errors import KeyRefused
from relay.core.server import Key, KeyKind
from relay.core.text import nearest
from relay.store.cluster import versions
from relay.store.engine.expressions import lock
from relay.store.engine.writer import one_by_one
from relay.store.schema import keys

# So long a key that was revoked is known by its name in the log, and listed.
_REMEMBERED_SECONDS = 90 * 86400


class NewKey(NamedTuple):
    """A key that is made; `expires_at` is None for one that is good until it is revoked."""

    name: str
    kind: KeyKind
    servers: Sequence[str]
    digest: bytes
    made_at: float
    expires_at: float | None


class KeyRow(NamedTuple):
    """A key with its number; `used_day` counts from 1970-01-01, None where it was never used."""

    id: int
    key: Key
    made_at: float
    used_day: int | None


def listed(connection: Connection) -> Sequence[KeyRow]:
    """Return all keys, by name; those that were revoked too, for a while."""
    query = select(keys).order_by(keys.c.name, keys.c.id)
    return [
        KeyRow(
            row.id,
            Key(
                row.name,
                row.kind,
                frozenset(json.loads(row.servers)),
                (row.digest,),
                row.expires_at,
                row.revoked_at,
            ),
            row.made_at,
            row.used_day,
        )
        for row in connection.execute(query)
    ]


@one_by_one
def add(connection: Connection, new: NewKey) -> KeyRefused | None:
    """Add each key; refuse one whose name another has that is not revoked."""
    lock(connection, "keys")
    taken = select(keys.c.id).where(keys.c.name == new.name, keys.c.revoked_at.is_(None))
    if connection.execute(taken).first() is not None:
        return KeyRefused(f"there is a key {new.name} already: revoke it first")
    values = {**new._asdict(), "servers": json.dumps(new.servers)}
    connection.execute(insert(keys).values(values))
    versions.bump(connection, "keys")
    return None


@one_by_one
def revoke(connection: Connection, order: tuple[str, float]) -> KeyRefused | None:
    """Let nobody in by the keys of these names any more, from a time on."""
    name, now = order
    good = (keys.c.name == name, keys.c.revoked_at.is_(None))
    if connection.execute(update(keys).where(*good).values(revoked_at=now)).rowcount:
        versions.bump(connection, "keys")
        return None
    names = {row.key.id for row in listed(connection)}
    if name in names:
        return KeyRefused(f"{name} is revoked already")
    return KeyRefused(f"no key {name} was made here{nearest(name, names)}")


@one_by_one
def note_use(connection: Connection, used: tuple[int, int]) -> None:
    """Note on which day keys were used last, by their numbers."""
    id, day = used
    is_earlier = or_(keys.c.used_day.is_(None), keys.c.used_day < day)
    connection.execute(update(keys).where(keys.c.id == id, is_earlier).values(used_day=day))


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Delete keys that were revoked long ago; count them."""
    old = keys.c.revoked_at < now - _REMEMBERED_SECONDS
    return connection.execute(delete(keys).where(old)).rowcount
