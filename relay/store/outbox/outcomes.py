"""What came of claimed messages: recorded once, and only for the claim that is still theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Update, bindparam, func, insert, select, update

from relay.store import tokens
from relay.store.outbox import recipients, references
from relay.store.outbox.recipients import Fate
from relay.store.schema import attempts, events, messages


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is being sent, under the fence of this claim."""

    id: str
    server: str
    fence: int
    since: float
    attempts: int
    tries: int
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """What came of a claimed message.

    counted: whether the provider got something to judge. crashed: whether our own code failed at
    it. maybe_twice: that it may have been sent before, or was not after all; None leaves that.
    fates: those of recipients that are not their message's.
    """

    claimed: Claimed
    state: str
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


def settle(connection: Connection, batch: Sequence[Sequence[AttemptOutcome]]) -> list[list[bool]]:
    """Record the outcomes of calls; one whose claim is no longer its message's changes nothing."""
    flat = [settlement for settlements in batch for settlement in settlements]
    ids = [settlement.claimed.id for settlement in flat]
    fences = {row.id: row.fence for row in connection.execute(_FENCES, {"ids": ids})}
    current = [one for one in flat if fences.get(one.claimed.id) == one.claimed.fence]
    if current:
        connection.execute(_SETTLE, [_change(settlement) for settlement in current])
        connection.execute(insert(attempts), [_attempt(settlement) for settlement in current])
        befell = [_event(settlement) for settlement in current if _is_remarkable(settlement)]
        if befell:
            connection.execute(insert(events), befell)
        for one in current:
            if one.fates:
                recipients.record(connection, one.claimed.id, one.ended_at, one.fates)
        refused = [one for one in current if one.give_token_back]
        if refused:
            ids = [one.claimed.id for one in refused]
            tokens.give_back(connection, ids)
            references.told(connection, ids, refused[0].ended_at)
    return [[fences.get(s.claimed.id) == s.claimed.fence for s in settled] for settled in batch]


def _settle() -> Update:
    """Write the settling statement, once: what it is bound to differs only in values."""
    names = ("state", "due_at", "attempts", "tries", "delivery", "words")
    return (
        update(messages)
        .where(messages.c.id == bindparam("message"))
        .values(
            {name: bindparam(f"new_{name}") for name in names}
            | {
                "crashes": messages.c.crashes + bindparam("crashed"),
                "maybe_twice": func.coalesce(bindparam("new_maybe_twice"), messages.c.maybe_twice),
                # Of a message that was sent to some, what they have it under.
                "provider_id": func.coalesce(bindparam("new_provider_id"), messages.c.provider_id),
                "looks": 0,
                "absences": 0,
            }
        )
    )


_SETTLE = _settle()


_FENCES = select(messages.c.id, messages.c.fence).where(
    messages.c.id.in_(bindparam("ids", expanding=True)), messages.c.state == "sending"
)


def _change(settlement: AttemptOutcome) -> dict[str, Any]:
    return {
        "message": settlement.claimed.id,
        "new_state": settlement.state,
        "new_due_at": settlement.due_at,
        "new_attempts": settlement.claimed.attempts + settlement.counted,
        "new_tries": settlement.claimed.tries + 1,
        "new_delivery": settlement.delivery,
        "new_provider_id": settlement.provider_id,
        "new_words": settlement.words[:500],
        "crashed": int(settlement.crashed),
        "new_maybe_twice": settlement.maybe_twice,
    }


def _attempt(settlement: AttemptOutcome) -> dict[str, Any]:
    return {
        "message": settlement.claimed.id,
        "number": settlement.claimed.tries + 1,
        "started_at": settlement.started_at,
        "ended_at": settlement.ended_at,
        "delivery": settlement.delivery,
        "outcome": settlement.outcome,
        "words": settlement.words[:500],
    }


def _is_remarkable(settlement: AttemptOutcome) -> bool:
    """Return whether an attempt left more behind than its own outcome."""
    return bool(settlement.maybe_twice) or settlement.state in ("held", "quarantined")


def _event(settlement: AttemptOutcome) -> dict[str, Any]:
    kind = "resent" if settlement.maybe_twice else settlement.state
    words = settlement.words[:500]
    return {
        "message": settlement.claimed.id,
        "at": settlement.ended_at,
        "kind": kind,
        "words": words,
    }
