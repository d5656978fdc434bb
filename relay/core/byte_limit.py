"""How much visitors may have stored: bytes of an address in an hour, of a server in a day."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from relay.core.errors import ServerDayUsed, TooManyRequests
from relay.core.rate_limit import Caller, buckets

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0

ADDRESS_WORDS = "too many bytes from your address in an hour: try again later"


@dataclass
class _Window:
    """What was counted since a window began."""

    began_at: float
    count: int = 0


class ByteLimiter:
    """Counts bytes from the first of a window to its end; a limit of 0 is none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, capacity: int = 50_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self._hours: dict[str, _Window] = {}
        self._days: dict[str, _Window] = {}

    def check(self, caller: Caller, server: str, size: int, per_hour: int, per_day: int) -> None:
        """Raise TooManyRequests, with the seconds until the window ends, where it is too much."""
        if per_hour and not caller.local:
            for bucket, share in buckets(caller.address):
                left = self._left(self._hours, bucket, HOUR_SECONDS, size, per_hour * share)
                if left:
                    raise TooManyRequests(left, ADDRESS_WORDS)
        if per_day and (left := self._left(self._days, server, DAY_SECONDS, size, per_day)):
            raise ServerDayUsed(left)

    def add(self, caller: Caller, server: str, size: int) -> None:
        """Count bytes; a negative size takes back what was counted and not stored."""
        now = self._clock()
        self._days.setdefault(server, _Window(now)).count += size
        if not caller.local:
            for bucket, _ in buckets(caller.address):
                window = self._hours.pop(bucket, _Window(now))
                window.count += size
                self._hours[bucket] = window
        while len(self._hours) > self._capacity:
            del self._hours[next(iter(self._hours))]

    def _left(
        self, windows: dict[str, _Window], name: str, seconds: float, size: int, limit: int
    ) -> int:
        """Return the seconds until so many bytes more may come; 0 for now."""
        window, now = windows.get(name), self._clock()
        if window is not None and now >= window.began_at + seconds:
            del windows[name]
            window = None
        count = 0 if window is None else window.count
        if count + size <= limit:
            return 0
        began_at = now if window is None else window.began_at
        return max(1, round(began_at + seconds - now))
