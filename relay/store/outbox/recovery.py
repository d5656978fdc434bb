"""How messages come to be in doubt: whoever was sending them will not be heard of again."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, select

from relay.core.states import State
from relay.store.cluster import daemons
from relay.store.engine.writer import one_by_one
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.transitions import Change, change_each
from relay.store.schema import IS_UNDECIDED, messages


class Interruption(NamedTuple):
    """Attempts that will not be heard of again.

    settle: seconds to the first look, by server; otherwise: those of any other server.
    """

    now: float
    settle: Mapping[str, float]
    otherwise: float = 0.0


@one_by_one
def interrupted(connection: Connection, interruption: Interruption) -> int:
    """Put in doubt whatever daemons that are gone left `sending`, and count it."""
    event = ("interrupted", "the daemon stopped while it was being sent")
    which = and_(IS_UNDECIDED, _is_orphaned())
    return put_in_doubt(connection, which, interruption, event, crashed=True)


def any_interrupted(connection: Connection) -> bool:
    """Return whether anything is `sending` that a daemon left which is gone."""
    return _is_there(connection, _is_orphaned())


def _is_orphaned() -> ColumnElement[bool]:
    """Return the condition for being claimed by a daemon that is not among the living.

    The one daemon of a database of its own is never among them: it asks before it claims.
    """
    return (messages.c.state == State.SENDING) & messages.c.daemon.not_in(daemons.living())


@one_by_one
def lapsed(connection: Connection, interruption: Interruption) -> int:
    """Put in doubt what is `sending` beyond the end of its claim, and count it."""
    event = ("interrupted", "its attempt ended without a word")
    which = and_(IS_UNDECIDED, _has_lapsed(interruption.now))
    return put_in_doubt(connection, which, interruption, event)


def any_lapsed(connection: Connection, now: float) -> bool:
    """Return whether anything is `sending` beyond the end of its claim."""
    return _is_there(connection, _has_lapsed(now))


def _has_lapsed(now: float) -> ColumnElement[bool]:
    return (messages.c.state == State.SENDING) & (messages.c.due_at <= now)


def _is_there(connection: Connection, which: ColumnElement[bool]) -> bool:
    found = select(messages.c.id).where(IS_UNDECIDED, which).limit(1)
    return connection.execute(found).first() is not None


def put_in_doubt(
    connection: Connection,
    which: ColumnElement[bool],
    interruption: Interruption,
    event: tuple[str, str],
    *,
    crashed: bool = False,
) -> int:
    """Put messages in doubt, each with an event of this kind and words; count them.

    crashed: whether a daemon died while it was sending them.
    """
    now, settle, otherwise = interruption
    kind, words = event
    columns = messages.c
    query = select(columns.id, columns.server, columns.state, columns.fence, columns.crashes)
    changes = []
    for row in connection.execute(query.where(which)):
        values = {
            "due_at": now + settle.get(row.server, otherwise),
            # Whoever had claimed it has lost it: a late outcome changes nothing any more.
            "fence": row.fence + 1,
            "crashes": row.crashes + crashed,
            "looks": 0,
            "absences": 0,
            "words": words,
        }
        expected = {"fence": row.fence}
        changes.append((row.id, Change((row.state,), State.IN_DOUBT, values, expected)))
    changed = zip(changes, change_each(connection, changes), strict=True)
    lost = [NewEvent(id, now, kind, words) for (id, _), done in changed if done]
    note(connection, lost)
    return len(lost)
