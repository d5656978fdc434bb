"""Callers that wait for the first attempt on the message they brought."""

import asyncio
import time
from dataclasses import dataclass
from math import inf
from typing import Literal

from relay.core.states import State

FirstOutcome = Literal[State.SENT, State.QUEUED, State.FAILED]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller is told: sent, queued (it will be tried again), or failed and why."""

    result: FirstOutcome
    words: str = ""


SENT, QUEUED = Outcome(State.SENT), Outcome(State.QUEUED)


class _Waiter:
    __slots__ = ("future", "settling", "until")

    def __init__(self, future: asyncio.Future[Outcome]) -> None:
        self.future = future
        self.settling = False
        self.until = inf


class Waiters:
    """Who waits for which message. A caller that gave up is told nothing and changes nothing.

    One timer is set for all of them: each would cost as much as all else here.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, _Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = inf  # when the timer does

    def open(self, id: str) -> None:
        """Begin to watch a message, before it is stored: its outcome may come at once."""
        self._waiters[id] = _Waiter(asyncio.get_running_loop().create_future())

    def close(self, id: str) -> None:
        """Stop watching a message."""
        self._waiters.pop(id, None)

    async def wait(self, id: str, seconds: float) -> Outcome:
        """Return the outcome of the first attempt, or `queued` when it takes longer than this."""
        watch = self._waiters[id]
        watch.until = time.monotonic() + seconds
        if watch.until < self._ends_at:
            self._set_timer(watch.until)
        try:
            return await watch.future
        finally:
            self._waiters.pop(id, None)

    def settle(self, id: str) -> bool:
        """Return whether somebody waits; from here on they wait until `tell`."""
        watch = self._waiters.get(id)
        if watch is None:
            return False
        watch.settling = True
        return True

    def tell(self, id: str, outcome: Outcome) -> None:
        """Return the outcome to whoever waits for it."""
        watch = self._waiters.get(id)
        if watch is not None and not watch.future.done():
            watch.future.set_result(outcome)

    def _set_timer(self, ends_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop, self._ends_at = asyncio.get_running_loop(), ends_at
        self._timer = loop.call_later(ends_at - time.monotonic(), self._give_up)

    def _give_up(self) -> None:
        """Let those go who waited for long enough, and look again when the next one has."""
        now, next_one = time.monotonic(), inf
        for watch in self._waiters.values():
            if watch.until > now:
                next_one = min(next_one, watch.until)
            # An outcome that is being stored is told in a moment, and stored as one that was told.
            elif not watch.settling and not watch.future.done():
                watch.future.set_result(QUEUED)
        self._ends_at = inf
        if next_one < inf:
            self._set_timer(next_one)
