"""What came of claimed messages: recorded once, and only for the claim that is still theirs.

A message that some recipients were refused for now waits for those alone; what is recorded of the
others keeps it from reaching them twice.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from relay.core.states import State
from relay.store import proofs, tokens
from relay.store.engine.statements import insert_rows
from relay.store.outbox import ledger, references
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.transitions import Change, change_each
from relay.store.schema import attempts, recipients


class Claimed(NamedTuple):
    """A message that is being sent, under the fence of this claim.

    canary: that it is Relay's own and counts nowhere.
    """

    id: str
    server: str
    fence: int
    since: float
    attempts: int
    tries: int
    crashes: int = 0
    canary: bool = False


class Fate(NamedTuple):
    """What became of one recipient; `address` is in lower case."""

    address: str
    state: Literal["taken", "refused"]
    words: str


class AttemptOutcome(NamedTuple):
    """What came of a claimed message.

    counted: whether the provider got something to judge. crashed: whether our own code failed at
    it. maybe_twice: that it may have been sent before, or was not after all; None leaves that.
    fates: those of recipients that are not their message's.
    """

    claimed: Claimed
    state: State
    due_at: float
    counted: bool
    delivery: str
    outcome: str
    words: str
    started_at: float
    ended_at: float
    provider_id: str | None = None
    give_token_back: bool = False
    crashed: bool = False
    maybe_twice: bool | None = None
    fates: tuple[Fate, ...] = ()


# A message that an attempt leaves in one of these states has an event of that, too.
NOTED = (State.HELD, State.QUARANTINED)


def settle(connection: Connection, batch: Sequence[Sequence[AttemptOutcome]]) -> list[list[bool]]:
    """Record the outcomes of calls; one whose claim is no longer its message's changes nothing."""
    flat = [settlement for settlements in batch for settlement in settlements]
    counted = change_each(connection, [_change(settlement) for settlement in flat])
    current = [one for one, counts in zip(flat, counted, strict=True) if counts]
    if current:
        insert_rows(connection, attempts, ATTEMPT, [_attempt(one) for one in current])
        note(connection, [_event(one) for one in current if one.maybe_twice or one.state in NOTED])
        for one in current:
            if one.fates:
                _record_fates(connection, one.claimed.id, one.ended_at, one.fates)
        happened = [
            (one.claimed.server, one.ended_at, ledger.ATTEMPTED[one.state])
            for one in current
            if not one.claimed.canary
        ]
        ledger.record(connection, happened)
        refused = [one for one in current if one.give_token_back]
        if refused:
            ids = [one.claimed.id for one in refused]
            tokens.give_back(connection, ids)
            proofs.give_back(connection, ids)
            references.told(connection, ids, refused[0].ended_at)
    results = iter(counted)
    return [[next(results) for _ in settlements] for settlements in batch]


def _change(settlement: AttemptOutcome) -> tuple[str, Change]:
    claimed = settlement.claimed
    values: dict[str, Any] = {
        "due_at": settlement.due_at,
        "attempts": claimed.attempts + settlement.counted,
        "tries": claimed.tries + 1,
        "delivery": settlement.delivery,
        "words": settlement.words[:500],
        "looks": 0,
        "absences": 0,
    }
    if settlement.crashed:
        values["crashes"] = claimed.crashes + 1
    if settlement.maybe_twice is not None:
        values["maybe_twice"] = settlement.maybe_twice
    # Of a message that was sent to some, what they have it under.
    if settlement.provider_id is not None:
        values["provider_id"] = settlement.provider_id
    expected = {"fence": claimed.fence}
    return claimed.id, Change((State.SENDING,), settlement.state, values, expected)


ATTEMPT = ("message", "number", "started_at", "ended_at", "delivery", "outcome", "words")


def _attempt(settlement: AttemptOutcome) -> tuple[Any, ...]:
    return (
        settlement.claimed.id,
        settlement.claimed.tries + 1,
        settlement.started_at,
        settlement.ended_at,
        settlement.delivery,
        settlement.outcome,
        settlement.words[:500],
    )


def _event(settlement: AttemptOutcome) -> NewEvent:
    kind = "resent" if settlement.maybe_twice else settlement.state
    return NewEvent(settlement.claimed.id, settlement.ended_at, kind, settlement.words)


def _record_fates(connection: Connection, message: str, at: float, fates: Sequence[Fate]) -> None:
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


def settled_recipients(connection: Connection, messages: Sequence[str]) -> dict[str, set[str]]:
    """Return, by message, the addresses that it is not to be sent to any more."""
    query = select(recipients.c.message, recipients.c.address)
    found: dict[str, set[str]] = {}
    for row in connection.execute(query.where(recipients.c.message.in_(messages))):
        found.setdefault(row.message, set()).add(row.address)
    return found


def recipients_of(connection: Connection, message: str) -> dict[str, tuple[str, float]]:
    """Return what became of a message's recipients, and when, by address."""
    query = select(recipients).where(recipients.c.message == message)
    return {row.address: (row.state, row.at) for row in connection.execute(query)}
