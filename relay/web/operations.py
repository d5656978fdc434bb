"""What commands order of a running daemon: about messages, and to pause and resume servers."""

import asyncio
import time
from typing import Any

from tornado.escape import json_decode
from tornado.web import RequestHandler

from relay.app import Site
from relay.errors import RelayError
from relay.store import operations
from relay.store.operations import Order, Verdict

# The states that the dispatcher counts as waiting.
_WAITING = ("queued", "scheduled")


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
        operation = operations.OPERATIONS[arguments[0]]
        order = Order(asked["ids"], time.time(), bool(asked["twice"]))
        verdicts: list[Verdict] = await self.site.store.write(operation, order)
        self._count(verdicts)
        return {"verdicts": verdicts}

    def _count(self, verdicts: list[Verdict]) -> None:
        """Tell the dispatcher how many more messages wait, or fewer."""
        done = [verdict for verdict in verdicts if verdict.done]
        waited = sum(verdict.before in _WAITING for verdict in done)
        waits = sum(verdict.after in _WAITING for verdict in done)
        if done:
            self.site.dispatcher.queued(waits - waited)


class PauseHandler(OperationHandler):
    """POST /pause and /resume with `{"server": ...}`: `paused` are all that are paused then."""

    async def carry_out(self, asked: dict[str, Any], *arguments: str) -> dict[str, Any]:
        change = self.site.pause if arguments[0] == "pause" else self.site.resume
        await change(asked["server"])
        return {"paused": sorted(self.site.paused())}


ROUTES = [
    (rf"/messages/({'|'.join(operations.OPERATIONS)})", MessagesHandler),
    (r"/(pause|resume)", PauseHandler),
]
