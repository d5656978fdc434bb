"""The daemon's unix socket: what commands ask of a running daemon. Only its owner can connect."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

from tornado.escape import json_decode
from tornado.http1connection import HTTP1Connection
from tornado.web import Application

from relay import __version__
from relay.core import clock
from relay.core.addresses import Address
from relay.core.errors import RelayError
from relay.intake.keys import AskedKey, making, revoking
from relay.operators import changes
from relay.operators.acting import system_user
from relay.operators.changes import link_url
from relay.site import Site
from relay.store.acts import By
from relay.store.cluster.membership import unheard
from relay.store.cluster.versions import Topic
from relay.store.maintenance import audit
from relay.store.maintenance.audit import LastRun
from relay.store.outbox import operator_actions
from relay.store.suppressions import Word
from relay.templates.rules import TemplateDraft
from relay.web.base import BaseHandler

# What the system says of who is at a socket's other end: process, user, group.
PEER = struct.Struct("3i")


class ControlHandler(BaseHandler):
    """Answers commands: what fails is text, which none of them takes for what it asked for."""

    fixed_headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @property
    def by(self) -> By:
        """The system's user who runs the command, as the socket says."""
        connection = self.request.connection
        asks = getattr(socket, "SO_PEERCRED", None)
        if asks is None or not isinstance(connection, HTTP1Connection):
            return system_user()  # nobody else can open the socket, but root
        said = connection.stream.socket.getsockopt(socket.SOL_SOCKET, asks, PEER.size)
        return system_user(PEER.unpack(said)[1])

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

    async def unheard(self, topic: Topic) -> list[str]:
        """Wait until the other daemons have heard of a change; name those that have not."""
        return [one.name for one in await asyncio.to_thread(unheard, self.site.store, topic)]


class ApplyTemplatesHandler(OperationHandler):
    """POST /templates/apply with `{"server": ..., "drafts": [...]}`: all of them or none."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        drafts = [TemplateDraft(**draft) for draft in asked["drafts"]]
        changes = await self.site.library.apply(asked["server"], drafts, self.by)
        return {"changes": [asdict(change) for change in changes]}


class RestoreTemplateHandler(OperationHandler):
    """POST /templates/restore with `{"server": ..., "reference": ..., "version": ...}`."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        restored = await self.site.library.restore(
            asked["server"], asked["reference"], asked["version"], self.by
        )
        return {"version": restored.version}


class MessagesHandler(OperationHandler):
    """POST /messages/{operation} with `{"ids": [...], "twice": false}`: a verdict for each."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        twice = bool(asked["twice"])
        verdicts = await self.site.orders.messages(arguments[0], asked["ids"], self.by, twice=twice)
        return {"verdicts": verdicts}


class ScreenedHandler(OperationHandler):
    """POST /screened/release and /screened/drop with `{"ids": [...]}`: a verdict for each."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        order = self.site.orders.drop if arguments[0] == "drop" else self.site.orders.release
        return {"verdicts": await order(asked["ids"], self.by)}


class ReaddressHandler(OperationHandler):
    """POST /messages/readdress with `{"id": ..., "address": ...}`: `id` is the second message's."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        done = await self.site.orders.readdress(asked["id"], Address(asked["address"]), self.by)
        return done._asdict()


class PauseHandler(OperationHandler):
    """POST /pause and /resume with `{"server": ...}`: `paused` are all that are paused then.

    `unheard` are the other daemons of this database that have not heard of it yet.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        change = self.site.pauses.pause if arguments[0] == "pause" else self.site.pauses.resume
        await change(asked["server"], self.by)
        deaf = await self.unheard("pauses")
        return {"paused": sorted(self.site.pauses.names()), "unheard": deaf}


class SuppressionHandler(OperationHandler):
    """POST /suppressions with `{"server": ..., "address": ..., "reason": ..., "words": ...}`.

    `reason` is manual or lifted; `changed` is whether it was not so before.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        word = Word(
            asked["server"], asked["address"], asked["reason"], clock.now(), words=asked["words"]
        )
        [changed] = await self.site.orders.suppress([word], self.by)
        return {"changed": changed}


class ReplayHandler(OperationHandler):
    """POST /held/replay with `{"address": ..., "server": ..., "after": ...}`: some at a time.

    `count` are queued, `lifted` the addresses that are written to again, `after` is where to go
    on, null at the end.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        replayed = await self.site.orders.replay(
            asked["address"], asked["server"], asked["after"], self.by
        )
        lifted = sorted({word.address for word in replayed.lifted})
        return {"count": len(replayed.ids), "lifted": lifted, "after": replayed.after}


class WebhookHandler(OperationHandler):
    """POST /webhooks/fire with `{"id": ...}`, /webhooks/on with `{"name": ...}`.

    `target` is whom the call goes to, "" where there is no such call; `was_off` whether it was.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        if arguments[0] == "fire":
            return {"target": await self.site.orders.fire(asked["id"], self.by)}
        return {"was_off": await self.site.orders.switch_on(asked["name"], self.by)}


class ErasureHandler(OperationHandler):
    """POST /person/erase with `{"address": ..., "cancel": ...}`: what came of it."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        outcome = await self.site.persons.erase(asked["address"], self.by, cancel=asked["cancel"])
        return outcome._asdict()


class HandedOutHandler(OperationHandler):
    """POST /person/handed-out with `{"address": ...}`: note that it was exported."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        await self.site.persons.handed_out(asked["address"], self.by)
        return {}


class OperatorsHandler(OperationHandler):
    """POST /operators/{change} with `{"name": ..., "role": ...}`: see `changes.CHANGES`.

    `url` is a new link's, `count` that of the sessions that ended.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        console = self.configuration.settings.console
        done = await changes.carry_out(self.site.people, arguments[0], asked, self.by, console)
        if secret := done.pop("secret", ""):
            done["url"] = link_url(console, self.site.console, secret)
        return done


class MakeKeyHandler(OperationHandler):
    """POST /keys/make with the fields of AskedKey: `key` is shown this once.

    `unheard` are the other daemons of this database that have not heard of it yet.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        now = self.configuration
        key, order = making(AskedKey(**asked), now.chains, now.keys.named_ids, self.by)
        await self.site.keys.order(order)
        return {"key": key, "unheard": await self.unheard("keys")}


class RevokeKeyHandler(OperationHandler):
    """POST /keys/revoke with `{"name": ...}`: `unheard` as above."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        order = revoking(asked["name"], self.configuration.keys.named_ids, self.by)
        await self.site.keys.order(order)
        return {"unheard": await self.unheard("keys")}


class AuditHandler(OperationHandler):
    """POST /audit with `{"at": ..., "accepted": ..., "faults": ...}`: what an audit found."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        await self.site.store.write(audit.note, LastRun(**asked))
        return {}


class LookHandler(OperationHandler):
    """POST /alerts/look: look at what goes wrong now, and not only four times a minute."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        await self.site.alerts.look(clock.now())
        return {}


class TestAlertHandler(OperationHandler):
    """POST /alerts/test: send a test alert; `id` is the message's, `result` what came of it.

    `called` are the names of those who are told beside mail.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        id, result, called = await self.site.alerts.test()
        return {"id": id, "result": result, "called": called}


ROUTES = [
    (r"/status", StatusHandler),
    (r"/reload", ReloadHandler),
    (r"/templates/apply", ApplyTemplatesHandler),
    (r"/templates/restore", RestoreTemplateHandler),
    (r"/person/erase", ErasureHandler),
    (r"/person/handed-out", HandedOutHandler),
    (rf"/operators/({'|'.join(changes.CHANGES)})", OperatorsHandler),
    (r"/keys/make", MakeKeyHandler),
    (r"/keys/revoke", RevokeKeyHandler),
    (r"/audit", AuditHandler),
    (r"/alerts/look", LookHandler),
    (r"/alerts/test", TestAlertHandler),
    (r"/suppressions", SuppressionHandler),
    (r"/held/replay", ReplayHandler),
    (r"/webhooks/(fire|on)", WebhookHandler),
    (r"/messages/readdress", ReaddressHandler),
    (rf"/messages/({'|'.join(operator_actions.OPERATIONS)})", MessagesHandler),
    (r"/screened/(release|drop)", ScreenedHandler),
    (r"/(pause|resume)", PauseHandler),
]


def make_control(site: Site, read_again: Callable[[Site], str | None]) -> Application:
    """Build the socket's web application."""
    return Application(ROUTES, site=site, read_again=read_again, log_function=lambda handler: None)
