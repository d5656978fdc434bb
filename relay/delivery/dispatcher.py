"""The loop around delivery: claim what is due, start its attempts, look again when more is due."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog

from relay.chain import Chain
from relay.delivery.attempts import Attempts
from relay.delivery.watches import Outcome, Watches
from relay.logs import trace
from relay.message import Message
from relay.store import listing, outbox
from relay.store.database import Store
from relay.store.outbox import Claimed, ClaimOrder, Lane

# How often the outbox is looked at when nothing is known to be due.
LOOK_SECONDS = 30.0

log = structlog.get_logger()


class Dispatcher:
    """Delivers the outbox of one installation, with `senders` calls at a time.

    `deliver_waiting` is one pass, `run` the endless loop around it; `queued` makes a pass of its
    own. Nothing starts before one of them is called.
    """

    def __init__(self, store: Store, chains: Mapping[str, Chain], senders: int = 16) -> None:
        self.watches = Watches()
        self.waiting = 0
        self._store = store
        self._senders = senders
        self._attempts = Attempts(store, self.watches, senders)
        self._running: set[asyncio.Task[int]] = set()
        self._failing: set[str] = set()
        self._pump: asyncio.Task[None] | None = None
        self._again = False
        self._more = False
        self._stopping = False
        self._alarm = asyncio.Event()
        self.adopt(chains)

    def adopt(self, chains: Mapping[str, Chain]) -> None:
        """Deliver by these chains from here on; attempts that run keep the ones they began with."""
        self._chains = chains
        enabled = {name for name, chain in chains.items() if chain.server.enabled}
        # Mail of a server is sent where it and its group are enabled, and by the group.
        self._lanes = {
            name: Lane(chain.server.group, chains[chain.server.group].max_batch)
            for name, chain in chains.items()
            if {name, chain.server.group} <= enabled
        }
        self._first_only = [name for name in self._lanes if not _retries(name, chains)]

    def expect(self, message: Message, server: str) -> None:
        """Keep a message that is about to be stored, and watch it: its outcome may come at once."""
        self.watches.open(message.id)
        if self.delivers(server):
            self._attempts.keep(message)

    def forget(self, message: Message) -> None:
        """Drop a message that was expected and could not be stored."""
        self.watches.close(message.id)
        self._attempts.drop(message)

    def keep(self, messages: Iterable[Message], server: str) -> None:
        """Keep messages that are about to be stored, so that their attempts need not read them."""
        if self.delivers(server):
            for message in messages:
                self._attempts.keep(message)

    def drop(self, messages: Iterable[Message]) -> None:
        """Drop messages that were kept and could not be stored."""
        for message in messages:
            self._attempts.drop(message)

    def queued(self, count: int = 1) -> None:
        """Take note that messages were queued, new or again, and deliver them."""
        self.waiting += count
        self.wake()

    def healthy(self, server: str) -> bool:
        """Tell whether a message of this server stored now would most likely be sent at once."""
        return self.delivers(server) and self._lanes[server].name not in self._failing

    def delivers(self, server: str) -> bool:
        """Tell whether mail of this server may be sent at all."""
        return server in self._lanes

    def wake(self) -> None:
        """Claim what is due, soon; several calls before that are one."""
        self._again = True
        if self._pump is None and not self._stopping:
            self._pump = asyncio.create_task(self._claim_waiting())

    async def deliver_waiting(self, now: float | None = None) -> int:
        """Attempt everything that is due at `now`, once; give the number of attempts.

        Outcomes count from `now` too, so that a test can live through days in an instant.
        """
        now = time.time() if now is None else now
        count = 0
        while started := await self._claim(now):
            count += sum(await asyncio.gather(*started))
        return count

    async def run(self) -> None:
        """Deliver for ever: at once what is due, later what becomes due."""
        while not self._stopping:
            self._alarm.clear()
            self.wake()
            try:
                due = await self._store.read(listing.next_due, list(self._lanes))
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("outbox.unreadable", **trace(error))
                due = None
            delay = LOOK_SECONDS if due is None else min(max(due - time.time(), 1), LOOK_SECONDS)
            try:
                await asyncio.wait_for(self._alarm.wait(), delay)
            except TimeoutError:
                continue

    async def stop(self, seconds: float) -> bool:
        """Claim nothing more and wait for the attempts that run; tell whether all ended."""
        self._stopping = True
        self._alarm.set()
        if self._pump is not None:
            await asyncio.wait({self._pump})
        pending = self._running
        if pending:
            _, pending = await asyncio.wait(pending, timeout=seconds)
        self._attempts.stop()
        return not pending

    async def _claim_waiting(self) -> None:
        try:
            while self._again and not self._stopping:
                self._again = False
                await self._claim(time.time())
        except Exception as error:  # noqa: BLE001 - run() looks again
            log.error("outbox.unclaimable", **trace(error))
        finally:
            self._pump = None

    async def _claim(self, now: float) -> set[asyncio.Task[int]]:
        """Claim as much as there are free senders, and start the attempts."""
        free = self._senders - len(self._running)
        if free <= 0 or self._stopping:
            self._more = True
            return set()
        chains = self._chains  # the same ones for claim and attempt, whatever is read meanwhile
        order = ClaimOrder(now, free, self._lanes, self._first_only)
        calls = await self._store.write(outbox.claim, order)
        self._more = len(calls) == free or sum(map(len, calls)) == outbox.MAX_CLAIM
        ahead = now - time.time()
        return {self._start(call, chains, ahead) for call in calls}

    def _start(
        self, claimed: Sequence[Claimed], chains: Mapping[str, Chain], ahead: float
    ) -> asyncio.Task[int]:
        task = asyncio.create_task(self._attempt(claimed, chains, ahead))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _attempt(
        self, claimed: Sequence[Claimed], chains: Mapping[str, Chain], ahead: float
    ) -> int:
        group = chains[chains[claimed[0].server].server.group]
        try:
            settlements = await self._attempts.make(claimed, chains, group, ahead)
        except Exception:
            for one in claimed:
                self.watches.tell(one.id, Outcome("queued"))
            raise
        for settlement in settlements:
            if settlement.state == "queued":
                self._failing.add(group.server.name)
                self._alarm.set()
            else:
                self.waiting -= 1
            if settlement.state == "sent":
                self._failing.discard(group.server.name)
        return len(claimed)

    def _ended(self, task: asyncio.Task[int]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("attempt.broken", **trace(error))
        if self._more:
            self.wake()


def _retries(server: str, chains: Mapping[str, Chain]) -> bool:
    """Tell whether what was tried before is tried again, by the server and by its group."""
    chain = chains[server]
    return chain.server.queue_enabled and chains[chain.server.group].server.queue_enabled
