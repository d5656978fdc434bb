"""Calls webhooks: what was announced becomes calls, each made until it is taken or too old.

The daemon that leads does it. Every target has threads and a pace of its own: one that hangs or
fails delays no other.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from relay.config.webhooks import Target, Webhook
from relay.core import clock
from relay.core.errors import Unavailable
from relay.core.logs import trace
from relay.delivery.retry import next_attempt, too_old
from relay.delivery.worker_threads import in_thread
from relay.notifications.webhooks import calling
from relay.notifications.webhooks.bodies import calls_of
from relay.notifications.webhooks.calling import CALL_SECONDS, Answer
from relay.store import webhooks as stored
from relay.store.engine.database import Store
from relay.store.webhooks import MAX_AGE_SECONDS, Call, Outcome, Outcomes

# How often the endless loop looks, and how many events it makes calls of at once.
LOOK_SECONDS = 1.0
PAGE = 500
# Seconds between the tries of a call; the last step holds for all later ones.
LADDER = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)
# How many calls to one target are made at a time, and noted together.
THREADS = 4
ROUND = 64
# A target where all calls fail is left alone: for so long at first, twice as long each time.
REST_SECONDS = 5.0
MOST_REST_SECONDS = 60.0

# Mail goes first: a thread rests for so many times as long as a call kept a processor busy, so that
# all calls together take a fifth of one.
REST_AFTER_CALL = 5.0 * THREADS

log = structlog.get_logger()


@dataclass(slots=True)
class _Pace:
    """How a target is called: `failures` rounds in a row brought nothing but failures."""

    threads: ThreadPoolExecutor
    failures: int = 0
    rests_until: float = 0.0
    round: asyncio.Task[None] | None = None


@dataclass(eq=False, repr=False)
class WebhookSender:
    """Makes the calls of one installation.

    `look` is one pass, `run` the endless loop around it; nothing starts before one of them is
    called. webhooks, targets: as the settings have them now. metadata_key: the name under which
    messages carry their own id, which nobody submitted.
    """

    store: Store
    webhooks: Callable[[], Mapping[str, Webhook]]
    targets: Callable[[], Mapping[str, Target]]
    is_leader: Callable[[], bool]
    metadata_key: str
    _paces: dict[str, _Pace] = field(default_factory=dict, init=False)
    _is_stopping: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Make calls for ever."""
        while True:
            try:
                if self.is_leader() and self.targets():
                    await self._start()
            except Unavailable:
                pass  # the store has logged it
            except Exception as error:  # noqa: BLE001 - the loop outlives a store that fails
                log.error("webhooks.uncalled", **trace(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float | None = None) -> None:
        """Make calls of what was announced, and all that are due at `now`."""
        rounds = await self._start(now)
        await asyncio.gather(*rounds)

    async def stop(self) -> None:
        """Wait for the calls that are under way, so that they need not be repeated."""
        self._is_stopping = True
        rounds = [one.round for one in self._paces.values() if one.round is not None]
        if rounds:
            await asyncio.wait(rounds, timeout=CALL_SECONDS)
        for pace in self._paces.values():
            pace.threads.shutdown(wait=False, cancel_futures=True)

    async def _start(self, now: float | None = None) -> list[asyncio.Task[None]]:
        """Make calls of what was announced; begin to make those that are due."""
        at = clock.now() if now is None else now
        await self._make_calls(at)
        states = await self.store.read(stored.targets)
        rounds = []
        for name, target in self.targets().items():
            pace = self._paces.setdefault(name, _Pace(ThreadPoolExecutor(THREADS, f"to {name}")))
            is_off = name in states and states[name].off_since is not None
            is_busy = pace.round is not None and not pace.round.done()
            if not is_off and not is_busy and pace.rests_until <= at:
                pace.round = asyncio.create_task(self._call_all(target, pace, now))
                rounds.append(pace.round)
        return rounds

    async def _make_calls(self, now: float) -> None:
        """Make calls of what was announced, page by page; the next look makes those of the rest."""
        is_full = True
        while is_full and (events := await self.store.read(stored.announced, PAGE)):
            webhooks = self.webhooks()
            made = {one.id: calls_of(one, webhooks, self.metadata_key, now) for one in events}
            await self.store.write(stored.make, made)
            is_full = len(events) == PAGE

    async def _call_all(self, target: Target, pace: _Pace, now: float | None) -> None:
        """Make a target's calls that are due, until there are none or they fail."""
        try:
            at = clock.now() if now is None else now
            limit = 1 if pace.failures else ROUND
            while calls := await self.store.read(stored.due, target.name, at, limit):
                goes_on = await self._call_some(target, pace, calls, at)
                if not goes_on or len(calls) < limit or self._is_stopping:
                    break
                at = clock.now() if now is None else now
                limit = ROUND
        except Unavailable:
            pass  # the store has logged it; what was called is called again
        except Exception as error:  # noqa: BLE001 - the other targets are called all the same
            log.error("webhooks.uncalled", target=target.name, **trace(error))

    async def _call_some(
        self, target: Target, pace: _Pace, calls: Sequence[Call], at: float
    ) -> bool:
        """Make calls, unless the first ones fail; return whether to go on with the next ones."""
        said = await self._said(target, pace, calls)
        outcomes = [_outcome(call, answer, at) for call, answer in said]
        gone = any(answer.gone for _, answer in said)
        goes_off = await self.store.write(stored.settle, Outcomes(target.name, outcomes, gone))
        for (call, _), outcome in zip(said, outcomes, strict=True):
            _log(call, outcome)
        if goes_off:
            log.error("webhook.off", target=target.name, host=target.host)
        if any(answer.taken for _, answer in said):
            pace.failures = 0
            return not goes_off
        pace.failures += 1
        rest = REST_SECONDS * 2 ** (min(pace.failures, 10) - 1)
        pace.rests_until = at + min(rest, MOST_REST_SECONDS)
        return False

    async def _said(
        self, target: Target, pace: _Pace, calls: Sequence[Call]
    ) -> list[tuple[Call, Answer]]:
        """Make calls, some at a time; return what was answered to those that were made."""
        said: list[tuple[Call, Answer]] = []
        each = iter(calls)

        async def work() -> None:
            for call in each:
                said.append((call, await self._call(call, target, pace)))
                if len(said) >= THREADS and not any(answer.taken for _, answer in said):
                    return

        await asyncio.gather(*(work() for _ in range(THREADS)))
        return said

    async def _call(self, call: Call, target: Target, pace: _Pace) -> Answer:
        try:
            rest = REST_AFTER_CALL * len(self.targets())
            return await in_thread(pace.threads, CALL_SECONDS, _calm, rest, call, target)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call is made again
            log.error("webhooks.uncalled", target=target.name, **trace(error))
            return Answer(False, f"not called: {type(error).__name__}")


def _calm(rest: float, call: Call, target: Target) -> Answer:
    """Make a call, then rest for so many times as long as it was work."""
    began = time.thread_time()
    answer = calling.make(call, target)
    time.sleep(rest * (time.thread_time() - began))
    return answer


def _outcome(call: Call, said: Answer, at: float) -> Outcome:
    if said.taken:
        return Outcome(call.id, call.since, at, said.words, taken=True)
    if too_old(at, call.since, MAX_AGE_SECONDS):
        return Outcome(call.id, call.since, at, said.words, taken=False)
    jitter = random.random()  # noqa: S311 - spreads calls, guards nothing
    due_at = next_attempt(at, call.tries + 1, LADDER, jitter, said.retry_after)
    return Outcome(call.id, call.since, at, said.words, taken=False, due_at=due_at)


def _log(call: Call, outcome: Outcome) -> None:
    known = {"id": call.id, "target": call.target, "type": call.kind, "answer": outcome.answer}
    if outcome.taken:
        log.info("webhook.taken", **known)
    elif outcome.due_at is None:
        log.error("webhook.expired", **known)
    else:
        log.warning("webhook.failed", **known, tries=call.tries + 1)
