"""Whether this daemon lives, and whether it takes mail right now and will for a while.

`/healthz` and `/readyz` say the same of a balancer's question; `/readyz` names every reason, and to
callers on this machine what runs here.
"""

import asyncio
from collections.abc import AsyncIterator

from relay import __version__
from relay.core.errors import Unavailable
from relay.site import Site
from relay.store import installation
from relay.store.engine.database import nothing
from relay.web.base import (
    FULL_RETRY_AFTER_SECONDS,
    SLOW_RETRY_AFTER_SECONDS,
    SLOW_SECONDS,
    SPACE_RETRY_AFTER_SECONDS,
    STOPPING_RETRY_AFTER_SECONDS,
    RelayHandler,
)

# Red at this part of a limit, while mail is still taken.
RED = 0.8


class HealthHandler(RelayHandler):
    """200 while submissions are taken, there is room for more and the store can be written."""

    methods = ("GET", "HEAD")

    async def get(self) -> None:
        async for reason in unready(self.site):
            raise reason
        self.write({"status": "success", "response": "ok"})

    head = get


class LiveHandler(RelayHandler):
    """GET /livez: 200 while the daemon answers at all, also while it can take nothing."""

    methods = ("GET", "HEAD")

    def admit(self) -> None:
        """Answer also while stopping."""

    async def get(self) -> None:
        self.write({"status": "success", "response": "ok"})

    head = get


class ReadyHandler(LiveHandler):
    """GET /readyz: as /healthz; `reasons` are all that keep the daemon from taking mail."""

    async def get(self) -> None:
        found = [reason async for reason in unready(self.site)]
        if found:
            self.set_status(503)
            self.set_header("Retry-After", str(max(one.retry_after for one in found)))
        said = {"ready": not found, "reasons": [one.reason for one in found]}
        if self.caller.local:
            said |= await self._about()
        self.write(said)

    head = get

    async def _about(self) -> dict[str, str]:
        """Return what runs here: nobody elsewhere needs to know."""
        store = self.site.store
        about = {"version": __version__, "engine": "sqlite" if store.path else "postgresql"}
        try:
            return {**about, "schema": await store.read(installation.schema)}
        except Unavailable:
            return about


async def unready(site: Site) -> AsyncIterator[Unavailable]:
    """Return what keeps a daemon from taking mail, or soon will."""
    if site.stopping:
        yield Unavailable(STOPPING_RETRY_AFTER_SECONDS, reason="stopping")
    if site.space.is_nearly_low:
        yield Unavailable(SPACE_RETRY_AFTER_SECONDS, reason="disk_full")
    most = site.settings.limits.max_waiting
    if most and site.dispatcher.waiting >= most * RED:
        yield Unavailable(FULL_RETRY_AFTER_SECONDS, reason="outbox_full")
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            await site.store.write(nothing, None)
    except TimeoutError:
        yield Unavailable(SLOW_RETRY_AFTER_SECONDS, reason="store_slow")
    except Unavailable as error:
        yield error


ROUTES = [(r"/healthz", HealthHandler), (r"/livez", LiveHandler), (r"/readyz", ReadyHandler)]
