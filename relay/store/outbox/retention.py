"""Clearing what messages said, once it was kept long enough; what became of them stays.

Rows, attempts and events are never deleted: the outbox still balances. Nothing is cleared that may
be sent yet, and what failed only where the settings name it or a person dismissed it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from relay.core import clock
from relay.core.server import Server
from relay.core.states import UNSEEN, State
from relay.store import documents, webhooks
from relay.store.engine.database import Store
from relay.store.engine.writer import one_by_one
from relay.store.outbox.operator_actions import is_dismissed
from relay.store.queries.search import first_id
from relay.store.schema import IS_KEPT, contents, message_metadata, messages, receipts, recipients
from relay.store.words import index

# How many messages one commit clears: callers' messages wait behind it.
BATCH = 100

CLEARED = {
    "document": documents.CLEARED,
    "recipients": "",
    "subject": "",
    "sender": "",
    "tag": "",
    "stream": "",
    "origin": None,
}


class Expired(NamedTuple):
    """Messages of a server in a final state that came in, or were revived, before a time.

    dismissed: only those that a person dismissed.
    """

    server: str
    state: str
    before: float
    dismissed: bool = False


class Clearing(NamedTuple):
    """Messages to be cleared at a time."""

    ids: Sequence[str]
    now: float


def expired(connection: Connection, which: Expired, after: str, limit: int) -> Sequence[str]:
    """Return some of the messages whose contents are to be cleared, oldest first, after an id."""
    query = (
        select(messages.c.id)
        .where(IS_KEPT, messages.c.server == which.server, messages.c.state == which.state)
        .where(messages.c.id > after, messages.c.id < first_id(which.before))
        # What was scheduled, or revived, is younger than its id.
        .where(messages.c.since < which.before)
        .order_by(messages.c.id)
        .limit(limit)
    )
    if which.dismissed:
        query = query.where(is_dismissed())
    return connection.execute(query).scalars().all()


@one_by_one
def clear(connection: Connection, clearing: Clearing) -> int:
    """Clear the contents of messages that are in a final state; count them."""
    # Whatever was revived since it was picked is not cleared.
    kept = update(messages).where(IS_KEPT, messages.c.id.in_(clearing.ids))
    cleared = kept.values(cleared_at=clearing.now, size=0, writer="").returning(messages.c.id)
    ids = connection.execute(cleared).scalars().all()
    if not ids:
        return 0
    # Rows of their own in place of the old ones: SQLite gives no page back to rows that shrink.
    connection.execute(delete(contents).where(contents.c.id.in_(ids)))
    connection.execute(insert(contents), [{"id": id, **CLEARED} for id in ids])
    connection.execute(delete(message_metadata).where(message_metadata.c.message.in_(ids)))
    connection.execute(delete(recipients).where(recipients.c.message.in_(ids)))
    told = update(receipts).where(receipts.c.message.in_(ids))
    connection.execute(told.values(address="", mailbox=""))
    webhooks.clear(connection, ids)
    index.renew(connection, ids)
    return len(ids)


def terms(servers: Iterable[Server], now: float) -> list[Expired]:
    """Say which messages were kept long enough, by what the settings of their servers say.

    What was dismissed is kept as long as what was cancelled.
    """
    found = []
    for server in servers:
        keep: Mapping[str, float] = server.keep
        found += [Expired(server.name, state, now - keep[state]) for state in keep]
        if State.CANCELLED in keep:
            before = now - keep[State.CANCELLED]
            unnamed = [state for state in UNSEEN if state not in keep]
            found += [Expired(server.name, state, before, dismissed=True) for state in unnamed]
    return found


async def clear_old(store: Store, servers: Iterable[Server], now: float | None = None) -> int:
    """Clear all that was kept long enough, in small commits between others; count it."""
    now = clock.now() if now is None else now
    count = 0
    for which in terms(servers, now):
        after = ""
        while ids := await store.read(expired, which, after, BATCH):
            count += await store.write(clear, Clearing(ids, now))
            after = ids[-1]
    return count
