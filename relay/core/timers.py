"""Timers that are nearly always cancelled: thousands at once cost the event loop one."""

import asyncio
from collections import deque
from collections.abc import Callable


class Timer:
    """A call to come; `cancel` drops it."""

    __slots__ = ("call", "ends")

    def __init__(self, ends: float, call: Callable[[], None]) -> None:
        self.ends = ends
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """See to it that nothing is called."""
        self.call = None


class Timers:
    """Calls back after a time. Those of the same length end in the order in which they began.

    So each length needs a queue and, for its first, one timer of the loop; what was cancelled
    leaves the queue's head as others come.
    """

    def __init__(self) -> None:
        self._queues: dict[float, deque[Timer]] = {}

    def start(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call, on the running loop, after so many seconds, unless it is cancelled before."""
        loop = asyncio.get_running_loop()
        timeout = Timer(loop.time() + seconds, call)
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = deque()
            loop.call_later(seconds, self._end, seconds, loop)
        else:
            while queue and queue[0].call is None:
                queue.popleft()
        queue.append(timeout)
        return timeout

    def _end(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Call what has ended; wake again for the first that has not."""
        queue, now = self._queues[seconds], loop.time()
        while queue and (queue[0].ends <= now or queue[0].call is None):
            if (call := queue.popleft().call) is not None:
                loop.call_soon(call)
        if queue:
            loop.call_at(queue[0].ends, self._end, seconds, loop)
        else:
            del self._queues[seconds]
