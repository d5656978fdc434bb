"""Scheduled messages: cancelled by whoever scheduled them, until their time has come."""

from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from relay.core.states import State
from relay.store.engine.writer import one_by_one
from relay.store.outbox.transitions import Change, change
from relay.store.schema import events, messages


class Cancelling(NamedTuple):
    """A server's message that is to be cancelled, and the id of the key that asks for it."""

    id: str
    server: str
    key: str
    now: float


@one_by_one
def cancel(connection: Connection, one: Cancelling) -> str | None:
    """Cancel scheduled messages.

    Return None for each that was cancelled, else the state that it is in; "" where the server never
    scheduled such a message.
    """
    mine = (messages.c.id == one.id, messages.c.server == one.server)
    cancelling = Change((State.SCHEDULED,), State.CANCELLED, {}, {"server": one.server})
    if change(connection, [one.id], cancelling):
        words = f"with key {one.key}"
        event = {"message": one.id, "at": one.now, "kind": State.CANCELLED, "words": words}
        connection.execute(insert(events), [event])
        return None
    # The age of what was scheduled counts from its time, not from when it came in.
    query = select(messages.c.state).where(*mine, messages.c.since > messages.c.created_at)
    state = connection.execute(query).scalar()
    return "" if state is None or state == State.SCREENED else str(state)
