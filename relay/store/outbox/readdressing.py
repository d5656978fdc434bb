"""Sending a message again to another address: a mistyped one was mended, an office moved.

It is a message of its own. What became of the first one stays; where a person was to decide about
it, this is the decision.
"""

from typing import NamedTuple

from sqlalchemy import Connection, select

from relay.core.states import UNSEEN, State
from relay.core.times import shown
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.operator_actions import Order, cancel, dismiss
from relay.store.queries.listing import MessageRow
from relay.store.schema import BROKEN, messages

# What is over, or waits for a person: nothing else will send it.
STATES = (*UNSEEN, State.HELD, State.SENT, State.SUPPRESSED, State.CANCELLED)


class Readdressing(NamedTuple):
    """A message that repeats the one of an id for another address, at a time, by somebody."""

    message: NewMessage
    id: str
    now: float
    who: str


def objection(row: MessageRow) -> str:
    """Say why a message cannot be sent to another address; "" where it can."""
    if row.kind == BROKEN:
        return "it is no message yet: `run.py screened release` makes it one"
    if row.state not in STATES:
        return f"it is {row.state}; only what is {', '.join(STATES)} can be sent to another address"
    if row.cleared_at is not None:
        return f"its contents were cleared on {shown(row.cleared_at)}"
    return ""


@one_by_one
def readdress(connection: Connection, one: Readdressing) -> bool:
    """Store each second message; False where the first one changed in the meantime."""
    columns = (messages.c.state, messages.c.cleared_at)
    row = connection.execute(select(*columns).where(messages.c.id == one.id)).first()
    if row is None or row.state not in STATES or row.cleared_at is not None:
        return False
    order = Order([one.id], one.now, who=one.who)
    if row.state == State.HELD:
        [[verdict]] = cancel(connection, [order])
        if not verdict.done:
            return False
    elif row.state in UNSEEN:
        dismiss(connection, [order])
    [refusal] = enqueue.add(connection, [one.message])
    if refusal is not None:
        raise refusal  # and with it goes all that was done here
    again = one.message.id
    note(
        connection,
        [
            NewEvent(one.id, one.now, "readdressed", f"by {one.who}: sent again as {again}"),
            NewEvent(again, one.now, "second", f"sends {one.id} again, to another address"),
        ],
    )
    return True
