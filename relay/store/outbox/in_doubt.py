"""Messages in doubt: which are to be looked up, what was decided, which turn out to be sent.

A message is in doubt when the provider may have taken it and nobody knows. Nothing is decided for
a row that has changed since it was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TextClause,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Row

from relay.core.states import DOUBTFUL, WAITING, State
from relay.store.engine.writer import one_by_one
from relay.store.outbox import ledger
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.transitions import Change, change, change_each
from relay.store.schema import IS_UNDECIDED, events, messages

# How many messages one look takes out of the store.
BATCH = 100
# When what a daemon took to look up is due again, if it says nothing of it.
TAKEN_SECONDS = 60.0

# What a decision changes besides the state.
CHANGES = (
    "due_at",
    "looks",
    "absences",
    "maybe_twice",
    "delivery",
    "provider_id",
    "words",
)


# The event of a look-up that told nothing.
UNKNOWN = "looked_up"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message in doubt.

    looks, absences: look-ups since its answer was lost, and how many of them found for certain
    that the provider does not have it. failing_since: when the first of the latest look-ups that
    told nothing was made. delivery: the plugin that made the last attempt; None where that was
    never written down. canary: that it is Relay's own and counts nowhere.
    """

    id: str
    server: str
    fence: int
    since: float
    due_at: float
    looks: int
    absences: int
    crashes: int
    maybe_twice: bool
    delivery: str | None
    failing_since: float | None = None
    canary: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message in doubt; `events` are pairs of a kind and words."""

    doubt: Doubt
    at: float
    state: State
    due_at: float
    looks: int
    absences: int
    maybe_twice: bool
    delivery: str | None
    words: str
    events: tuple[tuple[str, str], ...]
    provider_id: str | None = None


class Seen(NamedTuple):
    """A message as it was read: what is decided by this counts while it is still so."""

    id: str
    server: str
    key: str
    state: State
    fence: int
    maybe_twice: bool
    cleared_at: float | None
    canary: bool = False

    @property
    def is_open(self) -> bool:
        """Whether word that it is sent decides what becomes of it."""
        return self.state in DOUBTFUL or (self.state in WAITING and self.maybe_twice)


class LateAnswer(NamedTuple):
    """A provider took a message after its claim had ended."""

    id: str
    at: float
    provider_id: str
    delivery: str


def due(
    connection: Connection,
    now: float,
    longest: float,
    asked: Sequence[tuple[str, str]],
    after: tuple[float, str] = (0.0, ""),
) -> list[Doubt]:
    """Return some of the messages that are to be looked up, next due first, from `after` on.

    asked: pairs of a server and a plugin that can be asked about its messages; "" where none was
    written down. A message due in more than `longest` seconds is due now: the clock was set back.
    """
    later = tuple_(messages.c.due_at, messages.c.id) > tuple_(*map(literal, after))
    query = _due(now, longest, asked).where(later)
    return [_doubt(row) for row in connection.execute(query)] if asked else []


def _due(now: float, longest: float, asked: Sequence[tuple[str, str]]) -> Select[Any]:
    return (
        select(messages, _failing_since())
        .where(IS_UNDECIDED, messages.c.state == State.IN_DOUBT)
        .where(or_(messages.c.due_at <= now, messages.c.due_at > now + longest))
        .where(_asked().in_(asked))
        .order_by(messages.c.due_at, messages.c.id)
        .limit(BATCH)
    )


class Looking(NamedTuple):
    """An order to take messages that are due for a look-up; as `due` has it."""

    now: float
    longest: float
    asked: Sequence[tuple[str, str]]


@one_by_one
def take(connection: Connection, order: Looking) -> list[Doubt]:
    """Take some of the messages that are to be looked up, so that no other daemon does it now.

    Whose daemon dies over it is due again soon.
    """
    if not order.asked:
        return []
    query = _due(order.now, order.longest, order.asked)
    query = query.with_for_update(of=messages, skip_locked=True)
    found = [_doubt(row) for row in connection.execute(query)]
    later = update(messages).where(messages.c.id.in_([one.id for one in found]))
    connection.execute(later.values(due_at=order.now + TAKEN_SECONDS))
    return found


def unasked(
    connection: Connection, asked: Sequence[tuple[str, str]]
) -> list[tuple[str, str | None, int]]:
    """Count the messages in doubt that nobody can be asked about, by server and plugin."""
    server, delivery = messages.c.server, messages.c.delivery
    query = select(server, delivery, func.count()).where(IS_UNDECIDED)
    query = query.where(messages.c.state == State.IN_DOUBT).group_by(server, delivery)
    if asked:
        query = query.where(_asked().not_in(asked))
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def _failing_since() -> Any:
    """Return the time of the first look-up after the last event that was no failing look-up."""
    others = events.alias()
    last = select(func.max(others.c.id)).where(
        others.c.message == messages.c.id, others.c.kind != UNKNOWN
    )
    first = select(func.min(events.c.at)).where(
        events.c.message == messages.c.id,
        events.c.kind == UNKNOWN,
        events.c.id > func.coalesce(last.correlate(messages).scalar_subquery(), 0),
    )
    return first.correlate(messages).scalar_subquery().label("failing_since")


def _asked() -> Any:
    return tuple_(messages.c.server, func.coalesce(messages.c.delivery, ""))


def _doubt(row: Row[Any]) -> Doubt:
    return Doubt(**{field.name: getattr(row, field.name) for field in fields(Doubt)})


def decide(connection: Connection, batch: Sequence[Decision]) -> list[bool]:
    """Record what becomes of messages in doubt; tell for which of them it still counted."""
    counts = change_each(connection, [_change(one) for one in batch])
    decided = [one for one, counted in zip(batch, counts, strict=True) if counted]
    note(
        connection,
        (NewEvent(one.doubt.id, one.at, *event) for one in decided for event in one.events),
    )
    mail = (one for one in decided if not one.doubt.canary)
    ledger.record(
        connection, ((one.doubt.server, one.at, ledger.BECAME[one.state]) for one in mail)
    )
    return counts


def _change(decision: Decision) -> tuple[str, Change]:
    doubt = decision.doubt
    values = {name: getattr(decision, name) for name in CHANGES} | {"words": decision.words[:500]}
    # Of two decisions on the same look the first counts.
    expected = {"fence": doubt.fence, "looks": doubt.looks}
    return doubt.id, Change((State.IN_DOUBT,), decision.state, values, expected)


def seen(*conditions: ColumnElement[bool] | TextClause) -> Select[Any]:
    """Make the query for messages as Seen has them."""
    return select(*(messages.c[name] for name in Seen._fields)).where(*conditions)


def settle(connection: Connection, one: Seen, provider_id: str, words: str, now: float) -> bool:
    """Record that a message is sent after all, and how that is known; False if it changed."""
    values: dict[str, Any] = {"due_at": now, "words": words, "looks": 0, "absences": 0}
    if provider_id:
        values["provider_id"] = provider_id[:200]
    expected = {"fence": one.fence, "maybe_twice": one.maybe_twice}
    if not change(connection, [one.id], Change((one.state,), State.SENT, values, expected)):
        return False
    note(connection, [NewEvent(one.id, now, "found", words)])
    if not one.canary:
        ledger.record(connection, [(one.server, now, ledger.BECAME[State.SENT])])
    return True


@one_by_one
def answered_late(connection: Connection, answer: LateAnswer) -> str:
    """Settle messages by answers whose claim was lost; return the states they were in.

    "" for one that is no longer open: what was decided about it stands, and its history has the
    answer.
    """
    row = connection.execute(seen(messages.c.id == answer.id)).first()
    one = None if row is None else Seen(*row)
    words = f"{answer.delivery} took it after its claim had ended"
    if one and one.is_open and settle(connection, one, answer.provider_id, words, answer.at):
        return one.state
    note(connection, [NewEvent(answer.id, answer.at, "late", words)])
    return ""
