"""Submissions that were kept back: found, released as the messages they were, dropped, counted.

A robot's is screened; one that broke a plugin is quarantined.
"""

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from relay.core import states
from relay.core.states import State
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue, ledger, retention
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.operator_actions import SOMEBODY, Order, Verdict
from relay.store.outbox.retention import Clearing
from relay.store.schema import IS_KEPT_BACK, contents, messages
from relay.store.schema import ledger as ledger_table
from relay.store.words import index


class Kept(NamedTuple):
    """A submission that was kept back: why, and for when it would have been scheduled."""

    server: str
    state: State
    key: str
    reason: str
    created_at: float
    due_at: float
    document: str
    origin: str | None


class Release(NamedTuple):
    """The message that a submission of the same id makes, released at a time, by somebody."""

    message: NewMessage
    now: float
    who: str = SOMEBODY


class Rate(NamedTuple):
    """How many of a server's submissions were screened, and of those released."""

    server: str
    screened: int
    released: int


def find(connection: Connection, id: str) -> Kept | None:
    """Look up a submission that was kept back and is still whole."""
    columns = (
        *(messages.c[name] for name in ("server", "state", "key", "created_at", "due_at")),
        messages.c.words,
        contents.c.document,
        contents.c.origin,
    )
    query = select(*columns).join(contents, contents.c.id == messages.c.id)
    row = connection.execute(query.where(IS_KEPT_BACK, messages.c.id == id)).first()
    if row is None:
        return None
    return Kept(
        row.server,
        State(row.state),
        row.key,
        row.words or "",
        row.created_at,
        row.due_at,
        row.document,
        row.origin,
    )


@one_by_one
def release(connection: Connection, one: Release) -> bool:
    """Put each message in the place of its submission; False where that is gone.

    Of two releases of one submission, the first finds it.
    """
    id = one.message.id
    kept = find(connection, id)
    if kept is None:
        return False
    states.check([kept.state], State(one.message.state), ordered=True)
    if not connection.execute(delete(messages).where(IS_KEPT_BACK, messages.c.id == id)).rowcount:
        return False
    connection.execute(delete(contents).where(contents.c.id == id))
    [refusal] = enqueue.add(connection, [one.message])
    if refusal is not None:
        raise refusal  # and with it goes all that was done here
    ledger.release(connection, kept.server, kept.created_at, kept.state == State.SCREENED)
    index.renew(connection, [id])
    words = f"by {one.who}; it was {kept.state}: {kept.reason}"
    note(connection, [NewEvent(id, one.now, "released", words)])
    return True


@one_by_one
def drop(connection: Connection, order: Order) -> list[Verdict]:
    """Clear submissions before their time; they are listed no longer."""
    return [_drop(connection, id, order) for id in order.ids]


def _drop(connection: Connection, id: str, order: Order) -> Verdict:
    kept = find(connection, id)
    if kept is None:
        return Verdict(id, "", "", ABSENT)
    retention.clear(connection, [Clearing([id], order.now)])
    # What is quarantined is a trouble until a person has seen it.
    done = "dropped" if kept.state == State.SCREENED else "dismissed"
    note(connection, [NewEvent(id, order.now, done, f"by {order.who}")])
    return Verdict(id, kept.state, "dropped", "dropped")


ABSENT = "there is no such submission"


def rates(connection: Connection) -> list[Rate]:
    """Count what was ever screened and released, by server, where anything was."""
    columns = ledger_table.c
    screened, released = func.sum(columns.screened), func.sum(columns.released)
    query = select(columns.server, screened + released, released).group_by(columns.server)
    found = connection.execute(query.order_by(columns.server)).all()
    return [Rate(*row) for row in found if row[1]]
