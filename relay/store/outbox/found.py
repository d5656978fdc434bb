"""Messages whose fate nobody knew and that turn out to be sent: by an event, or a late answer."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from relay.store.schema import events, messages

# States of a message that a provider may have; and, where it is sent again without certainty, of
# one that it may have already.
DOUBTFUL_STATES = ("in_doubt", "held")
WAITING_STATES = ("queued", "scheduled")


class LateAnswer(NamedTuple):
    """A provider took a message after its claim had ended."""

    id: str
    at: float
    provider_id: str
    delivery: str


def is_open(state: str, *, maybe_twice: bool) -> bool:
    """Return whether word that a message is sent decides what becomes of it."""
    return state in DOUBTFUL_STATES or (state in WAITING_STATES and maybe_twice)


def settle(connection: Connection, id: str, provider_id: str, words: str, now: float) -> None:
    """Record that a message is sent after all, and how that is known."""
    values = {"state": "sent", "due_at": now, "words": words, "looks": 0, "absences": 0}
    if provider_id:
        values["provider_id"] = provider_id[:200]
    connection.execute(update(messages).where(messages.c.id == id).values(values))
    connection.execute(insert(events).values(message=id, at=now, kind="found", words=words))


def answered_late(connection: Connection, batch: Sequence[LateAnswer]) -> list[str]:
    """Settle messages by answers whose claim was lost; return the states they were in.

    "" for one that is no longer open: what was decided about it stands, and its history has the
    answer.
    """
    return [_answered_late(connection, one) for one in batch]


def _answered_late(connection: Connection, answer: LateAnswer) -> str:
    query = select(messages.c.state, messages.c.maybe_twice).where(messages.c.id == answer.id)
    row = connection.execute(query).first()
    words = f"{answer.delivery} took it after its claim had ended"
    if row is None or not is_open(row.state, maybe_twice=row.maybe_twice):
        values = {"message": answer.id, "at": answer.at, "kind": "late", "words": words}
        connection.execute(insert(events).values(values))
        return ""
    settle(connection, answer.id, answer.provider_id, words, answer.at)
    state: str = row.state
    return state
