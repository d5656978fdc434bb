"""Many messages in few calls to a provider, for delivery plugins: packed, halved, in time.

A provider that takes many messages in one call may refuse the whole call for what one of them
holds. Then nothing was sent, and the call is made again in halves, until that message stands alone
and its neighbours are sent.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from relay.core.errors import DeliveryDeferred, DeliveryError
from relay.core.message import Confirmation

# Halving costs two calls a step. What a call's many bad messages leave over is for the next one.
MAX_CALLS = 60
# A call that is begun with less of the deadline left than this would only lose its answer.
LEAST_LEFT = 0.2

BatchOutcome = Confirmation | DeliveryError


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it goes over the wire; only those of one kind share a call."""

    kind: str
    content: bytes


Call = Callable[[Sequence[Parcel], float], Sequence[BatchOutcome] | None]
_Place = tuple[int, Parcel]


def in_calls(
    parcels: Sequence[Parcel], call: Call, *, count: int, size: int, deadline: float
) -> list[BatchOutcome]:
    """Send messages, at most `count` and `size` bytes a call; return their outcomes in order.

    call: makes one call within so many seconds and gives an outcome for each of its parcels. None
    says that the call was refused for what some of its parcels may hold, and nothing was sent; a
    parcel that stands alone gets an outcome always. A DeliveryError that it raises holds for the
    whole call, and no further one is begun.
    deadline: seconds for all calls together. What was not begun is deferred and does not count.
    """
    ends = time.monotonic() + deadline
    outcomes: list[BatchOutcome | None] = [None] * len(parcels)
    waiting = list(_packed(parcels, count, size))[::-1]
    made, ended = 0, None
    while waiting and ended is None:
        left = ends - time.monotonic()
        if made and (made == MAX_CALLS or left < LEAST_LEFT * deadline):
            break
        made += 1
        batch = waiting.pop()
        results: Sequence[BatchOutcome] | None
        try:
            results = call([parcel for _, parcel in batch], left)
        except DeliveryError as error:
            results, ended = [error] * len(batch), error
        if results is None:
            half = (len(batch) + 1) // 2
            waiting += [batch[half:], batch[:half]]
            continue
        for (place, _), outcome in zip(batch, results, strict=True):
            outcomes[place] = outcome
    return [_not_begun(ended) if outcome is None else outcome for outcome in outcomes]


def _packed(parcels: Sequence[Parcel], count: int, size: int) -> Iterator[list[_Place]]:
    """Put parcels into calls, kind by kind, in order; one that is too large goes alone."""
    for kind in dict.fromkeys([parcel.kind for parcel in parcels]):
        batch: list[_Place] = []
        filled = 0
        for place, parcel in enumerate(parcels):
            if parcel.kind != kind:
                continue
            # One byte more for what separates it from the next.
            length = len(parcel.content) + 1
            if batch and (len(batch) == count or filled + length > size):
                yield batch
                batch, filled = [], 0
            batch.append((place, parcel))
            filled += length
        yield batch


def _not_begun(ended: DeliveryError | None) -> DeliveryDeferred:
    """Say why a message was in no call; a provider that takes nothing is left alone."""
    if not isinstance(ended, DeliveryDeferred):
        return DeliveryDeferred("not begun: calls before it took too long", counted=False)
    return DeliveryDeferred(
        f"not begun: {ended}",
        code=ended.code,
        retry_after=ended.retry_after,
        counted=False,
        opens_breaker=ended.opens_breaker,
    )
