"""One attempt: find the messages, hand them to the deliver hook in a thread, store the outcome."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from relay.core import clock
from relay.core.errors import DeliveryDeferred, DeliveryError, DeliveryInDoubt, Unavailable
from relay.core.logs import trace
from relay.core.message import Confirmation, Message
from relay.core.states import UNSEEN, WAITING, State
from relay.delivery import outcomes, waiters
from relay.delivery.message_cache import MessageCache
from relay.delivery.outcomes import DeliverResult
from relay.delivery.suppression_filter import SuppressionFilter
from relay.delivery.waiters import Outcome, Waiters
from relay.delivery.worker_threads import in_thread
from relay.hooks.chain import Chain
from relay.store.engine.database import Store
from relay.store.outbox import in_doubt
from relay.store.outbox import outcomes as settling
from relay.store.outbox.batching import Call, Lane
from relay.store.outbox.in_doubt import LateAnswer
from relay.store.outbox.outcomes import AttemptOutcome

# A settlement that the store refuses is tried again for this long; then the row stays `sending`
# and is in doubt at the next start.
SETTLE_SECONDS = 60.0
# Outcomes told in one go, before others have the loop.
BREATH = 50

# Which hook learns of a state that an attempt ended in.
OBSERVED: Mapping[State, str] = {
    State.QUEUED: "deferred",
    **{state: str(state) for state in UNSEEN},
}


Heard = Callable[[Lane, Sequence[DeliverResult], float], None]

log = structlog.get_logger()


@dataclass(eq=False, repr=False)
class Attempts:
    """Makes attempts with a pool of `senders` threads, and tells who waits for them.

    `message_cache` keeps messages between acceptance and their first attempt. may_send: whether
    what was claimed under a daemon's number is surely its own yet.
    """

    store: Store
    waiters: Waiters
    senders: int
    heard: Heard
    suppression_filter: SuppressionFilter
    may_send: Callable[[int], bool]

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.senders, "sender")
        self.message_cache = MessageCache(self.store)
        self._stopping = False

    def stop(self) -> None:
        """Start no thread any more, and give up on a store that refuses."""
        self._stopping = True
        self._pool.shutdown(wait=False)

    async def make(
        self, call: Call, chains: Mapping[str, Chain], ahead: float
    ) -> Sequence[AttemptOutcome]:
        """Attempt a call's messages through its lane; return what was stored of them.

        ahead: seconds by which the attempt's clock runs ahead of this machine's.
        """
        started_at = clock.now() + ahead
        sent, results = await self._attempted(call, chains, ahead)
        ended_at = clock.now() + ahead
        settlements = [
            outcomes.settlement(
                claimed,
                result,
                chains[claimed.server].server,
                call.lane.plugin,
                started_at=started_at,
                now=ended_at,
                random=random.random(),  # noqa: S311 - spreads retries, guards nothing
                watched=self.waiters.settle(claimed.id),
                message=message,
            )
            for claimed, message, result in zip(call.messages, sent, results, strict=True)
        ]
        counted = await self._settle(settlements)
        told = zip(settlements, sent, results, strict=True)
        for index, (settlement, message, result) in enumerate(told):
            chain = chains[settlement.claimed.server]
            is_mail = not settlement.claimed.canary
            self._tell(settlement, result)
            if is_mail:
                chain.note(
                    "attempted",
                    plugin=settlement.delivery,
                    outcome=settlement.outcome,
                    seconds=ended_at - started_at,
                )
            if counted[index] and is_mail:
                _observe(chain, settlement, message, result)
            elif not counted[index] and settlement.state == State.SENT:
                counted[index] = await self._hear_late(settlement)
            if not (index + 1) % BREATH:
                await asyncio.sleep(0)
        return [one for one, done in zip(settlements, counted, strict=True) if done]

    async def _attempted(
        self, call: Call, chains: Mapping[str, Chain], ahead: float
    ) -> tuple[Sequence[Message | DeliveryError], Sequence[DeliverResult]]:
        """Hand the messages that may be sent to the plugin.

        Return them as they were handed over, or why they were not; and what came of each.
        """
        own = [chains[one.server] for one in call.messages]
        group = chains[call.lane.group]
        stored = _for_plugin(await self.message_cache.find(call.messages), group, call.lane.plugin)
        sifted = self.suppression_filter.sift(stored, own, clock.now() + ahead)
        messages = [message for message in sifted if isinstance(message, Message)]
        answers: Sequence[DeliverResult] = []
        if messages:
            answers = await self._deliver(group, call, messages)
            self.heard(call.lane, answers, clock.now() + ahead)
        delivered = iter(answers)
        results = [next(delivered) if isinstance(one, Message) else one for one in sifted]
        results = await self.suppression_filter.hear(
            stored, sifted, results, own, clock.now() + ahead
        )
        return sifted, [
            outcomes.concluded(message, result) if isinstance(result, DeliveryError) else result
            for message, result in zip(stored, results, strict=True)
        ]

    async def _hear_late(self, settlement: AttemptOutcome) -> bool:
        """Settle a message whose claim was lost before its provider said that it took it.

        Return whether it waited for another attempt, which it needs no more.
        """
        id, at, plugin = settlement.claimed.id, settlement.ended_at, settlement.delivery
        answer = LateAnswer(id, at, settlement.provider_id or "", plugin)
        try:
            before = await self.store.write(in_doubt.answered_late, answer)
        except Unavailable:
            before = ""
        log.warning("answer.late", id=id, server=settlement.claimed.server, before=before)
        return before in WAITING

    async def _deliver(
        self, group: Chain, call: Call, messages: Sequence[Message]
    ) -> list[DeliverResult]:
        """Call a plugin's deliver hook in a thread; return one result for each message."""
        answer: Any
        plugin, deadline = call.lane.plugin, group.server.deadline
        try:
            answer = await in_thread(self._pool, deadline, self._sent, group, call, messages)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, or its time-out
            answer = error
        if isinstance(answer, Exception) and not isinstance(answer, DeliveryError):
            log.error("delivery.broken", plugin=plugin, server=group.server.name, **trace(answer))
        return outcomes.per_message(answer, len(messages))

    def _sent(self, group: Chain, call: Call, messages: Sequence[Message]) -> Any:
        """Hand messages to the plugin, unless another daemon may have them by now."""
        if not self.may_send(call.daemon):
            words = "this daemon was not heard of for too long: others may have it"
            raise DeliveryDeferred(words, code="lapsed", counted=False)
        return group.deliver(messages, call.lane.plugin)

    async def _settle(self, settlements: Sequence[AttemptOutcome]) -> list[bool]:
        """Store outcomes; if the store refuses for long, leave them to the next start."""
        ends = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                return await self.store.write(settling.settle, settlements)
            except Unavailable:
                log.error("outcomes.unstored", ids=[one.claimed.id for one in settlements])
                if time.monotonic() > ends or self._stopping:
                    return [False] * len(settlements)
                await asyncio.sleep(1)

    def _tell(self, settlement: AttemptOutcome, result: DeliverResult) -> None:
        """Let the waiting caller and the log know what came of a message."""
        id, state = settlement.claimed.id, settlement.state
        outcome = waiters.QUEUED
        if state == State.SENT:
            outcome = waiters.SENT
        elif state in (State.FAILED, State.SUPPRESSED):
            outcome = Outcome(State.FAILED, str(result))
        self.waiters.tell(id, outcome)
        remarkable: dict[str, Any] = {}
        if isinstance(result, DeliveryError):
            remarkable["code"] = result.code
        else:
            if result.dropped:
                remarkable["dropped"] = len(result.dropped)
            if result.later:
                remarkable["later"] = len(result.later)
        write = log.warning if remarkable else log.info
        write(
            f"message.{'deferred' if state == State.QUEUED else state}",
            id=id,
            server=settlement.claimed.server,
            delivery=settlement.delivery,
            attempt=settlement.claimed.tries + 1,
            seconds=round(settlement.ended_at - settlement.started_at, 3),
            **remarkable,
        )


def _for_plugin(
    found: Sequence[Message | DeliveryError], group: Chain, plugin: str
) -> Sequence[Message | DeliveryError]:
    """Hold back, from a plugin that stands in, what only the account it stands in for can render.

    The same sequence where there is nothing of the kind.
    """
    if plugin == group.deliver_plugins[0] or group.account is None or group.has_account(plugin):
        return found
    words = "its template is not stored here; it waits for the account that has it"
    return [
        DeliveryDeferred(words, code="template", counted=False)
        if isinstance(one, Message) and one.template is not None and not one.is_rendered
        else one
        for one in found
    ]


def _observe(
    chain: Chain, settled: AttemptOutcome, message: Message | DeliveryError, result: DeliverResult
) -> None:
    hook = OBSERVED.get(settled.state)
    if isinstance(result, Confirmation) and result.later:
        result = DeliveryDeferred(settled.words)
    if isinstance(message, Message) and isinstance(result, Confirmation):
        chain.observe("sent", message=message, receipt=result)
    elif isinstance(message, Message) and hook and not isinstance(result, DeliveryInDoubt):
        chain.observe(hook, message=message, error=result)
    else:
        state = "resent" if settled.maybe_twice else settled.state
        chain.note(state, id=settled.claimed.id, words=settled.words)
