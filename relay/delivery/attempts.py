"""One attempt: find the messages, hand them to the deliver hook in a thread, store the outcome."""

import asyncio
import contextvars
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard

import structlog

from relay.chain import Chain
from relay.delivery import outcomes
from relay.delivery.outcomes import Result
from relay.delivery.watches import Outcome, Watches
from relay.errors import DeliveryDeferred, DeliveryError, DeliveryFailed, Unavailable
from relay.logs import trace
from relay.message import Message, Receipt
from relay.store import documents, listing, outbox
from relay.store.database import Store
from relay.store.outbox import Claimed, Settlement

# Beyond its deadline an attempt gets this long to say so itself, then it is in doubt.
GRACE_SECONDS = 5.0
# A settlement that the store refuses is tried again for this long; then the row stays `sending`
# and is in doubt at the next start.
SETTLE_SECONDS = 60.0
# Messages kept in memory between acceptance and their first attempt: as many as callers wait at
# once, few enough that large ones do not fill the memory.
MAX_FRESH = 500

log = structlog.get_logger()


class Attempts:
    """Makes attempts with a pool of `senders` threads, and tells who waits for them."""

    def __init__(self, store: Store, watches: Watches, senders: int) -> None:
        self._store = store
        self._watches = watches
        self._pool = ThreadPoolExecutor(senders, "sender")
        self._fresh: dict[str, Message] = {}
        self._stopping = False

    def keep(self, message: Message) -> None:
        """Keep a message that is being stored, so that its attempt need not read it again."""
        if len(self._fresh) < MAX_FRESH:
            self._fresh[message.id] = message

    def drop(self, message: Message) -> None:
        """Forget a message that was kept."""
        self._fresh.pop(message.id, None)

    def stop(self) -> None:
        """Start no thread any more, and give up on a store that refuses."""
        self._stopping = True
        self._pool.shutdown(wait=False)

    async def make(
        self, claimed: Sequence[Claimed], chains: Mapping[str, Chain], group: Chain, ahead: float
    ) -> Sequence[Settlement]:
        """Attempt claimed messages in one call through their group; give what was stored of them.

        ahead: seconds by which the attempt's clock runs ahead of this machine's.
        """
        started_at = time.time() + ahead
        found = await self._messages(claimed)
        messages = [message for message in found if isinstance(message, Message)]
        results = iter(await self._deliver(group, messages) if messages else [])
        outcome = [next(results) if isinstance(one, Message) else one for one in found]
        settlements = [
            outcomes.settlement(
                one,
                result,
                chains[one.server].server,
                group.deliver_plugins[0],
                started_at=started_at,
                now=time.time() + ahead,
                random=random.random(),  # noqa: S311 - spreads retries, guards nothing
                watched=self._watches.settle(one.id),
            )
            for one, result in zip(claimed, outcome, strict=True)
        ]
        stored = await self._settle(settlements)
        ends = zip(settlements, stored, found, outcome, strict=True)
        for settlement, done, message, result in ends:
            self._tell(settlement, result)
            if done and isinstance(message, Message):
                _observe(chains[settlement.claimed.server], settlement.state, message, result)
        return [one for one, done in zip(settlements, stored, strict=True) if done]

    async def _messages(self, claimed: Sequence[Claimed]) -> list[Message | DeliveryError]:
        """Find claimed messages: in memory if they have just come in, else in the store."""
        fresh = {one.id: self._fresh.pop(one.id, None) for one in claimed}
        stored: Mapping[str, str] = {}
        missing = [id for id, message in fresh.items() if message is None]
        if missing:
            try:
                stored = await self._store.read(listing.documents, missing)
            except Exception as error:  # noqa: BLE001 - the store: nothing was sent, try again
                log.error("messages.unread", count=len(missing), **trace(error))
                unread = DeliveryDeferred("the store could not be read", counted=False)
                return [fresh[one.id] or unread for one in claimed]
        return [fresh[one.id] or _loaded(one.id, stored) for one in claimed]

    async def _deliver(self, group: Chain, messages: Sequence[Message]) -> list[Result]:
        """Call the deliver hook in a thread; give one result for each message."""
        call: Callable[..., Any] = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, call, group.deliver, messages)
        answer: Any
        try:
            answer = await asyncio.wait_for(future, group.server.deadline + GRACE_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, or its time-out
            answer = error
        if isinstance(answer, Exception) and not isinstance(answer, DeliveryError):
            plugin = group.deliver_plugins[0]
            log.error("delivery.broken", plugin=plugin, server=group.server.name, **trace(answer))
        return outcomes.per_message(answer, len(messages))

    async def _settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Store outcomes; if the store refuses for long, leave them to the next start."""
        ends = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                return await self._store.write(outbox.settle, settlements)
            except Unavailable:
                log.error("outcomes.unstored", ids=[one.claimed.id for one in settlements])
                if time.monotonic() > ends or self._stopping:
                    return [False] * len(settlements)
                await asyncio.sleep(1)

    def _tell(self, settlement: Settlement, result: Result) -> None:
        """Tell the waiting caller and the log what came of a message."""
        id, state = settlement.claimed.id, settlement.state
        outcome = Outcome("queued")
        if state == "sent":
            outcome = Outcome("sent")
        elif state == "failed":
            outcome = Outcome("failed", str(result))
        self._watches.tell(id, outcome)
        write = log.info if state == "sent" and not _dropped(result) else log.warning
        write(
            f"message.{'deferred' if state == 'queued' else state}",
            id=id,
            server=settlement.claimed.server,
            delivery=settlement.delivery,
            attempt=settlement.claimed.tries + 1,
            seconds=round(settlement.ended_at - settlement.started_at, 3),
            **({"code": result.code} if isinstance(result, DeliveryError) else {}),
            **({"dropped": len(result.dropped)} if _dropped(result) else {}),
        )


def _dropped(result: Result) -> TypeGuard[Receipt]:
    return isinstance(result, Receipt) and bool(result.dropped)


def _loaded(id: str, stored: Mapping[str, str]) -> Message | DeliveryError:
    try:
        return documents.load(id, stored[id])
    except (KeyError, TypeError, ValueError) as error:
        log.error("message.unreadable", id=id, **trace(error))
        return DeliveryFailed("the stored message cannot be read")


def _observe(chain: Chain, state: str, message: Message, result: Result) -> None:
    if isinstance(result, Receipt):
        chain.observe("sent", message=message, receipt=result)
    elif state != "in_doubt":
        hook = "deferred" if state == "queued" else state
        chain.observe(hook, message=message, error=result)
