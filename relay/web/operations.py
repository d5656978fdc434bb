"""What commands order of a running daemon: about messages, and to pause and resume servers."""

import asyncio
import time
from typing import Any

import structlog
from tornado.escape import json_decode
from tornado.web import RequestHandler

from relay.core.errors import RelayError, SubmissionError
from relay.core.logs import trace
from relay.core.states import TOLD, WAITING, State
from relay.site import Site
from relay.store.outbox import operator_actions, resend, screened
from relay.store.outbox.operator_actions import Order, Verdict
from relay.store.suppressions import Word

log = structlog.get_logger()


class OperationHandler(RequestHandler):
    """What these handlers share: the site, and a refusal as `problem`."""

    def initialize(self, site: Site) -> None:
        self.site = site

    async def post(self, *arguments: str) -> None:
        # Thousands of ids: not on the loop.
        asked = await asyncio.to_thread(json_decode, self.request.body)
        try:
            self.write({"problem": "", **await self.carry_out(asked, *arguments)})
        except RelayError as error:
            self.write({"problem": str(error)})

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        raise NotImplementedError


class MessagesHandler(OperationHandler):
    """POST /messages/{operation} with `{"ids": [...], "twice": false}`: a verdict for each."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        operation = operator_actions.OPERATIONS[arguments[0]]
        order = Order(asked["ids"], time.time(), bool(asked["twice"]))
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
            order = Order(asked["ids"], time.time())
            return {"verdicts": await self.site.store.write(screened.drop, order)}
        return {"verdicts": [await self._release(id) for id in asked["ids"]]}

    async def _release(self, id: str) -> Verdict:
        try:
            released = await self.site.acceptance.release(id, time.time())
        except SubmissionError as error:
            return Verdict(id, State.SCREENED, "", str(error))
        except Exception as error:  # noqa: BLE001 - one that breaks a plugin is no other's matter
            log.error("release.failed", id=id, **trace(error))
            return Verdict(id, State.SCREENED, "", f"a plugin fails at it: {type(error).__name__}")
        if not released:
            return Verdict(id, "", "", screened.ABSENT)
        return Verdict(id, State.SCREENED, State.QUEUED, "released")


class PauseHandler(OperationHandler):
    """POST /pause and /resume with `{"server": ...}`: `paused` are all that are paused then."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        change = self.site.pauses.pause if arguments[0] == "pause" else self.site.pauses.resume
        await change(asked["server"])
        return {"paused": sorted(self.site.pauses.names())}


class SuppressionHandler(OperationHandler):
    """POST /suppressions with `{"server": ..., "address": ..., "reason": ..., "words": ...}`.

    `reason` is manual or lifted; `changed` tells whether it was not so before.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        word = Word(
            asked["server"], asked["address"], asked["reason"], time.time(), words=asked["words"]
        )
        [changed] = await self.site.suppressions.note([word])
        return {"changed": changed}


class ReplayHandler(OperationHandler):
    """POST /held/replay with `{"address": ..., "server": ..., "after": ...}`: some at a time.

    `count` are queued, `lifted` the addresses that are written to again, `after` is where to go
    on, null at the end.
    """

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        servers = {name: chain.server for name, chain in self.site.chains.items()}
        order = resend.order(
            asked["address"], asked["server"], servers, time.time(), asked["after"]
        )
        replayed = await self.site.store.write(resend.replay, order)
        self.site.suppressions.learn(replayed.lifted)
        self.site.dispatcher.revived(replayed.queued)
        lifted = sorted({word.address for word in replayed.lifted})
        return {"count": replayed.queued, "lifted": lifted, "after": replayed.after}


class TestAlertHandler(OperationHandler):
    """POST /alerts/test: send a test alert; `id` is the message's, `result` what came of it."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        id, result = await self.site.alerts.test()
        return {"id": id, "result": result}


ROUTES = [
    (r"/alerts/test", TestAlertHandler),
    (r"/suppressions", SuppressionHandler),
    (r"/held/replay", ReplayHandler),
    (rf"/messages/({'|'.join(operator_actions.OPERATIONS)})", MessagesHandler),
    (r"/screened/(release|drop)", ScreenedHandler),
    (r"/(pause|resume)", PauseHandler),
]
