"""Mail for offices that the provider took and that came back: it is sent a second time.

The second sending is a message of its own. What became of the first one stays as it was, and what
the provider says of either is never taken for the other.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, exists, insert, select

from relay.core.events import ProviderEvent
from relay.core.message import Message
from relay.core.states import TAKEN, State
from relay.store import documents, suppressions
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.in_doubt import Seen, seen
from relay.store.queries import listing
from relay.store.schema import IS_TAKEN, events, messages

# What befell a message that was sent again.
KIND = "returned"


class Returned(NamedTuple):
    """A message that came back, with the server and the key that it came by."""

    message: Message
    server: str
    key: str


class Return(NamedTuple):
    """A mail's return from one address, in lower case, to a group, at a time."""

    address: str
    group: str
    now: float


class SecondSending(NamedTuple):
    """The message that takes the place of one that came back, and the offices it is for."""

    message: NewMessage
    offices: Collection[str]


def message_of(connection: Connection, event: ProviderEvent, servers: Iterable[str]) -> Seen | None:
    """Find an event's message, by our own id or else by the provider's, among these servers'."""
    columns = messages.c
    query = seen(columns.server.in_(list(servers)), columns.state != State.SCREENED)
    if event.message:
        query = query.where(columns.id == event.message)
    elif event.provider_id:
        taken = query.where(IS_TAKEN, columns.provider_id == event.provider_id)
        query = taken.order_by(columns.id).limit(1)
    else:
        return None
    row = connection.execute(query).first()
    return None if row is None else Seen(*row)


def find(connection: Connection, event: ProviderEvent, servers: Sequence[str]) -> Returned | None:
    """Read what came back; None where it is not there, or was cleared."""
    row = message_of(connection, event, servers)
    if row is None or row.state not in TAKEN:
        return None
    stored = listing.documents(connection, [row.id])
    try:
        return Returned(documents.load(row.id, stored[row.id]), row.server, row.key)
    except (KeyError, TypeError, ValueError):
        return None


def send_again(connection: Connection, id: str, second: SecondSending, returned: Return) -> bool:
    """Store a second sending, unless an office has the first one; return whether it was done."""
    others = set(second.offices) - {returned.address}
    dead = set(suppressions.standing(connection, returned.group, others, returned.now))
    if others - dead or _is_sent_again(connection, id):
        return False
    enqueue.add(connection, [second.message])
    again = second.message.id
    befell = [
        {"message": id, "kind": KIND, "words": f"sent again as {again}"},
        {"message": again, "kind": "second", "words": f"sends {id} again, which came back"},
    ]
    connection.execute(insert(events), [{**one, "at": returned.now} for one in befell])
    return True


def _is_sent_again(connection: Connection, id: str) -> bool:
    query = select(exists().where(events.c.message == id, events.c.kind == KIND))
    return bool(connection.execute(query).scalar())
