"""What a deliver hook's answer means for each message, and for those of its recipients who differ.

Pure, without a clock or a store.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from relay.core.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    RecipientsSuppressed,
)
from relay.core.message import Confirmation, Message
from relay.core.server import Server
from relay.core.states import State
from relay.delivery import retry
from relay.store.outbox.outcomes import AttemptOutcome, Claimed, Fate

# What is too old is tried so often before it is given up: it may have waited for its server to be
# switched on, or the clock was set forward.
FEWEST_TRIES = 5

DeliverResult = Confirmation | DeliveryError


class PluginBroken(DeliveryInDoubt):
    """The plugin itself failed: counted like a crash, so that a message that does it is found."""


def per_message(answer: Any, count: int) -> list[DeliverResult]:
    """Return one result a message; an answer that is not one for each leaves all in doubt."""
    if isinstance(answer, DeliveryError):
        return [answer] * count
    if answer is None:
        return [DeliveryDeferred("no plugin took it", counted=False)] * count
    if isinstance(answer, BaseException):
        return [PluginBroken(f"the plugin raised {type(answer).__name__}")] * count
    if (
        isinstance(answer, Sequence)
        and len(answer) == count
        and not [one for one in answer if not isinstance(one, Confirmation | DeliveryError)]
    ):
        return list(answer)
    return [PluginBroken("the plugin gave no outcome for each message")] * count


def settlement(
    claimed: Claimed,
    result: DeliverResult,
    server: Server,
    delivery: str,
    *,
    started_at: float,
    now: float,
    random: float,
    watched: bool,
    message: Message | DeliveryError | None = None,
) -> AttemptOutcome:
    """Decide a message's next state and time.

    random: in [0, 1), for the jitter of a retry. watched: whether the caller still waits, and so
    learns of a refusal and gets the session token back. message: as it was sent, for the fates of
    single recipients.
    """
    if isinstance(result, Confirmation) and not (result.dropped or result.later):
        return AttemptOutcome(
            claimed=claimed,
            state=State.SENT,
            due_at=now,
            counted=True,
            delivery=delivery,
            outcome=State.SENT,
            words=result.words,
            started_at=started_at,
            ended_at=now,
            provider_id=result.provider_id or None,
        )
    state, due_at = _state(claimed, result, server, now, random)
    in_doubt = _is_in_doubt(result)
    outcome: str = "deferred" if isinstance(result, DeliveryDeferred) else state
    if isinstance(result, RecipientsSuppressed):
        outcome = State.SUPPRESSED  # also of what is held
    if isinstance(result, Confirmation) and result.later:
        outcome = "partly"
    return AttemptOutcome(
        claimed=claimed,
        state=state,
        due_at=due_at,
        counted=_is_counted(result),
        delivery=delivery,
        outcome=State.IN_DOUBT if in_doubt else outcome,
        words=_words(result) + (_consequence(state) if in_doubt else ""),
        started_at=started_at,
        ended_at=now,
        provider_id=(result.provider_id or None) if isinstance(result, Confirmation) else None,
        give_token_back=watched and state in (State.FAILED, State.SUPPRESSED),
        crashed=isinstance(result, PluginBroken),
        maybe_twice=True if in_doubt and state == State.QUEUED else None,
        fates=fates(message, result),
    )


def rest(message: Message, settled: Collection[str]) -> Message | DeliveryError:
    """Return a message for those who neither have it nor were refused for good.

    settled: the others' addresses, in lower case. Its headers stay what everybody else saw.
    """
    if not settled:
        return message
    others = message.without(settled)
    if not others.recipients:
        return MessageBroken("everybody has it, or was refused for good")
    if not others.to:
        # Some providers insist on one.
        first = others.recipients[0]
        others = replace(others.without({first.email.lower()}), to=(first,))
    return replace(others, addressed=(message.to, message.cc))


def concluded(message: Message | DeliveryError, result: DeliverResult) -> DeliverResult:
    """Return the result of a whole message: what some have is sent, though the rest never will.

    message: as it was found, for those who were left.
    """
    if not isinstance(message, Message) or message.addressed is None:
        return result
    refused = isinstance(result, DeliveryFailed) or (
        isinstance(result, RecipientsSuppressed) and not result.held
    )
    if not refused:
        return result
    dropped = tuple(address.email for address in message.recipients)
    return Confirmation("", dropped=dropped, words=str(result))


def fates(message: Message | DeliveryError | None, result: DeliverResult) -> tuple[Fate, ...]:
    """Return what became of recipients whose fate is not their message's.

    message: as it was sent.
    """
    if not isinstance(result, Confirmation) or not (result.later or result.dropped):
        return ()
    refused = {email.lower() for email in result.dropped}
    known = [Fate(email, "refused", result.words) for email in sorted(refused)]
    if result.later and isinstance(message, Message):
        others = refused | {email.lower() for email in result.later}
        taken = {address.email.lower() for address in message.recipients} - others
        known += [Fate(email, "taken", result.words) for email in sorted(taken)]
    return tuple(known)


def _words(result: DeliverResult) -> str:
    if not isinstance(result, Confirmation):
        return str(result)
    later = f"; {len(result.later)} of them to be tried again" if result.later else ""
    without = f"; taken without {', '.join(result.dropped)}" if result.dropped else ""
    return result.words + later + without


def _consequence(state: State) -> str:
    if state == State.HELD:
        return "; held for a person to decide"
    return "; sent again: may be delivered twice" if state == State.QUEUED else ""


def _is_counted(result: DeliverResult) -> bool:
    """Return whether the provider got something to judge."""
    if isinstance(result, DeliveryDeferred):
        return result.counted
    return not isinstance(result, MessageBroken | RecipientsSuppressed)


def _is_in_doubt(result: DeliverResult) -> bool:
    """Return whether nobody knows what became of it, as of every error that says nothing else."""
    certain = (
        Confirmation | DeliveryDeferred | DeliveryFailed | MessageBroken | RecipientsSuppressed
    )
    return not isinstance(result, certain)


def _state(
    claimed: Claimed, result: DeliverResult, server: Server, now: float, random: float
) -> tuple[State, float]:
    if isinstance(result, Confirmation) and not result.later:
        return State.SENT, now
    if isinstance(result, DeliveryFailed):
        return State.FAILED, now
    if isinstance(result, MessageBroken):
        return State.QUARANTINED, now
    if isinstance(result, RecipientsSuppressed):
        return (State.HELD if result.held else State.SUPPRESSED), now
    retry_after = result.retry_after if isinstance(result, DeliveryDeferred) else None
    again = retry.next_attempt(now, claimed.tries + 1, server.retry, random, retry_after)
    too_old = retry.too_old(now, claimed.since, server.max_age)
    if isinstance(result, DeliveryDeferred | Confirmation):
        given_up = too_old and claimed.tries + 1 >= FEWEST_TRIES
        return (State.EXPIRED, now) if given_up else (State.QUEUED, again)
    if server.in_doubt == "look_up":
        return State.IN_DOUBT, retry.next_look(now, 0, server.settle)
    if server.in_doubt == "hold" or too_old:
        return State.HELD, now
    # A plugin that breaks on it does not get it for ever; the store knows how often it did.
    return (State.IN_DOUBT if isinstance(result, PluginBroken) else State.QUEUED), again
