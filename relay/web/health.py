"""GET /healthz: whether this daemon takes mail right now, and will for a while."""

import asyncio

from relay.core.errors import Unavailable
from relay.store.engine.database import nothing
from relay.web.base import (
    FULL_RETRY_AFTER_SECONDS,
    SLOW_RETRY_AFTER_SECONDS,
    SLOW_SECONDS,
    SPACE_RETRY_AFTER_SECONDS,
    RelayHandler,
)

# Red at this part of a limit, while mail is still taken.
RED = 0.8


class HealthHandler(RelayHandler):
    """200 while submissions are taken, there is room for more and the store can be written."""

    methods = ("GET", "HEAD")

    async def get(self) -> None:
        if self.site.space.is_nearly_low:
            raise Unavailable(SPACE_RETRY_AFTER_SECONDS, reason="disk_full")
        most = self.configuration.settings.limits.max_waiting
        if most and self.site.dispatcher.waiting >= most * RED:
            raise Unavailable(FULL_RETRY_AFTER_SECONDS, reason="outbox_full")
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await self.site.store.write(nothing, None)
        except TimeoutError:
            raise Unavailable(SLOW_RETRY_AFTER_SECONDS, reason="store_slow") from None
        self.write({"status": "success", "response": "ok"})

    head = get


ROUTES = [(r"/healthz", HealthHandler)]
