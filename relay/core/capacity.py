"""What can be taken at a time: whose turn on the event loop it is, and how much is under way."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.core.errors import Unavailable

# When to come again with a large body while others are under way.
BUSY_RETRY_AFTER_SECONDS = 10

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
    async def turn(self, least: float = 0) -> AsyncIterator[None]:
        """Wait until it is one's turn, in the order in which they came.

        least: for how many seconds a turn counts that is shorter.
        """
        async with self._lock:
            if (rest := self._rested_at - time.monotonic()) > SHORTEST_REST:
                await asyncio.sleep(rest)
            started, began = time.monotonic(), time.thread_time()
            try:
                yield
            finally:
                worked = max(least, time.thread_time() - began)
                self._rested_at = max(self._rested_at, started) + worked * (1 + REST)
                await asyncio.sleep(0)


class BytesAtOnce:
    """Counts the bytes of large bodies that are under way, so that they cannot fill the memory."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, size: int, held: int, most: int) -> None:
        """Count what came of a body; raise Unavailable over `most`, if others hold any of that.

        held: what was counted of the same body before. 0 is no limit.
        """
        if most and self._count > held and self._count + size > most:
            raise Unavailable(BUSY_RETRY_AFTER_SECONDS, reason="busy")
        self._count += size

    def give_back(self, size: int) -> None:
        """Take note that so much is not held any more."""
        self._count -= size
