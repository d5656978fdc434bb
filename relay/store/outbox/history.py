"""What happened to messages besides their attempts, as it is written down."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, insert

from relay.store.schema import events

MAX_WORDS = 500


class NewEvent(NamedTuple):
    """What happened to a message, at a time."""

    message: str
    at: float
    kind: str
    words: str


def note(connection: Connection, happened: Iterable[NewEvent]) -> None:
    """Add events to their messages' histories."""
    rows = [{**one._asdict(), "words": one.words[:MAX_WORDS]} for one in happened]
    if rows:
        connection.execute(insert(events), rows)
