"""What happened to messages besides their attempts, as it is written down."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from relay.store.engine.statements import insert_rows
from relay.store.schema import events

MAX_WORDS = 500


class NewEvent(NamedTuple):
    """What happened to a message, at a time."""

    message: str
    at: float
    kind: str
    words: str


def happened(connection: Connection, message: str, kind: str) -> bool:
    """Return whether something of a kind happened to a message."""
    query = select(events.c.id).where(events.c.message == message, events.c.kind == kind)
    return connection.execute(query.limit(1)).first() is not None


def note(connection: Connection, happened: Iterable[NewEvent]) -> None:
    """Add events to their messages' histories."""
    rows = [(one.message, one.at, one.kind, one.words[:MAX_WORDS]) for one in happened]
    insert_rows(connection, events, NewEvent._fields, rows)
