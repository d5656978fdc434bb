"""What time it is: by this machine's clock, or by the one that all daemons of a database share."""

import time

_ahead = 0.0


def now() -> float:
    """Return the time in epoch seconds."""
    return time.time() + _ahead


def follow(seconds: float) -> None:
    """Follow a clock that runs so many seconds ahead of this machine's."""
    global _ahead
    _ahead = seconds
