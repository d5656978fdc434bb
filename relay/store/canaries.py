"""Canaries: messages of Relay's own, to see that mail arrives; how each server's do.

They are delivered as any other message, and stand in no list and no count: `IS_MAIL`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, update

from relay.core.states import PENDING, State
from relay.store.engine.expressions import upsert
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.transitions import Change, change
from relay.store.queries.listing import rows_of
from relay.store.queries.search import first_id
from relay.store.schema import (
    IS_CANARY,
    attempts,
    canaries,
    contents,
    events,
    message_metadata,
    messages,
    recipients,
    webhook_events,
)

# For how long one is kept, for whoever looks why it did not arrive.
KEPT_SECONDS = 86400.0
# What may be sent yet is not over, however old it is.
_OVER = messages.c.state.not_in(PENDING)


class Canary(NamedTuple):
    """A server's last canary, and how its canaries do.

    message: its id; "" where none could be made. is_awaited: whether it may arrive yet. arrived_at,
    took: when the last one that arrived did, and after how many seconds. missing_since: when the
    first was made of those of which none arrived, None while they do; and `reason`, why.
    """

    server: str
    message: str
    made_at: float
    is_awaited: bool
    arrived_at: float | None = None
    took: float | None = None
    missing_since: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NewCanary:
    """A canary that takes the place of the one before, which is None for a server's first.

    mail: its message; nothing where none could be made.
    """

    canary: Canary
    before: Canary | None
    mail: Sequence[NewMessage] = ()


def read(connection: Connection) -> dict[str, Canary]:
    """Return how the canaries do, by server."""
    found = [Canary(*row) for row in connection.execute(rows_of(canaries, Canary))]
    return {one.server: one for one in found}


@one_by_one
def begin(connection: Connection, new: NewCanary) -> bool:
    """Store a canary, in the place of the one before; False where another daemon was quicker."""
    if new.before is not None and not _put(connection, new.canary, new.before):
        return False
    if new.before is None and not _add(connection, new.canary):
        return False
    if new.mail:
        enqueue.add_together(connection, [new.mail])
    return True


class Seen(NamedTuple):
    """What was seen of a canary: how it stands now, and how it stood."""

    now: Canary
    before: Canary


@one_by_one
def note(connection: Connection, seen: Seen) -> bool:
    """Note what was seen of a canary; False where another one is there by now."""
    return _put(connection, seen.now, seen.before)


class Ending(NamedTuple):
    """Servers that have no canaries any more, from a time on."""

    servers: Collection[str]
    now: float


@one_by_one
def end(connection: Connection, ending: Ending) -> int:
    """Forget the canaries of servers; what of them waits to be sent is not: count that."""
    gone = delete(canaries).where(canaries.c.server.in_(ending.servers))
    ids = connection.execute(gone.returning(canaries.c.message)).scalars().all()
    never = Change((State.QUEUED,), State.CANCELLED, {"due_at": ending.now}, ordered=True)
    return len(change(connection, [id for id in ids if id], never))


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Delete the messages of old canaries, with all that was stored of them; count them."""
    old = (IS_CANARY, messages.c.id < first_id(now - KEPT_SECONDS), _OVER)
    ids = connection.execute(delete(messages).where(*old).returning(messages.c.id)).scalars().all()
    connection.execute(delete(contents).where(contents.c.id.in_(ids)))
    for table in (attempts, events, message_metadata, recipients, webhook_events):
        connection.execute(delete(table).where(table.c.message.in_(ids)))
    return len(ids)


def _add(connection: Connection, canary: Canary) -> bool:
    added = upsert(connection, canaries).values(canary._asdict())
    new = added.on_conflict_do_nothing().returning(canaries.c.server)
    return connection.execute(new).first() is not None


def _put(connection: Connection, canary: Canary, before: Canary) -> bool:
    """Put a canary in the place of one that is still as it was read."""
    same = (canaries.c.server == before.server, canaries.c.made_at == before.made_at)
    return connection.execute(update(canaries).where(*same).values(canary._asdict())).rowcount == 1
