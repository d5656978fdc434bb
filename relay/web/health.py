"""GET /healthz: whether this daemon takes mail right now."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from relay.errors import Unavailable
from relay.web.handler import RelayHandler

STORE_SECONDS = 2.0


class HealthHandler(RelayHandler):
    """200 while submissions are taken and the store can be written, else 503."""

    methods = ("GET", "HEAD")

    async def get(self) -> None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.site.store.write(_nothing, None)
        except TimeoutError:
            raise Unavailable(5, reason="store_slow") from None
        self.write({"status": "success", "response": "ok"})

    head = get


def _nothing(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
    """Take part in a commit, which needs the store's write lock, and change nothing."""
    return batch


ROUTES = [(r"/healthz", HealthHandler)]
