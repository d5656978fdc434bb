"""Settling doubts: look messages whose answer was lost up at their provider, and decide."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from relay.core import clock
from relay.core.errors import DeliveryError, DeliveryInDoubt, MessageBroken, Unavailable
from relay.core.logs import trace
from relay.core.message import Absent, Confirmation, Message
from relay.core.server import Server
from relay.core.states import WAITING, State
from relay.delivery import retry
from relay.delivery.in_doubt_policy import TWICE, LookUpResult, Untraceable, verdict, without_asking
from relay.delivery.worker_threads import in_thread
from relay.hooks.chain import Chain
from relay.store import documents
from relay.store.engine.database import Store
from relay.store.outbox import in_doubt, recovery
from relay.store.outbox.in_doubt import Decision, Doubt, Looking
from relay.store.outbox.recovery import Interruption
from relay.store.queries import listing

# How often the endless loop looks whether anything is due.
LOOK_SECONDS = 2.0
# Look-ups at a time.
THREADS = 2
# So many look-ups that fail leave the others of the same provider to the next pass.
OUTAGE = 3
# A message that is due later than all waits there are, and this, was put off by a wrong clock.
MARGIN_SECONDS = 60.0

# The states that have a hook, and what it is told.
OBSERVED: Mapping[str, type[DeliveryError]] = {
    State.EXPIRED: DeliveryInDoubt,
    State.QUARANTINED: MessageBroken,
}

log = structlog.get_logger()


@dataclass(eq=False, repr=False)
class InDoubtResolver:
    """Looks messages in doubt up, and sends again what is shown to be absent.

    `look` is one pass, `run` the endless loop around it; nothing starts before one of them is
    called. revived, settled: called with how many messages wait for an attempt again, or no more.
    """

    store: Store
    chains: Callable[[], Mapping[str, Chain]]
    revived: Callable[[int], None]
    settled: Callable[[int], None]

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "look-up")
        self._free = asyncio.Semaphore(THREADS)
        self._stopped = asyncio.Event()
        self._told_of: Mapping[str, Chain] | None = None  # by which it was logged who is gone

    def interrupted(self, now: float | None = None) -> int:
        """Put in doubt what daemons that are gone were sending: at start, before any claim."""
        [count] = self.store.write_now(recovery.interrupted, [self._interruption(now)])
        return count

    async def look(self, now: float | None = None) -> int:
        """Look up everything that is due at `now`, once; return how many were decided on.

        Decisions count from `now` too, so that a test can live through days in an instant.
        """
        ahead = 0.0 if now is None else now - clock.now()
        now = clock.now() + ahead
        await self._doubt_lapsed(now)
        chains, count = self.chains(), 0
        asked, longest = _asked(chains), _longest_wait(chains)
        if chains is not self._told_of:
            await self._log_unasked(asked)
            self._told_of = chains
        failures: dict[tuple[str, str], int] = {}
        looking = Looking(now, longest, asked)
        batch: Sequence[Doubt] = ()
        while (batch := await self._next(looking, batch)) and not self._stopped.is_set():
            looks = (self._decided(one, chains, failures, ahead) for one in batch)
            count += sum(await asyncio.gather(*looks))
        return count

    async def _next(self, looking: Looking, before: Sequence[Doubt]) -> Sequence[Doubt]:
        """Return what is to be looked up next, after what was before."""
        if self.store.shared is not None:
            return await self.store.write(in_doubt.take, looking)
        after = (before[-1].due_at, before[-1].id) if before else (0.0, "")
        return await self.store.read(in_doubt.due, *looking, after)

    async def run(self) -> None:
        """Look up for ever what becomes due."""
        while not self._stopped.is_set():
            try:
                await self.look()
            except Unavailable:
                pass  # the store has logged it
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("doubts.unsettled", **trace(error))
            try:
                await asyncio.wait_for(self._stopped.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Look nothing up any more; what is being looked up is looked up again after a start."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _interruption(self, now: float | None) -> Interruption:
        first = {name: _first_look(chain.server) for name, chain in self.chains().items()}
        return Interruption(clock.now() if now is None else now, first)

    async def _doubt_lapsed(self, now: float) -> None:
        """Put in doubt what was claimed and never settled, here or by a daemon that is gone."""
        if self.store.shared is not None and await self.store.read(recovery.any_interrupted):
            count = await self.store.write(recovery.interrupted, self._interruption(now))
            log.warning("messages.in_doubt", count=count)
        if await self.store.read(recovery.any_lapsed, now):
            count = await self.store.write(recovery.lapsed, self._interruption(now))
            log.warning("messages.lapsed", count=count)
            self.settled(count)

    async def _log_unasked(self, asked: Sequence[tuple[str, str]]) -> None:
        """Log whose messages stay in doubt because their server or plugin is gone."""
        for server, plugin, count in await self.store.read(in_doubt.unasked, asked):
            log.warning("messages.unasked", server=server, plugin=plugin, count=count)

    async def _decided(
        self,
        doubt: Doubt,
        chains: Mapping[str, Chain],
        failures: dict[tuple[str, str], int],
        ahead: float,
    ) -> bool:
        """Look one message up, store what becomes of it and tell everybody."""
        chain = chains[doubt.server]
        group = chains[chain.server.group]
        plugin = doubt.delivery or group.deliver_plugins[0]
        lane = (group.server.name, plugin)
        message: Message | None = None
        decision = without_asking(doubt, chain.server, clock.now() + ahead)
        if decision is None:
            async with self._free:
                if failures.get(lane, 0) >= OUTAGE or self._stopped.is_set():
                    return False
                message, answer = await self._answer(doubt, group, plugin)
            if isinstance(answer, DeliveryError):
                failures[lane] = failures.get(lane, 0) + 1
                log.warning("look_up.failed", id=doubt.id, plugin=plugin, code=answer.code)
            decision = verdict(doubt, answer, chain.server, plugin, clock.now() + ahead)
        if not await self.store.write(in_doubt.decide, decision):
            return False
        self._tell(decision)
        if doubt.canary:
            return True
        if message is None and decision.state in OBSERVED:
            found = (await self.store.read(listing.loaded, [doubt.id]))[doubt.id]
            message = found if isinstance(found, Message) else None
        _observe(chain, decision, message)
        return True

    async def _answer(
        self, doubt: Doubt, group: Chain, plugin: str
    ) -> tuple[Message | None, LookUpResult]:
        found = await self.store.read(listing.documents, [doubt.id])
        return await looked_up(self._pool, group, plugin, doubt.id, found.get(doubt.id, ""))

    def _tell(self, decision: Decision) -> None:
        """Log what became of a message, and delivery that it waits."""
        doubt = decision.doubt
        event = {State.IN_DOUBT: "absent", State.SENT: "found"}
        known = {"id": doubt.id, "server": doubt.server, "looks": doubt.looks + 1}
        if decision.state in WAITING:
            log.warning("message.resent", **known, crashes=doubt.crashes, note=TWICE)
            self.revived(1)
        elif decision.state != State.IN_DOUBT or decision.absences > doubt.absences:
            write = log.info if decision.state in (State.SENT, State.IN_DOUBT) else log.warning
            write(f"message.{event.get(decision.state, decision.state)}", **known)


def _asked(chains: Mapping[str, Chain]) -> list[tuple[str, str]]:
    """Return whom messages may be looked up at: by server and plugin, or before any was chosen."""
    return [
        (name, plugin)
        for name, chain in chains.items()
        for plugin in ("", *chains[chain.server.group].deliver_plugins)
    ]


def _longest_wait(chains: Mapping[str, Chain]) -> float:
    waits = (max(*one.server.settle, *one.server.retry, 0.0) for one in chains.values())
    return MARGIN_SECONDS + retry.JITTER[1] * max(waits, default=0.0)


def _first_look(server: Server) -> float:
    return server.settle[0] if server.in_doubt == "look_up" else 0.0


def _observe(chain: Chain, decision: Decision, message: Message | None) -> None:
    words, error = decision.words, OBSERVED.get(decision.state)
    if message is not None and decision.state == State.SENT:
        receipt = Confirmation(decision.provider_id or "", words=words)
        chain.observe("sent", message=message, receipt=receipt)
    elif message is not None and error is not None:
        chain.observe(decision.state, message=message, error=error(words))
    elif decision.state != State.IN_DOUBT:  # as it was before
        resent = decision.state in WAITING
        chain.note("resent" if resent else decision.state, id=decision.doubt.id, words=words)


async def looked_up(
    pool: ThreadPoolExecutor, group: Chain, plugin: str, id: str, document: str
) -> tuple[Message | None, LookUpResult]:
    """Ask a plugin about a message, in a thread; whatever goes wrong is an outage of the search."""
    try:
        return await in_thread(pool, group.server.deadline, _ask, group, plugin, id, document)
    except DeliveryError as error:
        return None, error
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises, or its time-out
        log.error("look_up.broken", id=id, plugin=plugin, **trace(error))
        return None, DeliveryInDoubt(f"it raised {type(error).__name__}")


def _ask(chain: Chain, plugin: str, id: str, document: str) -> tuple[Message | None, LookUpResult]:
    if not chain.can_find(plugin):
        return None, None
    try:
        message = documents.load(id, document)
    except (KeyError, TypeError, ValueError):
        return None, Untraceable("the stored message cannot be read")
    if id not in message.metadata.values():
        return message, Untraceable("its metadata had no room for its id")
    answer: Any = chain.find(message, plugin)
    if answer is None or isinstance(answer, Confirmation | Absent | DeliveryError):
        return message, answer
    return message, DeliveryInDoubt("it gave no answer")
