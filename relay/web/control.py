"""The daemon's unix socket: what commands ask of a running daemon. Only its owner can connect."""

import os
import time
from collections.abc import Callable

from tornado.escape import json_decode
from tornado.web import Application, RequestHandler

from relay.app import Site
from relay.store import outbox


class ControlHandler(RequestHandler):
    """What the socket's handlers share: the site."""

    def initialize(self, site: Site) -> None:
        self.site = site


class StatusHandler(ControlHandler):
    """GET /status: what this daemon is and does."""

    def get(self) -> None:
        self.write(
            {
                "pid": os.getpid(),
                "settings": str(self.site.settings.path),
                "address": "{}:{}".format(*self.site.listening),
                "pages": "{}:{}".format(*self.site.pages) if self.site.pages else "",
                "servers": sorted(self.site.chains),
                "waiting": self.site.dispatcher.waiting,
                "stopping": self.site.stopping,
            }
        )


class ReloadHandler(ControlHandler):
    """POST /reload: read the settings again; `problem` says why they were refused."""

    def initialize(self, site: Site, read_again: Callable[[Site], str | None]) -> None:  # type: ignore[override]
        super().initialize(site)
        self.read_again = read_again

    def post(self) -> None:
        self.write({"problem": self.read_again(self.site)})


class RetryHandler(ControlHandler):
    """POST /retry with `{"id": ...}`: queue a message again that was not sent."""

    async def post(self) -> None:
        id = str(json_decode(self.request.body)["id"])
        revived = await self.site.store.write(outbox.revive, (id, time.time()))
        if revived:
            self.site.dispatcher.queued()
        self.write({"revived": revived})


def make_control(site: Site, read_again: Callable[[Site], str | None]) -> Application:
    """Build the socket's web application."""
    return Application(
        [
            (r"/status", StatusHandler, {"site": site}),
            (r"/reload", ReloadHandler, {"site": site, "read_again": read_again}),
            (r"/retry", RetryHandler, {"site": site}),
        ],
        log_function=lambda handler: None,
    )
