"""How messages come to be in doubt: whoever was sending them will not be heard of again."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    insert,
    literal,
    select,
    update,
)

from relay.store.schema import IS_UNDECIDED, events, messages


class Interruption(NamedTuple):
    """Attempts that will not be heard of again.

    settle: seconds to the first look, by server; otherwise: those of any other server.
    """

    now: float
    settle: Mapping[str, float]
    otherwise: float = 0.0


def interrupted(connection: Connection, batch: Sequence[Interruption]) -> list[int]:
    """Put in doubt whatever a daemon that is gone left `sending`, and count it."""
    event = ("interrupted", "the daemon stopped while it was being sent")
    crashed = {"crashes": messages.c.crashes + 1}
    sending = and_(IS_UNDECIDED, messages.c.state == "sending")
    return [put_in_doubt(connection, sending, one, event, crashed) for one in batch]


def lapsed(connection: Connection, batch: Sequence[Interruption]) -> list[int]:
    """Put in doubt what is `sending` beyond the end of its claim, and count it."""
    event = ("interrupted", "its attempt ended without a word")
    return [
        put_in_doubt(connection, and_(IS_UNDECIDED, _has_lapsed(one.now)), one, event)
        for one in batch
    ]


def any_lapsed(connection: Connection, now: float) -> bool:
    """Return whether anything is `sending` beyond the end of its claim."""
    found = select(messages.c.id).where(IS_UNDECIDED, _has_lapsed(now)).limit(1)
    return connection.execute(found).first() is not None


def _has_lapsed(now: float) -> ColumnElement[bool]:
    return (messages.c.state == "sending") & (messages.c.due_at <= now)


def put_in_doubt(
    connection: Connection,
    which: ColumnElement[bool],
    interruption: Interruption,
    event: tuple[str, str],
    changes: Mapping[str, Any] | None = None,
) -> int:
    """Put messages in doubt, each with an event of this kind and words; count them.

    changes: what else changes of their rows.
    """
    now, settle, otherwise = interruption
    kind, words = event
    lost = select(messages.c.id, literal(now), literal(kind), literal(words)).where(which)
    connection.execute(insert(events).from_select(["message", "at", "kind", "words"], lost))
    waits = [(messages.c.server == server, seconds) for server, seconds in settle.items()]
    values = {
        "state": "in_doubt",
        "due_at": now + (case(*waits, else_=otherwise) if waits else otherwise),
        # Whoever had claimed it has lost it: a late outcome changes nothing any more.
        "fence": messages.c.fence + 1,
        "looks": 0,
        "absences": 0,
        "words": words,
        **(changes or {}),
    }
    return connection.execute(update(messages).where(which).values(values)).rowcount
