"""Callers that wait for the first attempt on the message they brought."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from relay.core.states import State

FirstOutcome = Literal[State.SENT, State.QUEUED, State.FAILED]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller is told: sent, queued (it will be tried again), or failed and why."""

    result: FirstOutcome
    words: str = ""


class _Waiter:
    __slots__ = ("future", "settling")

    def __init__(self) -> None:
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.settling = False

    def give_up(self) -> None:
        # An outcome that is being stored is told in a moment, and stored as one that was told.
        if not self.settling and not self.future.done():
            self.future.set_result(Outcome(State.QUEUED))


class Waiters:
    """Who waits for which message. A caller that gave up is told nothing and changes nothing."""

    def __init__(self) -> None:
        self._waiters: dict[str, _Waiter] = {}

    def open(self, id: str) -> None:
        """Begin to watch a message, before it is stored: its outcome may come at once."""
        self._waiters[id] = _Waiter()

    def close(self, id: str) -> None:
        """Stop watching a message."""
        self._waiters.pop(id, None)

    async def wait(self, id: str, seconds: float) -> Outcome:
        """Return the outcome of the first attempt, or `queued` when it takes longer than this."""
        watch = self._waiters[id]
        timer = asyncio.get_running_loop().call_later(seconds, watch.give_up)
        try:
            return await watch.future
        finally:
            timer.cancel()
            self.close(id)

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
