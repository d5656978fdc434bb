"""When to try again: pure functions of what happened and when."""

from collections.abc import Sequence

# Each delay is multiplied by something in this range, so that many messages do not come back at
# the same instant.
JITTER = (0.8, 1.2)


def next_attempt(
    now: float, tries: int, ladder: Sequence[float], random: float, retry_after: float | None = None
) -> float:
    """Return the time of the next attempt, in epoch seconds.

    tries: attempts so far, this one included; the ladder's last step holds for all later ones.
    random: in [0, 1), spreads the delay over JITTER.
    retry_after: seconds the provider asked for; never less than that.
    """
    step = ladder[min(max(tries, 1), len(ladder)) - 1]
    low, high = JITTER
    return now + max(step * (low + (high - low) * random), retry_after or 0.0)


def too_old(now: float, created_at: float, max_age: float) -> bool:
    """Return whether a message that was not sent is to be given up."""
    return now - created_at > max_age


def next_look(now: float, looks: int, settle: Sequence[float]) -> float:
    """Return the time of the next look-up of a message in doubt, in epoch seconds.

    settle: seconds after the answer was lost at which to look; its last value holds between all
    later looks. looks: how many were made. Counted from the look before, so that two looks are
    never closer than the list has them, however late the first one was.
    """
    if looks >= len(settle):
        return now + settle[-1]
    step = settle[looks] - (settle[looks - 1] if looks else 0.0)
    return now + (step if step > 0 else settle[looks])
