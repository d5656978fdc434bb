"""Answers to reply addresses: whose each address is, and passing an answer on once."""

from typing import Literal, NamedTuple

from sqlalchemy import Connection, delete, select, update

from relay.core.states import State
from relay.store import callbacks
from relay.store.engine.expressions import lock
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.history import NewEvent, note
from relay.store.schema import reply_addresses

# How many answers a reply address takes in an hour.
MAX_PER_HOUR = 20
HOUR = 3600.0

PassingResult = Literal["passed_on", "repeated", "expired", "too_many"]


class ReplyAddress(NamedTuple):
    """An address that an office answers to: the writer it stands for, as a header has him.

    replies: how many answers were passed on in the hour that began at `hour_at`.
    """

    id: str
    message: str
    server: str
    writer: str
    hour_at: float
    replies: int


class Passing(NamedTuple):
    """An answer that came to a reply address, as the message that passes it on.

    identity: of the mail, the same wherever it comes again. group: whose provider brought it.
    address: the reply address's id.
    """

    group: str
    identity: str
    address: str
    message: NewMessage
    now: float


def find(connection: Connection, id: str, now: float) -> ReplyAddress | None:
    """Look up a reply address that is good at a time."""
    columns = reply_addresses.c
    query = select(*(columns[name] for name in ReplyAddress._fields))
    row = connection.execute(query.where(columns.id == id, columns.expires_at > now)).first()
    return None if row is None else ReplyAddress(*row)


@one_by_one
def pass_on(connection: Connection, passing: Passing) -> PassingResult:
    """Store the messages that pass answers on: each answer once, and not too many an hour."""
    digest = callbacks.digest_of(passing.group, passing.identity)
    if not callbacks.remember(connection, digest, passing.now):
        return "repeated"
    lock(connection, f"reply address {passing.address}")
    row = find(connection, passing.address, passing.now)
    if row is None:
        return "expired"
    # A clock that went back begins another hour too.
    running = 0 <= passing.now - row.hour_at < HOUR
    count = row.replies if running else 0
    if count >= MAX_PER_HOUR:
        return "too_many"
    statement = update(reply_addresses).where(reply_addresses.c.id == row.id)
    hour_at = row.hour_at if running else passing.now
    connection.execute(statement.values(hour_at=hour_at, replies=count + 1))
    enqueue.add(connection, [passing.message])
    id, answered, now = passing.message.id, row.message, passing.now
    became = "is held" if passing.message.state == State.HELD else "was passed on"
    events = [
        NewEvent(answered, now, "answered", f"an answer {became} as {id}"),
        NewEvent(id, now, "answer", f"passes on an answer to {answered}"),
    ]
    note(connection, events)
    return "passed_on"


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Forget the reply addresses that expired before each of these times; count them."""
    expires_at = reply_addresses.c.expires_at
    return connection.execute(delete(reply_addresses).where(expires_at <= now)).rowcount
