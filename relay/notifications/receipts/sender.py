"""Receipts: once the fate of a message is known, its writer gets a mail of fixed words.

The mail is an ordinary message of the same server's outbox. The commit that stores it also notes
that the writer was told: whenever the daemon dies, there is exactly one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from relay.core.errors import ConfigurationError, TemplateRenderError
from relay.core.logs import trace
from relay.core.message import Message
from relay.core.server import Server
from relay.hooks.chain import Chain
from relay.notifications.receipts import emails
from relay.store import receipts
from relay.store.engine.database import Store
from relay.store.outbox import records
from relay.store.receipts import Telling

# How often all open receipts are looked at, and how often at most those of what was settled.
LOOK_SECONDS = 30.0
PAUSE_SECONDS = 1.0
# Open receipts that are read at once, and settled messages that are remembered until then.
PAGE = 500
MAX_SETTLED = 20 * PAGE

# States that a writer is told of: in any other his message's fate is open, or somebody cancelled
# it and knows what to say.
TOLD_STATES = ("sent", "failed", "expired", "quarantined", "suppressed")
WORDS = {
    True: "the writer is told that it was delivered",
    False: "the writer is told that it was not delivered",
}

log = structlog.get_logger()


class _Decision(NamedTuple):
    """An order to the store, the mail in it, if any, and the chain that it goes through."""

    order: Telling
    server: str
    letter: Message | None = None
    chain: Chain | None = None


class ReceiptSender:
    """Writes to the writers of one installation.

    `look` is one pass, `run` the endless loop around it; nothing starts before one of them is
    called. metadata_key: as for every message. queued: is told how many messages wait, and whose.
    """

    def __init__(
        self,
        store: Store,
        chains: Mapping[str, Chain],
        metadata_key: str,
        queued: Callable[[int, str], None],
    ) -> None:
        self._store = store
        self._metadata_key = metadata_key
        self._queued = queued
        self._settled: list[str] = []
        self._alarm = asyncio.Event()
        self.adopt(chains)

    def adopt(self, chains: Mapping[str, Chain]) -> None:
        """Write to the writers of these servers from here on."""
        self._chains = chains
        for chain in chains.values():
            if chain.server.receipt is not None:
                chain.onlookers.append(self._saw)

    def settled(self, message: str) -> None:
        """Send a message's receipt soon; without this call the next look sends it."""
        if len(self._settled) < MAX_SETTLED:
            self._settled.append(message)
        self._alarm.set()

    async def look(self, now: float | None = None) -> int:
        """Write to all whose message's fate is known at `now`; return how many were told."""
        count, after = 0, ""
        while page := await self._store.read(receipts.waiting, after, PAGE):
            count += await self._tell(page, now)
            after = page[-1].message
        return count

    async def run(self) -> None:
        """Write to writers for ever: soon after an outcome, and what was missed later."""
        looked_at = float("-inf")
        while True:
            self._alarm.clear()
            settled, self._settled = self._settled, []
            try:
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    await self.look()
                    looked_at = time.monotonic()
                else:
                    await self._look_at(settled)
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("receipts.untold", **trace(error))
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                await asyncio.wait_for(self._alarm.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def _saw(self, server: str, what: str, about: Mapping[str, Any]) -> None:
        if what in TOLD_STATES:
            self.settled(about["id"] if "id" in about else about["message"].id)

    async def _look_at(self, settled: Sequence[str]) -> None:
        for start in range(0, len(settled), PAGE):
            ids = settled[start : start + PAGE]
            await self._tell(await self._store.read(receipts.waiting_of, ids), None)

    async def _tell(self, rows: Sequence[Any], now: float | None) -> int:
        """Store what writers are told, of those messages whose fate is known; count them."""
        now = time.time() if now is None else now
        decided = [one for row in rows if (one := self._decided(row, now)) is not None]
        writes = [self._store.write(receipts.tell, one.order) for one in decided]
        results: Sequence[str] = await asyncio.gather(*writes)
        for one, told in zip(decided, results, strict=True):
            self._report(one, told)
        return results.count("told")

    def _decided(self, row: Any, now: float) -> _Decision | None:
        """Decide what a writer is told; None where nothing is to be done now."""
        chain = self._chains.get(row.server)
        if chain is None or row.state not in ("cancelled", *TOLD_STATES):
            return None
        why = _objection(row, chain.server)
        if why:
            words = f"the writer is told nothing: {why}"
            return _Decision(Telling(row.message, row.state, now, None, words), row.server)
        try:
            return self._letter(row, chain, now)
        except (ConfigurationError, TemplateRenderError) as error:
            log.error("receipt.unwritten", id=row.message, server=row.server, problem=str(error))
            return None

    def _letter(self, row: Any, chain: Chain, now: float) -> _Decision:
        terms, delivered = chain.server.receipt, row.state == "sent"
        if terms is None:
            raise ValueError(f"server {chain.server.name} sends no receipts")
        written = emails.receipt_email(
            chain.server, terms, row.address, row.reference, row.created_at, delivered=delivered
        )
        letter = records.identified(written, self._metadata_key)
        order = Telling(
            row.message,
            row.state,
            now,
            records.record(letter, chain.server, ""),
            WORDS[delivered],
            terms.per_address_per_hour,
            terms.per_address_per_day,
        )
        return _Decision(order, row.server, letter, chain)

    def _report(self, one: _Decision, told: str) -> None:
        """Have a stored letter delivered, and say in the log what was decided."""
        known = {"message": one.order.message, "server": one.server, "state": one.order.state}
        if told == "told" and one.letter is not None and one.chain is not None:
            self._queued(1, one.server)
            log.info("receipt.queued", id=one.letter.id, **known)
            one.chain.observe("accepted", message=one.letter)
        elif told == "silent":
            log.info("receipt.omitted", **known)


def _objection(row: Any, server: Server) -> str:
    """Say why a writer is told nothing about a message that is done with; "" where he is told."""
    if row.state == "cancelled":
        return "it was cancelled"
    if server.receipt is None:
        return f"{server.name} sends no receipts any more"
    return "" if row.address else "there is no address"
