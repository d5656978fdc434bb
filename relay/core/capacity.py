"""What can be taken at a time: whose turn on the event loop it is, and how much is under way."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# How long the loop is left to others after a turn, in turns of that length. Shorter rests than
# the loop's clock knows are saved up.
REST = 2
SHORTEST_REST = 0.001


class Turns:
    """Lets those who do much on the event loop do it one by one, a third of its time together.

    So whoever does little waits for few of them, however many there are.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._rested_at = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it is one's turn, in the order in which they came."""
        async with self._lock:
            if (rest := self._rested_at - time.monotonic()) > SHORTEST_REST:
                await asyncio.sleep(rest)
            started, began = time.monotonic(), time.thread_time()
            try:
                yield
            finally:
                worked = time.thread_time() - began
                self._rested_at = max(self._rested_at, started) + worked * (1 + REST)
                await asyncio.sleep(0)
