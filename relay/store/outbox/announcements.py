"""What happens to messages and a webhook asks for: written in the commit in which it happens.

Nothing is written where nobody asks. The daemon that leads makes calls of it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, insert

from relay.core import clock
from relay.store.cluster.daemons import announced
from relay.store.schema import webhook_events

MAX_WORDS = 500


class Announcement(NamedTuple):
    """Something that happened to a message: one of `EVENTS`, or what nobody can ask for.

    words: the provider's. recipient: of whom they are; "" for the message as a whole.
    """

    message: str
    kind: str
    words: str = ""
    recipient: str = ""


def announce(connection: Connection, happened: Iterable[Announcement]) -> None:
    """Write down what webhooks ask for."""
    wanted = announced(connection)
    if not wanted:
        return
    now = clock.now()
    rows = [
        {**one._asdict(), "at": now, "words": (one.words or "")[:MAX_WORDS]}
        for one in happened
        if one.kind in wanted
    ]
    if rows:
        connection.execute(insert(webhook_events), rows)
