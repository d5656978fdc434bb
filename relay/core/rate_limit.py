"""Who calls, how often each may, and how many requests run."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
        if not self._count:
            self._none.clear()
        self._count += 1

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_running(self) -> None:
        """Wait until no request runs."""
        await self._none.wait()


# How many addresses' worth an IPv6 network gets. A provider gives a customer anything from 64 to
# 48 bits: nobody gets a bucket for each network that is his.
SHARES = {64: 1, 56: 4, 48: 16}


class RateLimiter:
    """A token bucket for each address: `count` calls in `seconds`, as many at once; 0 is no limit.

    The networks that an IPv6 address is in have a bucket each, larger ones a larger one.
    """

    def __init__(
        self,
        count: int,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = 50_000,
        *,
        seconds: float = 60,
    ) -> None:
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._capacity = capacity
        self._full_at: dict[str, float] = {}

    def take(self, caller: Caller) -> None:
        """Count one call; raise TooManyRequests with the seconds until the next one."""
        if not self._count or caller.local:
            return
        now = self._clock()
        # A bucket is a single number: the time at which it will be full again.
        counted: dict[str, float] = {}
        for bucket, share in buckets(caller.address):
            each = self._seconds / (self._count * share)
            full_at = self._full_at[bucket] = max(self._full_at.pop(bucket, now), now)
            counted[bucket] = full_at + each
            if counted[bucket] - now > self._seconds + each / 2:
                raise TooManyRequests(max(1, round(counted[bucket] - now - self._seconds)))
        self._full_at |= counted
        while len(self._full_at) > self._capacity:
            del self._full_at[next(iter(self._full_at))]


@lru_cache(maxsize=4096)
def buckets(address: str) -> Sequence[tuple[str, int]]:
    """Return where a call from an address counts, and how many addresses' worth fits in each."""
    if ":" not in address:
        return [(address, 1)]
    plain = address.partition("%")[0]
    return [
        (str(ipaddress.ip_network(f"{plain}/{bits}", strict=False)), share)
        for bits, share in SHARES.items()
    ]
