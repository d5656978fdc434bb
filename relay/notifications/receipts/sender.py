"""Receipts: once the fate of a message is known, its writer gets a mail of fixed words.

The mail is an ordinary message of the same server's outbox. The commit that stores it also notes
that the writer was told: whenever the daemon dies, there is exactly one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import structlog

from relay.core import clock
from relay.core.errors import ConfigurationError, TemplateRenderError, Unavailable
from relay.core.logs import trace
from relay.core.server import Server
from relay.core.states import TOLD, State
from relay.hooks.chain import Chain
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.notifications.receipts import emails
from relay.notifications.receipts.hourly_limit import HourlyLimit
from relay.store import receipts
from relay.store.engine.database import Store
from relay.store.outbox.enqueue import NewMessage
from relay.store.receipts import OpenReceipt, ReceiptOrder, ReceiptOutcome

# How often all open receipts are looked at, and how often at most those of what was settled.
LOOK_SECONDS = 30.0
PAUSE_SECONDS = 1.0
# Open receipts that are read at once, and settled messages that are remembered until then.
PAGE = 500
MAX_SETTLED = 20 * PAGE

WORDS = {
    True: "the writer is told that it was delivered",
    False: "the writer is told that it was not delivered",
}

log = structlog.get_logger()


@dataclass(eq=False, repr=False)
class ReceiptSender:
    """Writes to the writers of one installation.

    `look` is one pass, `run` the endless loop around it; nothing starts before one of them is
    called. What this daemon settled is always its own to tell; what was missed is the leader's.
    """

    store: Store
    chains: Callable[[], Mapping[str, Chain]]
    outbox: Outbox
    is_leader: Callable[[], bool]
    hears: ClassVar = TOLD
    _settled: list[str] = field(default_factory=list, init=False)
    _alarm: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _hour: HourlyLimit = field(default_factory=HourlyLimit, init=False)

    def settled(self, message: str) -> None:
        """Send a message's receipt soon; without this call the next look sends it."""
        if len(self._settled) < MAX_SETTLED:
            self._settled.append(message)
        self._alarm.set()

    async def look(self, now: float | None = None) -> int:
        """Write to all whose message's fate is known at `now`; return how many were written."""
        count, after = 0, ""
        while page := await self.store.read(receipts.waiting, after, PAGE):
            count += await self._write(page, now)
            after = page[-1].message
        return count

    async def run(self) -> None:
        """Write to writers for ever: soon after an outcome, and what was missed later."""
        looked_at = float("-inf")
        while True:
            self._alarm.clear()
            settled, self._settled = self._settled, []
            try:
                if self.is_leader() and time.monotonic() - looked_at >= LOOK_SECONDS:
                    await self.look()
                    looked_at = time.monotonic()
                else:
                    await self._look_at(settled)
            except Unavailable:
                pass  # the store has logged it
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("receipts.untold", **trace(error))
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await asyncio.wait_for(self._alarm.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def saw(self, server: str, what: str, about: Mapping[str, Any]) -> None:
        """Take note of what a chain observed, where it ends the doubt about a message."""
        chain = self.chains().get(server)
        if chain is not None and chain.server.receipt is not None:
            self.settled(about["id"] if "id" in about else about["message"].id)

    async def _look_at(self, settled: Sequence[str]) -> None:
        for start in range(0, len(settled), PAGE):
            ids = settled[start : start + PAGE]
            await self._write(await self.store.read(receipts.waiting_of, ids), None)

    async def _write(self, rows: Sequence[OpenReceipt], now: float | None) -> int:
        """Store the receipts of those messages whose fate is known; count them."""
        now = clock.now() if now is None else now
        results = await asyncio.gather(*(self._decide(row, now) for row in rows))
        return sum(results)

    async def _decide(self, row: OpenReceipt, now: float) -> bool:
        """Store a receipt if its message's fate is known now; return whether there is a mail."""
        chain = self.chains().get(row.server)
        if chain is None or row.state not in (State.CANCELLED, *TOLD):
            return False
        words, outgoing = _objection(row, chain.server), []
        if words:
            words = f"the writer is told nothing: {words}"
        elif self._hour.is_reached(row.server, limit := _limit(chain.server), now):
            words = f"the writer is not told: {row.server} sent {limit} receipts within the hour"
        else:
            try:
                outgoing = [_outgoing(row, chain)]
            except (ConfigurationError, TemplateRenderError) as error:
                known = {"id": row.message, "server": row.server, "problem": str(error)}
                log.error("receipt.unwritten", **known)
                return False
            words = WORDS[row.state == State.SENT]
            self._hour.add(row.server, now)
        guard = _guard(row, chain.server, words, now)
        written = bool(await self.outbox.put(outgoing, guard=guard, is_own=True))
        if outgoing and not written:
            self._hour.take_back(row.server)
        return written


def _limit(server: Server) -> int:
    return server.receipt.per_hour if server.receipt else 0


def _outgoing(row: OpenReceipt, chain: Chain) -> Outgoing:
    terms, server = chain.server.receipt, chain.server
    if terms is None:
        raise ValueError(f"server {server.name} sends no receipts")
    delivered = row.state == State.SENT
    message = emails.receipt_email(
        server, terms, row.address, row.reference, row.created_at, delivered=delivered
    )
    return Outgoing(message, chain)


def _guard(
    row: OpenReceipt, server: Server, words: str, now: float
) -> Guard[ReceiptOrder, ReceiptOutcome]:
    """Note, in one commit with the mail if there is one, that the receipt is done."""
    terms, ids = server.receipt, list[str]()

    def order(rows: Sequence[NewMessage]) -> ReceiptOrder:
        ids.extend(one.id for one in rows)
        limits = (terms.per_address_per_hour, terms.per_address_per_day) if terms else ()
        return ReceiptOrder(row.message, row.state, now, rows[0] if rows else None, words, *limits)

    async def committed(outcome: ReceiptOutcome) -> None:
        known = {"message": row.message, "server": row.server, "state": row.state}
        if outcome == "written":
            log.info("receipt.queued", id=ids[0], **known)
        elif outcome == "omitted":
            log.info("receipt.omitted", **known)

    return Guard(receipts.write, order, lambda outcome, row: outcome == "written", committed)


def _objection(row: OpenReceipt, server: Server) -> str:
    """Say why there is no receipt for a message that is done with; "" where there is one."""
    if row.state == State.CANCELLED:
        return "it was cancelled"
    if server.receipt is None:
        return f"{server.name} sends no receipts any more"
    return "" if row.address else "there is no address"
