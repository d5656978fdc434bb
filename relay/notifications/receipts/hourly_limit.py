"""How many receipts a server sends in an hour, whoever they go to."""

from collections import defaultdict, deque

HOUR_SECONDS = 3600.0


class HourlyLimit:
    """Counts each server's receipts, in memory: a start of the daemon begins anew."""

    def __init__(self) -> None:
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def is_reached(self, server: str, limit: int, now: float) -> bool:
        """Return whether a server has sent so many within the hour; 0 is no limit."""
        times = self._times[server]
        while times and times[0] <= now - HOUR_SECONDS:
            times.popleft()
        return bool(limit) and len(times) >= limit

    def add(self, server: str, now: float) -> None:
        """Count one that is to be written."""
        self._times[server].append(now)

    def take_back(self, server: str) -> None:
        """Count one less, which was not written after all."""
        if self._times[server]:
            self._times[server].pop()
