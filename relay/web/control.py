"""The daemon's unix socket: what commands ask of a running daemon. Only its owner can connect."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tornado.escape import json_decode
from tornado.web import Application, RequestHandler

from relay.core.errors import RelayError
from relay.site import Site
from relay.templates.rules import TemplateDraft
from relay.web import operations

# Who edited a template, where a command did.
OPERATOR = "operator"


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
                "paused": sorted(self.site.pauses.names()),
                "failing": sorted(
                    f"{group} by {plugin}" for group, plugin in self.site.dispatcher.down()
                ),
                "waiting": self.site.dispatcher.waiting,
                "replies": self.site.replies.told(),
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


class TemplatesHandler(ControlHandler):
    """POST /templates/...: change stored templates; `problem` says why they were left alone."""

    async def post(self) -> None:
        try:
            # A hundred templates of megabytes: not on the loop.
            asked = await asyncio.to_thread(json_decode, self.request.body)
            self.write({"problem": "", **await self.change(asked)})
        except RelayError as error:
            self.write({"problem": str(error)})

    async def change(self, asked: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class ApplyTemplatesHandler(TemplatesHandler):
    """POST /templates/apply with `{"server": ..., "drafts": [...]}`: all of them or none."""

    async def change(self, asked: dict[str, Any]) -> dict[str, Any]:
        drafts = [TemplateDraft(**draft) for draft in asked["drafts"]]
        changes = await self.site.library.apply(asked["server"], drafts, OPERATOR)
        return {"changes": [asdict(change) for change in changes]}


class RestoreTemplateHandler(TemplatesHandler):
    """POST /templates/restore with `{"server": ..., "reference": ..., "version": ...}`."""

    async def change(self, asked: dict[str, Any]) -> dict[str, Any]:
        restored = await self.site.library.restore(
            asked["server"], asked["reference"], asked["version"], OPERATOR
        )
        return {"version": restored.version}


def make_control(site: Site, read_again: Callable[[Site], str | None]) -> Application:
    """Build the socket's web application."""
    return Application(
        [
            (r"/status", StatusHandler, {"site": site}),
            (r"/reload", ReloadHandler, {"site": site, "read_again": read_again}),
            (r"/templates/apply", ApplyTemplatesHandler, {"site": site}),
            (r"/templates/restore", RestoreTemplateHandler, {"site": site}),
            *((path, handler, {"site": site}) for path, handler in operations.ROUTES),
        ],
        log_function=lambda handler: None,
    )
