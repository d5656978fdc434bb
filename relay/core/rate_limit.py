"""Who calls, how often each may, and how many requests run."""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` is the client's; `origin` the relay's own as this client sees it, if known."""

    address: str
    local: bool
    origin: str | None = None


class RunningRequests:
    """Counts the requests that run, so that stopping can wait for the last one."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def begin(self) -> None:
        self._count += 1
        self._none.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_running(self) -> None:
        """Wait until no request runs."""
        await self._none.wait()


class RateLimiter:
    """A token bucket for each address: `per_minute` calls, as many at once; 0 is no limit."""

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, capacity: int = 50_000
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._capacity = capacity
        self._full_at: dict[str, float] = {}

    def take(self, caller: Caller) -> None:
        """Count one call; raise TooManyRequests with the seconds until the next one."""
        if not self._per_minute or caller.local:
            return
        now = self._clock()
        each = 60 / self._per_minute
        # A bucket is a single number: the time at which it will be full again.
        key = _bucket(caller.address)
        full_at = max(self._full_at.pop(key, now), now) + each
        if full_at - now > 60 + each / 2:
            self._full_at[key] = full_at - each
            raise TooManyRequests(max(1, round(full_at - now - 60)))
        self._full_at[key] = full_at
        while len(self._full_at) > self._capacity:
            del self._full_at[next(iter(self._full_at))]


def _bucket(address: str) -> str:
    """One bucket for an IPv6 customer's whole network of 64 bits."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
