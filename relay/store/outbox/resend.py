"""Mail for offices whose addresses take none: what is held is sent when they do again.

What the provider took and that came back is sent a second time, as a message of its own. What
became of the first one stays as it was, and what the provider says of either is never taken for the
other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select
from sqlalchemy.engine import Row

from relay.core.addresses import Address, listed
from relay.core.message import Message, ProviderEvent
from relay.core.policy import office_patterns
from relay.core.server import Server
from relay.core.states import TAKEN, State
from relay.store import documents, suppressions
from relay.store.documents import CLEARED
from relay.store.engine.expressions import first_of, lock
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.in_doubt import Seen, seen
from relay.store.outbox.operator_actions import SOMEBODY
from relay.store.outbox.transitions import Change, change
from relay.store.queries import listing
from relay.store.schema import (
    IS_MAIL,
    IS_MESSAGE,
    IS_TAKEN,
    IS_UNSENT,
    attempts,
    contents,
    events,
    messages,
)
from relay.store.suppressions import Word

# How many messages one order takes: others' mail waits behind it.
CHUNK = 200
# What happened to a message that was sent again.
KIND = "returned"


class Replay(NamedTuple):
    """An order to send what is held for an address, or of a server; the other one is "".

    offices: which addresses of a server's mail are to be written to again, as its `recipients` name
    them. groups: every server's group. after: the id behind which to go on.
    """

    address: str
    server: str
    offices: Collection[str]
    groups: Mapping[str, str]
    now: float
    after: str = ""
    who: str = SOMEBODY


def order(
    address: str,
    server: str,
    servers: Mapping[str, Server],
    now: float,
    after: str = "",
    who: str = SOMEBODY,
) -> Replay:
    """Make the order for an address or a server, by the settings of all servers."""
    known = servers.get(server)
    offices = office_patterns(known) if known is not None else frozenset()
    groups = {name: one.group for name, one in servers.items()}
    return Replay(address, server, offices, groups, now, after, who)


class Replayed(NamedTuple):
    """What was done: how many messages are queued, what was lifted, and where to go on.

    ids: of those that are queued. after: None at the end.
    """

    ids: Sequence[str]
    lifted: Sequence[Word]
    after: str | None


@one_by_one
def replay(connection: Connection, order: Replay) -> Replayed:
    """Queue held messages again, some at a time, and let their addresses be written to."""
    found = connection.execute(_held(order)).all()
    lifted = _lift(connection, order, found)
    values = {"due_at": order.now, "since": order.now, "looks": 0, "absences": 0}
    queueing = Change((State.HELD,), State.QUEUED, values, ordered=True)
    ids = [row.id for row in found]
    queued = change(connection, ids, queueing)
    words = f"by {order.who}; it was held for an address that takes mail again"
    note(connection, (NewEvent(id, order.now, "released", words) for id in ids if id in queued))
    after = ids[-1] if len(ids) == CHUNK else None
    return Replayed(sorted(queued), lifted, after)


def is_held(connection: Connection, id: str) -> bool:
    """Return whether a message is held for an address."""
    query = select(messages.c.id).where(_is_held(), messages.c.id == id)
    return connection.execute(query).first() is not None


def count(connection: Connection, address: str) -> int:
    """Count what is held for an address."""
    query = select(func.count()).select_from(messages.join(contents, _same_message()))
    query = query.where(_is_held(), _is_to(address))
    return int(connection.execute(query).scalar_one())


def _held(order: Replay) -> Select[Any]:
    # His own address, where he gets a copy; what was cleared is no JSON.
    writer = first_of(func.nullif(contents.c.document, CLEARED), "writer")
    query = select(messages.c.id, messages.c.server, contents.c.recipients, writer.label("writer"))
    query = query.join(contents, _same_message()).where(_is_held(), messages.c.id > order.after)
    which = messages.c.server == order.server if order.server else _is_to(order.address)
    return query.where(which).order_by(messages.c.id).limit(CHUNK)


def _is_held() -> ColumnElement[bool]:
    """Make the condition that a message is held for an address, and not because of a doubt."""
    last = select(attempts.c.outcome).where(
        attempts.c.message == messages.c.id, attempts.c.number == messages.c.tries
    )
    held = last.correlate(messages).scalar_subquery() == State.SUPPRESSED
    return and_(IS_UNSENT, IS_MAIL, messages.c.state == State.HELD, held)


def _is_to(address: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (" " + contents.c.recipients + " ").contains(
        f" {address} ", autoescape=True
    )
    return found


def _same_message() -> ColumnElement[bool]:
    return contents.c.id == messages.c.id


def _lift(connection: Connection, order: Replay, found: Sequence[Row[Any]]) -> list[Word]:
    """Let the address, or all that a server's mail is held for, be written to again."""
    if order.address:
        places = {(group, order.address) for group in order.groups.values()}
    else:
        places = {
            (order.groups.get(row.server, row.server), email)
            for row in found
            for email in row.recipients.split()
            if _is_office(email, order.offices, row.writer or "")
        }
    known = {
        (group, email)
        for group in {group for group, _ in places}
        for email in suppressions.standing(
            connection, group, [email for of, email in places if of == group], order.now
        )
    }
    words = [
        Word(group, email, "lifted", order.now, words=f"by {order.who}")
        for group, email in sorted(known)
    ]
    changed = suppressions.note(connection, words)
    return [word for word, new in zip(words, changed, strict=True) if new]


def _is_office(email: str, patterns: Collection[str], writer: str) -> bool:
    """Return whether mail is held for an address, and not only copied to it."""
    return email in patterns or (email != writer.lower() and listed(Address(email), patterns))


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
    query = seen(columns.server.in_(list(servers)), IS_MESSAGE)
    if event.message:
        query = query.where(columns.id == event.message)
    elif event.provider_id:
        taken = query.where(IS_TAKEN, columns.provider_id == event.provider_id)
        query = taken.order_by(columns.id).limit(1)
    else:
        return None
    row = connection.execute(query).first()
    return None if row is None else Seen(*row)


def find_returned(
    connection: Connection, event: ProviderEvent, servers: Sequence[str]
) -> Returned | None:
    """Read what came back; None where it is not there, or was cleared."""
    row = message_of(connection, event, servers)
    if row is None or row.canary or row.state not in TAKEN:
        return None
    stored = listing.documents(connection, [row.id])
    try:
        return Returned(documents.load(row.id, stored[row.id]), row.server, row.key)
    except (KeyError, TypeError, ValueError):
        return None


def send_again(connection: Connection, id: str, second: SecondSending, returned: Return) -> bool:
    """Store a second sending, unless an office has the first one; return whether it was done."""
    lock(connection, f"returned {id}")
    others = set(second.offices) - {returned.address}
    dead = set(suppressions.standing(connection, returned.group, others, returned.now))
    if others - dead or _is_sent_again(connection, id):
        return False
    enqueue.add(connection, [second.message])
    again, now = second.message.id, returned.now
    sent = NewEvent(id, now, KIND, f"sent again as {again}")
    note(connection, [sent, NewEvent(again, now, "second", f"sends {id} again, which came back")])
    return True


def _is_sent_again(connection: Connection, id: str) -> bool:
    query = select(exists().where(events.c.message == id, events.c.kind == KIND))
    return bool(connection.execute(query).scalar())
