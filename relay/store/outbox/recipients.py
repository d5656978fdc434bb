"""Recipients whose fate is not their message's: who has it already, and who never will.

A message that some were refused for now waits for those alone; what is recorded here keeps it from
reaching the others twice.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from relay.store.schema import recipients


class Fate(NamedTuple):
    """What became of one recipient; `address` is in lower case."""

    address: str
    state: Literal["taken", "refused"]
    words: str


def record(connection: Connection, message: str, at: float, fates: Sequence[Fate]) -> None:
    """Record what became of some of a message's recipients, in place of what was known."""
    known = delete(recipients).where(
        recipients.c.message == message, recipients.c.address.in_([one.address for one in fates])
    )
    connection.execute(known)
    rows = [
        {
            "message": message,
            "address": one.address,
            "state": one.state,
            "at": at,
            "words": one.words[:500],
        }
        for one in fates
    ]
    connection.execute(insert(recipients), rows)


def settled(connection: Connection, messages: Sequence[str]) -> dict[str, set[str]]:
    """Return, by message, the addresses that it is not to be sent to any more."""
    query = select(recipients.c.message, recipients.c.address)
    found: dict[str, set[str]] = {}
    for row in connection.execute(query.where(recipients.c.message.in_(messages))):
        found.setdefault(row.message, set()).add(row.address)
    return found


def of_message(connection: Connection, message: str) -> dict[str, tuple[str, float]]:
    """Return what became of a message's recipients, and when, by address."""
    query = select(recipients).where(recipients.c.message == message)
    return {row.address: (row.state, row.at) for row in connection.execute(query)}
