"""What must be done in time, much of it at once: one timer looks after all of it."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls a function for each that is not done in time; all have as much of it.

    late: what is called, with who is late.
    """

    def __init__(self, late: Callable[[T], object]) -> None:
        self._late = late
        self._until: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._until)

    def add(self, one: T, seconds: float) -> None:
        """Wait so long for one."""
        self._until[one] = time.monotonic() + seconds
        if self._timer is None:
            self._look_in(seconds)

    def discard(self, one: T) -> None:
        """Take note that nobody waits for one any more."""
        self._until.pop(one, None)

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._until:
            return
        one, until = next(iter(self._until.items()))
        if (seconds := until - time.monotonic()) > 0:
            self._look_in(seconds)
            return
        self._look_in(0)  # for the next one, whatever comes of this one
        self.discard(one)
        self._late(one)
