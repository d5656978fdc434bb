"""What a deliver hook's answer means for each message: pure, without a clock or a store."""

from collections.abc import Sequence
from typing import Any, Literal

from relay import retry
from relay.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
)
from relay.message import Receipt, Server
from relay.store.outbox import Claimed, Settlement

Result = Receipt | DeliveryError
State = Literal["sent", "queued", "failed", "in_doubt", "expired"]


def per_message(answer: Any, count: int) -> list[Result]:
    """Give one result a message; an answer that is not one for each leaves all in doubt."""
    if isinstance(answer, DeliveryError):
        return [answer] * count
    if answer is None:
        return [DeliveryDeferred("no plugin took it", counted=False)] * count
    if isinstance(answer, BaseException):
        return [DeliveryInDoubt(f"the plugin raised {type(answer).__name__}")] * count
    if (
        isinstance(answer, Sequence)
        and len(answer) == count
        and all(isinstance(result, Receipt | DeliveryError) for result in answer)
    ):
        return list(answer)
    return [DeliveryInDoubt("the plugin gave no outcome for each message")] * count


def settlement(
    claimed: Claimed,
    result: Result,
    server: Server,
    delivery: str,
    *,
    started_at: float,
    now: float,
    random: float,
    watched: bool,
) -> Settlement:
    """Decide a message's next state and time.

    random: in [0, 1), for the jitter of a retry. watched: whether the caller still waits, and so
    learns of a refusal and gets the session token back.
    """
    state, due_at = _state(claimed, result, server, now, random)
    return Settlement(
        claimed=claimed,
        state=state,
        due_at=due_at,
        counted=not isinstance(result, DeliveryDeferred) or result.counted,
        delivery=delivery,
        outcome="deferred" if isinstance(result, DeliveryDeferred) else state,
        words=_words(result),
        started_at=started_at,
        ended_at=now,
        provider_id=result.provider_id if isinstance(result, Receipt) else None,
        give_token_back=watched and state == "failed",
    )


def _words(result: Result) -> str:
    if not isinstance(result, Receipt):
        return str(result)
    without = f"; taken without {', '.join(result.dropped)}" if result.dropped else ""
    return result.words + without


def _state(
    claimed: Claimed, result: Result, server: Server, now: float, random: float
) -> tuple[State, float]:
    if isinstance(result, Receipt):
        return "sent", now
    if isinstance(result, DeliveryFailed):
        return "failed", now
    if not isinstance(result, DeliveryDeferred):
        return "in_doubt", now  # sent or not, nobody knows: it is not sent again by itself
    if retry.too_old(now, claimed.since, server.max_age):
        return "expired", now
    tries = claimed.tries + 1
    return "queued", retry.next_attempt(now, tries, server.retry, random, result.retry_after)
