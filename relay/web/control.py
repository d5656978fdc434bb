"""The daemon's unix socket: what commands ask of a running daemon. Only its owner can connect."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import structlog
from tornado.escape import json_decode
from tornado.web import Application

from relay import __version__
from relay.core import clock
from relay.core.errors import RelayError, SubmissionError
from relay.core.logs import trace
from relay.core.states import TOLD, WAITING, State
from relay.site import Site
from relay.store.cluster.membership import unheard
from relay.store.outbox import operator_actions, resend, screened
from relay.store.outbox.operator_actions import Order, Verdict
from relay.store.suppressions import Word
from relay.templates.rules import TemplateDraft
from relay.web.base import BaseHandler

# Who edited a template, where a command did.
OPERATOR = "operator"

log = structlog.get_logger()


class ControlHandler(BaseHandler):
    """Answers commands: what fails is text, which none of them takes for what it asked for."""

    security_headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    body_seconds = None

    def refuse(self, error: BaseException) -> None:
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(f"{type(error).__name__}\n")


class StatusHandler(ControlHandler):
    """GET /status: what this daemon is and does, and what of it is wrong.

    `unread`: what stands on the disk instead of the settings in use. `outages`: the providers that
    fail; `stuck`: the servers for whose mail there is no other way.
    """

    def get(self) -> None:
        dispatcher, chains = self.site.dispatcher, self.configuration.chains
        outages = dispatcher.outages()
        touched = {server for one in outages for server in one.servers}
        self.write(
            {
                "version": __version__,
                "pid": os.getpid(),
                "started_at": self.site.started_at,
                "settings": str(self.configuration.settings.path),
                "unread": self.site.unread(),
                "data": str(self.configuration.settings.data),
                "database": str(self.site.store.path or ""),
                "address": "{}:{}".format(*self.site.listening),
                "pages": "{}:{}".format(*self.site.pages) if self.site.pages else "",
                "servers": sorted(chains),
                "paused": sorted(self.site.pauses.names()),
                "outages": [one._asdict() for one in outages],
                "stuck": sorted(one for one in touched if not dispatcher.can_deliver(one)),
                "waiting": dispatcher.waiting,
                "replies": self.site.replies.told(),
                "stopping": self.site.stopping,
            }
        )


class ReloadHandler(ControlHandler):
    """POST /reload: read the settings again; `problem` says why they were refused."""

    methods = ("POST",)

    def post(self) -> None:
        self.write({"problem": self.application.settings["read_again"](self.site)})


class OperationHandler(ControlHandler):
    """What those share that change something: a refusal is `problem`, and nothing was changed."""

    methods = ("POST",)

    async def post(self, *arguments: str) -> None:
        # Thousands of ids, or a hundred templates of megabytes: not on the loop.
        asked = await asyncio.to_thread(json_decode, self.request.body)
        try:
            self.write({"problem": "", **await self.carry_out(asked, *arguments)})
        except RelayError as error:
            self.write({"problem": str(error)})

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        raise NotImplementedError


class ApplyTemplatesHandler(OperationHandler):
    """POST /templates/apply with `{"server": ..., "drafts": [...]}`: all of them or none."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        drafts = [TemplateDraft(**draft) for draft in asked["drafts"]]
        changes = await self.site.library.apply(asked["server"], drafts, OPERATOR)
        return {"changes": [asdict(change) for change in changes]}


class RestoreTemplateHandler(OperationHandler):
    """POST /templates/restore with `{"server": ..., "reference": ..., "version": ...}`."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        restored = await self.site.library.restore(
            asked["server"], asked["reference"], asked["version"], OPERATOR
        )
        return {"version": restored.version}


class MessagesHandler(OperationHandler):
    """POST /messages/{operation} with `{"ids": [...], "twice": false}`: a verdict for each."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        operation = operator_actions.OPERATIONS[arguments[0]]
        order = Order(asked["ids"], clock.now(), bool(asked["twice"]))
        verdicts: list[Verdict] = await self.site.store.write(operation, order)
        self._count(verdicts)
        for verdict in verdicts:
            if verdict.after in TOLD and verdict.after != verdict.before:
                self.site.receipts.settled(verdict.id)
        return {"verdicts": verdicts}

    def _count(self, verdicts: list[Verdict]) -> None:
        """Let the dispatcher know what waits no more, and what waits again."""
        done = [verdict for verdict in verdicts if verdict.done]
        self.site.dispatcher.settled(sum(verdict.before in WAITING for verdict in done))
        if revived := sum(verdict.after in WAITING for verdict in done):
            self.site.dispatcher.revived(revived)


class ScreenedHandler(OperationHandler):
    """POST /screened/release and /screened/drop with `{"ids": [...]}`: a verdict for each."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        if arguments[0] == "drop":
            order = Order(asked["ids"], clock.now())
            return {"verdicts": await self.site.store.write(screened.drop, order)}
        return {"verdicts": [await self._release(id) for id in asked["ids"]]}

    async def _release(self, id: str) -> Verdict:
        kept = await self.site.store.read(screened.find, id)
        before = kept.state if kept else ""
        try:
            released = await self.site.acceptance.release(id, clock.now())
        except SubmissionError as error:
            return Verdict(id, before, "", str(error))
        except Exception as error:  # noqa: BLE001 - one that breaks a plugin is no other's matter
            log.error("release.failed", id=id, **trace(error))
            return Verdict(id, before, "", f"a plugin fails at it: {type(error).__name__}")
        if not released:
            return Verdict(id, "", "", screened.ABSENT)
        return Verdict(id, before, State.QUEUED, "released")


class PauseHandler(OperationHandler):
    """POST /pause and /resume with `{"server": ...}`: `paused` are all that are paused then.

    `unheard` are the other daemons of this database that have not heard of it yet.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        change = self.site.pauses.pause if arguments[0] == "pause" else self.site.pauses.resume
        await change(asked["server"])
        deaf = await asyncio.to_thread(unheard, self.site.store, "pauses")
        names = sorted(self.site.pauses.names())
        return {"paused": names, "unheard": [one.name for one in deaf]}


class SuppressionHandler(OperationHandler):
    """POST /suppressions with `{"server": ..., "address": ..., "reason": ..., "words": ...}`.

    `reason` is manual or lifted; `changed` is whether it was not so before.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        word = Word(
            asked["server"], asked["address"], asked["reason"], clock.now(), words=asked["words"]
        )
        [changed] = await self.site.suppressions.note([word])
        return {"changed": changed}


class ReplayHandler(OperationHandler):
    """POST /held/replay with `{"address": ..., "server": ..., "after": ...}`: some at a time.

    `count` are queued, `lifted` the addresses that are written to again, `after` is where to go
    on, null at the end.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        servers = {name: chain.server for name, chain in self.configuration.chains.items()}
        order = resend.order(
            asked["address"], asked["server"], servers, clock.now(), asked["after"]
        )
        replayed = await self.site.store.write(resend.replay, order)
        self.site.suppressions.learn(replayed.lifted)
        self.site.dispatcher.revived(replayed.queued)
        lifted = sorted({word.address for word in replayed.lifted})
        return {"count": replayed.queued, "lifted": lifted, "after": replayed.after}


class LookHandler(OperationHandler):
    """POST /alerts/look: look at what goes wrong now, and not only four times a minute."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        await self.site.alerts.look(clock.now())
        return {}


class TestAlertHandler(OperationHandler):
    """POST /alerts/test: send a test alert; `id` is the message's, `result` what came of it."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        id, result = await self.site.alerts.test()
        return {"id": id, "result": result}


ROUTES = [
    (r"/status", StatusHandler),
    (r"/reload", ReloadHandler),
    (r"/templates/apply", ApplyTemplatesHandler),
    (r"/templates/restore", RestoreTemplateHandler),
    (r"/alerts/look", LookHandler),
    (r"/alerts/test", TestAlertHandler),
    (r"/suppressions", SuppressionHandler),
    (r"/held/replay", ReplayHandler),
    (rf"/messages/({'|'.join(operator_actions.OPERATIONS)})", MessagesHandler),
    (r"/screened/(release|drop)", ScreenedHandler),
    (r"/(pause|resume)", PauseHandler),
]


def make_control(site: Site, read_again: Callable[[Site], str | None]) -> Application:
    """Build the socket's web application."""
    return Application(ROUTES, site=site, read_again=read_again, log_function=lambda handler: None)
