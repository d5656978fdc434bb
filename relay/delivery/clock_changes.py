"""The machine's clock: it may be set, and what waits by the old time must not wait for ever."""

import asyncio
import time
from collections.abc import Iterable

import structlog

from relay.delivery import retry
from relay.hooks.chain import Chain
from relay.store.engine.database import Store
from relay.store.outbox import claims
from relay.store.outbox.claims import PullBack

# A clock that moved by more than this against the monotonic one was set.
SET_SECONDS = 60.0
# A retry is never further ahead than this, or the ladder's longest step.
LONGEST_WAIT = 4 * 3600.0

log = structlog.get_logger()


class ClockChanges:
    """Watches the clock against the monotonic one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ahead: float | None = None  # of the monotonic one, when last looked at

    async def mind(self, now: float, chains: Iterable[Chain]) -> None:
        """Where it was set, and at first, bring back what waits too long by the new time."""
        ahead = now - time.monotonic()
        if self._ahead is not None and abs(ahead - self._ahead) < SET_SECONDS:
            return
        servers = [chain.server for chain in chains]
        orders = [
            PullBack(server.name, now, max(LONGEST_WAIT, *server.retry) * retry.JITTER[1])
            for server in servers
        ]
        counts = await asyncio.gather(*(self._store.write(claims.pull_back, one) for one in orders))
        self._ahead = ahead
        if sum(counts):
            log.warning("messages.brought_back", count=sum(counts))
