"""What a look-up means for a message in doubt: pure, without a clock or a store."""

from dataclasses import dataclass
from typing import Any

from relay.core.errors import DeliveryError
from relay.core.message import ABSENT, Absent, Confirmation
from relay.core.server import Server
from relay.core.states import State
from relay.delivery import retry
from relay.store.outbox.in_doubt import UNKNOWN, Decision, Doubt
from relay.store.schema import SUSPECT_CRASHES

# Look-ups on end that must find nothing before a message is sent again.
ABSENCES = 2
# Where nothing can be looked up for so long, losing the message is worse than a second copy.
BLIND_SECONDS = 6 * 3600.0

TWICE = "may be delivered twice"


@dataclass(frozen=True, slots=True)
class Untraceable:
    """A message that the provider cannot be asked about, and why."""

    words: str


# None: this plugin cannot look anything up. An error: it cannot do so now.
LookUpResult = Confirmation | Absent | DeliveryError | Untraceable | None


def without_asking(doubt: Doubt, server: Server, now: float) -> Decision | None:
    """Decide by the server's own policy, where that is not to look it up."""
    if server.in_doubt == "hold":
        return _held(doubt, "nothing in doubt is sent again here by itself", now)
    if server.in_doubt == "resend" and retry.too_old(now, doubt.since, server.max_age):
        return _held(doubt, "nobody knows whether it was sent, and it is too old by now", now)
    if server.in_doubt == "resend":
        return _again(doubt, server, "what is in doubt is sent again here at once", now)
    return None


def verdict(
    doubt: Doubt, answer: LookUpResult, server: Server, plugin: str, now: float
) -> Decision:
    """Decide what becomes of a message, by what the plugin that tried to send it found.

    An outage of the search is no absence, and it breaks no row of them: it says nothing.
    """
    absences = doubt.absences + 1
    if isinstance(answer, Confirmation):
        return _found(doubt, answer, plugin, now)
    if isinstance(answer, Untraceable):
        return _held(doubt, answer.words, now)
    if answer is ABSENT:
        words = f"{plugin} does not have it ({absences} of {ABSENCES})"
        if absences < ABSENCES:
            return _still(doubt, ("absent", words), server, now, absences)
        return _again(doubt, server, f"{plugin} does not have it", now, ("absent", words))
    if answer is None:
        words = f"{plugin} cannot look it up"
        return _blind(doubt, words, server, now, ready=doubt.looks + 1 >= ABSENCES)
    words = f"{plugin} could not look it up: {answer}"
    seconds = 0.0 if doubt.failing_since is None else now - doubt.failing_since
    return _blind(doubt, words, server, now, ready=seconds >= BLIND_SECONDS)


def _found(doubt: Doubt, receipt: Confirmation, plugin: str, now: float) -> Decision:
    events = (("found", f"{plugin} has it: {receipt.words}"),)
    changes = {"words": receipt.words, "provider_id": receipt.provider_id, "delivery": plugin}
    return _decision(doubt, State.SENT, now, events, **changes)


def _held(doubt: Doubt, words: str, now: float) -> Decision:
    return _decision(doubt, State.HELD, now, ((State.HELD, f"{words}; a person must decide"),))


def _still(
    doubt: Doubt, event: tuple[str, str], server: Server, now: float, absences: int
) -> Decision:
    due_at = retry.next_look(now, doubt.looks + 1, server.settle)
    looks = doubt.looks + 1
    return _decision(
        doubt, State.IN_DOUBT, now, (event,), due_at=due_at, looks=looks, absences=absences
    )


def _blind(doubt: Doubt, words: str, server: Server, now: float, *, ready: bool) -> Decision:
    """Wait, then send again what could not be looked up: once, and then it is a person's."""
    if not ready:
        return _still(doubt, (UNKNOWN, words), server, now, doubt.absences)
    if doubt.maybe_twice:
        return _held(doubt, f"{words}, and it was sent again before", now)
    return _again(doubt, server, words, now, (UNKNOWN, words))


def _again(
    doubt: Doubt, server: Server, words: str, now: float, *before: tuple[str, str]
) -> Decision:
    """Queue a message again, unless it is what breaks us or was given time enough."""
    # With so many it was tried while nothing else was: it is this message, and no other.
    if doubt.crashes > SUSPECT_CRASHES:
        broke = (State.QUARANTINED, f"sending it failed badly {doubt.crashes} times")
        return _decision(doubt, State.QUARANTINED, now, (*before, broke))
    if doubt.maybe_twice and retry.too_old(now, doubt.since, server.max_age):
        return _decision(
            doubt, State.EXPIRED, now, (*before, (State.EXPIRED, f"{words}; too old by now"))
        )
    events = (*before, ("resent", f"{words}; sent again: {TWICE}"))
    due_at = max(now, doubt.since)
    state = State.QUEUED if due_at <= now else State.SCHEDULED
    return _decision(doubt, state, now, events, due_at=due_at, maybe_twice=True)


def _decision(
    doubt: Doubt, state: State, now: float, events: tuple[tuple[str, str], ...], **changes: Any
) -> Decision:
    values = {
        "due_at": now,
        "looks": 0,
        "absences": 0,
        "maybe_twice": doubt.maybe_twice,
        "delivery": doubt.delivery,
        "words": events[-1][1],
    }
    return Decision(doubt=doubt, at=now, state=state, events=events, **{**values, **changes})
