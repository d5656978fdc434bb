"""Whether a canary has arrived, by all that is known of its message: pure, without a clock."""

from typing import NamedTuple

from relay.core.states import PENDING, State
from relay.core.times import age, shown
from relay.store.canaries import Canary
from relay.store.queries.listing import StoredMessage


class Standing(NamedTuple):
    """How a canary stands.

    arrived_at: None while it is not there. is_over: it will not be by itself. waits: it may be sent
    yet. is_taken: the provider has it, and nobody has said more. words: why it is not there.
    """

    arrived_at: float | None = None
    is_over: bool = False
    waits: bool = False
    is_taken: bool = False
    words: str = ""


def standing(found: StoredMessage | None) -> Standing:
    """Return how a canary stands by what is stored of its message."""
    if found is None:
        return Standing(is_over=True, words="its message is gone")
    row = found.row
    told = {event.kind: event for event in reversed(found.events)}
    if "delivered" in told:
        return Standing(told["delivered"].at)
    if "bounced" in told:
        return Standing(is_over=True, words=_words("it came back", told["bounced"].words))
    if row.state == State.SENT:
        return Standing(is_taken=True)
    waits = row.state in PENDING
    state = "it waits to be sent" if waits else f"it is {row.state}"
    return Standing(is_over=not waits, waits=waits, words=_words(state, row.words))


def said(canary: Canary) -> str:
    """Say in a line how a server's canaries do."""
    if canary.missing_since is not None:
        return f"missing since {shown(canary.missing_since)}: {canary.reason}"
    if canary.arrived_at is None:
        return f"on its way since {shown(canary.made_at)}"
    return f"arrived {shown(canary.arrived_at)}, took {age(canary.took or 0.0)}"


def _words(state: str, more: str | None) -> str:
    return f"{state}: {more}" if more else state
