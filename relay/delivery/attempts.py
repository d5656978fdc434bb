"""One attempt: find the messages, hand them to the deliver hook in a thread, store the outcome."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard

import structlog
from sqlalchemy import Connection

from relay.chain import Chain
from relay.delivery import outcomes
from relay.delivery.outcomes import Result
from relay.delivery.threads import in_thread
from relay.delivery.watches import Outcome, Watches
from relay.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryInDoubt,
    MessageBroken,
    Unavailable,
)
from relay.logs import trace
from relay.message import Message, Receipt
from relay.store import documents, listing, outbox
from relay.store.claims import Call, Lane
from relay.store.database import Store
from relay.store.outbox import Claimed, Settlement

# A settlement that the store refuses is tried again for this long; then the row stays `sending`
# and is in doubt at the next start.
SETTLE_SECONDS = 60.0
# Messages kept in memory between acceptance and their first attempt: as many as callers wait at
# once, few enough that large ones do not fill the memory.
MAX_FRESH = 500
# Outcomes told in one go, before others have the loop.
BREATH = 50

# Which hook learns of a state that an attempt ended in.
OBSERVED = {"queued": "deferred", "failed": "failed", "expired": "expired"}

Heard = Callable[[Lane, Sequence[Result], float], None]

log = structlog.get_logger()


class Attempts:
    """Makes attempts with a pool of `senders` threads, and tells who waits for them."""

    def __init__(self, store: Store, watches: Watches, senders: int, heard: Heard) -> None:
        self._store = store
        self._watches = watches
        self._heard = heard
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
        self, call: Call, chains: Mapping[str, Chain], ahead: float
    ) -> Sequence[Settlement]:
        """Attempt a call's messages through its lane; give what was stored of them.

        ahead: seconds by which the attempt's clock runs ahead of this machine's.
        """
        started_at = time.time() + ahead
        found = await self._messages(call.messages)
        messages = [message for message in found if isinstance(message, Message)]
        results: Sequence[Result] = []
        if messages:
            results = await self._deliver(chains[call.lane.group], call.lane.plugin, messages)
            self._heard(call.lane, results, time.time() + ahead)
        delivered = iter(results)
        outcome = [next(delivered) if isinstance(one, Message) else one for one in found]
        settlements = [
            outcomes.settlement(
                one,
                result,
                chains[one.server].server,
                call.lane.plugin,
                started_at=started_at,
                now=time.time() + ahead,
                random=random.random(),  # noqa: S311 - spreads retries, guards nothing
                watched=self._watches.settle(one.id),
            )
            for one, result in zip(call.messages, outcome, strict=True)
        ]
        stored = await self._settle(settlements)
        for index, (settlement, done) in enumerate(zip(settlements, stored, strict=True), 1):
            message, result = found[index - 1], outcome[index - 1]
            self._tell(settlement, result)
            if done and isinstance(message, Message):
                _observe(chains[settlement.claimed.server], settlement.state, message, result)
            if not index % BREATH:
                await asyncio.sleep(0)
        return [one for one, done in zip(settlements, stored, strict=True) if done]

    async def _messages(self, claimed: Sequence[Claimed]) -> list[Message | DeliveryError]:
        """Find claimed messages: in memory if they have just come in, else in the store."""
        fresh = {one.id: self._fresh.pop(one.id, None) for one in claimed}
        stored: Mapping[str, Message | DeliveryError] = {}
        missing = [id for id, message in fresh.items() if message is None]
        if missing:
            try:
                stored = await self._store.read(_stored, missing)
            except Exception as error:  # noqa: BLE001 - the store: nothing was sent, try again
                log.error("messages.unread", count=len(missing), **trace(error))
                unread = DeliveryDeferred("the store could not be read", counted=False)
                stored = dict.fromkeys(missing, unread)
        return [fresh[one.id] or stored[one.id] for one in claimed]

    async def _deliver(
        self, group: Chain, plugin: str, messages: Sequence[Message]
    ) -> list[Result]:
        """Call a plugin's deliver hook in a thread; give one result for each message."""
        answer: Any
        try:
            deadline = group.server.deadline
            answer = await in_thread(self._pool, deadline, group.deliver, messages, plugin)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, or its time-out
            answer = error
        if isinstance(answer, Exception) and not isinstance(answer, DeliveryError):
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


def _stored(connection: Connection, ids: Sequence[str]) -> dict[str, Message | DeliveryError]:
    """Read messages in the reader's thread: a call's documents are megabytes."""
    stored = listing.documents(connection, ids)
    return {id: _loaded(id, stored) for id in ids}


def _loaded(id: str, stored: Mapping[str, str]) -> Message | DeliveryError:
    try:
        return documents.load(id, stored[id])
    except (KeyError, TypeError, ValueError) as error:
        log.error("message.unreadable", id=id, **trace(error))
        return MessageBroken("the stored message cannot be read")


def _observe(chain: Chain, state: str, message: Message, result: Result) -> None:
    if isinstance(result, Receipt):
        chain.observe("sent", message=message, receipt=result)
    elif not isinstance(result, DeliveryInDoubt) and (hook := OBSERVED.get(state)):
        chain.observe(hook, message=message, error=result)
