"""The loop around delivery: claim what is due, start its attempts, look again when more is due."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context

import structlog

from relay.core import clock
from relay.core.errors import Unavailable
from relay.core.logs import trace
from relay.core.message import Message
from relay.core.states import WAITING, State
from relay.delivery import retry
from relay.delivery.attempts import Attempts
from relay.delivery.fair_queue import FairQueue
from relay.delivery.lanes import Lanes, Outage
from relay.delivery.suppression_filter import SuppressionFilter
from relay.delivery.waiters import Outcome, Waiters
from relay.hooks.chain import Chain
from relay.store.cluster.membership import Membership
from relay.store.engine.database import Store
from relay.store.outbox import claims
from relay.store.outbox.batching import Call
from relay.store.outbox.claims import PullBack
from relay.store.queries import listing
from relay.store.suppressions import Suppressions

# How often the outbox is looked at when nothing is known to be due, and how often at most.
LOOK_SECONDS = 30.0
PAUSE_SECONDS = 1.0
# A claim is put off by this at most.
LONGEST_PACE = 0.02
# A clock that moved by more than this against the monotonic one was set.
CLOCK_SET_SECONDS = 60.0
# A retry is never further ahead than this, or the ladder's longest step.
LONGEST_WAIT = 4 * 3600.0

log = structlog.get_logger()


class Dispatcher:
    """Delivers the outbox of one installation, with `senders` calls at a time.

    `deliver_waiting` is one pass, `run` the endless loop around it; `stored` makes a pass of its
    own. Nothing starts before one of them is called.

    chains, paused: give what holds now, which is asked when `wake` or a pass is called; attempts
    that run keep the chains that they began with. Mail of paused servers waits, as if they were not
    enabled.
    """

    def __init__(
        self,
        store: Store,
        chains: Callable[[], Mapping[str, Chain]],
        paused: Callable[[], Collection[str]],
        suppressions: Suppressions,
        membership: Membership,
        senders: int = 16,
    ) -> None:
        self.waiters = Waiters()
        self._waiting = _waiting(store.read_now(listing.count_unsent))
        self._counted_at = time.monotonic()
        self._store = store
        self._senders = senders
        self._lanes = Lanes(chains, paused, senders)
        self._fair_queue = FairQueue(self._lanes)
        suppression_filter = SuppressionFilter(suppressions)
        self._attempts = Attempts(
            store,
            self.waiters,
            senders,
            self._lanes.heard,
            suppression_filter,
            membership.may_send,
        )
        self._membership = membership
        self._running: set[asyncio.Task[int]] = set()
        self._call_seconds = 0.0  # what a call takes, on average
        # Groups and plugins by which a message was deferred and none sent since.
        self._failing: set[tuple[str, str]] = set()
        self._clock_ahead: float | None = None  # of the monotonic one, when last looked at
        self._pump: asyncio.Task[None] | None = None
        self._again = False
        self._stopping = False
        self._alarm = asyncio.Event()
        self._chains = chains

    @property
    def waiting(self) -> int:
        """How many messages are stored and neither settled nor in doubt."""
        return self._waiting

    def keep(self, message: Message, server: str) -> None:
        """Keep a message that is about to be stored, so that its attempt need not read it."""
        if self._lanes.open(server) is not None:
            self._attempts.message_cache.keep(message)

    def drop(self, ids: Iterable[str]) -> None:
        """Drop messages that were kept and are not stored, or not to be sent."""
        self._attempts.message_cache.drop(ids)

    def stored(self, count: int, server: str) -> None:
        """Take note that so many messages of a server wait, and deliver them."""
        self._waiting += count
        self._fair_queue.mark((server,))
        self._claim_soon()

    def revived(self, count: int) -> None:
        """Take note that so many messages wait again, of whatever servers, and deliver them."""
        self._waiting += count
        self.wake()

    def settled(self, count: int) -> None:
        """Take note that so many messages wait no more, though no attempt on them ended."""
        self._waiting -= count

    def wake(self) -> None:
        """Look for mail of every server, by the chains and pauses as they are now, soon.

        Several calls before that are one.
        """
        self._fair_queue.mark(self._lanes.servers)
        self._claim_soon()

    async def look_again(self) -> None:
        """Look for mail that was not stored by this daemon, and count what waits."""
        await self._recount()
        self.wake()

    def is_healthy(self, server: str) -> bool:
        """Whether a message of this server stored now would most likely be sent at once."""
        plugin = self._lanes.open(server)
        if plugin is None:
            return False
        return (self._chains()[server].server.group, plugin) not in self._failing

    def can_deliver(self, server: str) -> bool:
        """Whether mail of this server is attempted at once: it may be, and a way is open."""
        return self._lanes.open(server) is not None

    def outages(self) -> Sequence[Outage]:
        """Return the providers that fail."""
        return self._lanes.outages()

    def breakers(self) -> Mapping[tuple[str, str], bool]:
        """Return whether each provider fails, by group and plugin."""
        return self._lanes.breakers()

    def down(self) -> dict[tuple[str, str], Sequence[str]]:
        """Return the servers whose providers fail, by group and plugin."""
        return {(one.group, one.plugin): one.servers for one in self._lanes.outages()}

    async def deliver_waiting(self, now: float | None = None) -> int:
        """Attempt everything that is due at `now`, once; return the number of attempts.

        Outcomes count from `now` too, so that a test can live through days in an instant.
        """
        now = clock.now() if now is None else now
        count = 0
        self._fair_queue.mark(self._lanes.servers)
        while started := await self._claim(now):
            count += sum(await asyncio.gather(*started))
            self._fair_queue.mark(self._lanes.servers)
        return count

    async def run(self) -> None:
        """Deliver for ever: at once what is due, later what becomes due."""
        while not self._stopping:
            self._alarm.clear()
            started = time.monotonic()
            try:
                due = await self.look()
            except Unavailable:  # which the store has logged
                due = clock.now()
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("outbox.unreadable", **trace(error))
                due = None
            delay = LOOK_SECONDS if due is None else min(due - clock.now(), LOOK_SECONDS)
            try:
                await asyncio.wait_for(self._alarm.wait(), max(delay, PAUSE_SECONDS))
            except TimeoutError:
                continue
            await asyncio.sleep(started + PAUSE_SECONDS - time.monotonic())

    async def look(self, now: float | None = None) -> float | None:
        """Find out what is due and begin to deliver it; return the time of the next thing to do."""
        now = clock.now() if now is None else now
        await self._follow_clock(now)
        if self._store.shared and time.monotonic() - self._counted_at >= LOOK_SECONDS:
            await self._recount()
        servers, first_only = list(self._lanes.servers), self._lanes.first_only
        dues = await self._store.read(claims.next_due, servers, first_only)
        self._fair_queue.mark(server for server, due in dues.items() if due <= now)
        self._claim_soon()
        times = [*dues.values(), *self._lanes.probes()]
        return min((moment for moment in times if moment > now), default=None)

    async def stop(self, seconds: float) -> bool:
        """Claim nothing more and wait for the attempts that run; return whether all ended."""
        self._stopping = True
        self._alarm.set()
        if self._pump is not None:
            await asyncio.wait({self._pump})
        pending = self._running
        if pending:
            _, pending = await asyncio.wait(pending, timeout=seconds)
        self._attempts.stop()
        return not pending

    async def _recount(self) -> None:
        """Count what waits: other daemons store and deliver, too."""
        self._waiting = _waiting(await self._store.read(listing.count_unsent))
        self._counted_at = time.monotonic()

    async def _follow_clock(self, now: float) -> None:
        """Where the machine's clock was set, and at first, bring back what waits for too long.

        One daemon does it for all, by the clock that they share.
        """
        ahead = now - time.monotonic()
        if not self._membership.is_leader:
            return
        if self._clock_ahead is not None and abs(ahead - self._clock_ahead) < CLOCK_SET_SECONDS:
            return
        orders = [
            PullBack(name, now, max(LONGEST_WAIT, *chain.server.retry) * retry.JITTER[1])
            for name, chain in self._chains().items()
        ]
        counts = await asyncio.gather(*(self._store.write(claims.pull_back, one) for one in orders))
        self._clock_ahead = ahead
        if sum(counts):
            log.warning("messages.brought_back", count=sum(counts))

    def _claim_soon(self) -> None:
        self._again = True
        if self._pump is None and not self._stopping:
            # In no request's context: its lines are about everybody's messages.
            self._pump = asyncio.create_task(self._claim_waiting(), context=Context())

    async def _claim_waiting(self) -> None:
        try:
            while self._again and not self._stopping:
                await self._pace()
                self._again = False
                if await self._claim(clock.now()):
                    self._again = bool(self._fair_queue)
        except Unavailable:  # which the store has logged
            self._alarm.set()
        except Exception as error:  # noqa: BLE001 - run() looks again, soon
            log.error("outbox.unclaimable", **trace(error))
            self._alarm.set()
        finally:
            self._pump = None

    async def _pace(self) -> None:
        """Where half of the senders are busy, spread the calls over the time that one takes.

        Started at once, all would end together, and what comes meanwhile would wait for that.
        """
        if 2 * len(self._running) >= self._senders:
            await asyncio.sleep(min(self._call_seconds / self._senders, LONGEST_PACE))

    async def _claim(self, now: float) -> set[asyncio.Task[int]]:
        """Claim as much as there are free senders, and start the attempts."""
        while (
            not self._stopping and (order := self._fair_queue.order(now, self._senders)) is not None
        ):
            marks = self._fair_queue.marks(order)
            chains = self._chains()  # the same for claim and attempt, whatever is read meanwhile
            claimed = await self._store.write(claims.claim, order)
            done = self._fair_queue.claimed(claimed, marks)
            if done or not claimed.calls:
                self._alarm.set()  # something may be due later: nobody has looked past this
            if claimed.calls:
                ahead = now - clock.now()
                return {self._start(call, chains, ahead) for call in claimed.calls}
            if not done:
                break
        return set()

    def _start(self, call: Call, chains: Mapping[str, Chain], ahead: float) -> asyncio.Task[int]:
        self._fair_queue.started(call)
        self._lanes.started(call.lane, clock.now() + ahead)
        task = asyncio.create_task(self._attempt(call, chains, ahead))
        self._running.add(task)
        task.add_done_callback(lambda task: self._ended(call, task))
        return task

    async def _attempt(self, call: Call, chains: Mapping[str, Chain], ahead: float) -> int:
        started = time.monotonic()
        try:
            settlements = await self._attempts.make(call, chains, ahead)
        except Exception:
            for one in call.messages:
                self.waiters.tell(one.id, Outcome(State.QUEUED))
            raise
        self._call_seconds += (time.monotonic() - started - self._call_seconds) / 8
        for settlement in settlements:
            way = chains[settlement.claimed.server].server.group, settlement.delivery
            if settlement.state == State.QUEUED:
                self._failing.add(way)
                self._alarm.set()
            else:
                self._waiting -= 1
            if settlement.state == State.SENT:
                self._failing.discard(way)
        return len(call.messages)

    def _ended(self, call: Call, task: asyncio.Task[int]) -> None:
        self._running.discard(task)
        self._fair_queue.ended(call)
        self._lanes.ended(call.lane)
        if not task.cancelled() and (error := task.exception()):
            log.error("attempt.broken", **trace(error))
        if self._fair_queue:
            self._claim_soon()


def _waiting(unsent: Mapping[str, int]) -> int:
    return sum(unsent.get(state, 0) for state in WAITING)
