"""What an installation measures of itself at a moment, for Prometheus, beside what it counted.

The store is read once in some seconds, and only what is counted within bounds; all that takes time
is done in threads.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

from prometheus_client import Metric as Family
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from relay import __version__
from relay.core import clock
from relay.core.errors import Unavailable
from relay.core.metrics import Metric, Metrics
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.store import canaries, installation, suppressions
from relay.store.canaries import Canary
from relay.store.engine.database import Connection, Store
from relay.store.engine.disk_space import Space
from relay.store.queries import statistics

# For how long what the store said is told again; and for how many times as long as it took to say.
READ_SECONDS = 5.0
SPARED = 20

# After so many samples the text is written on a moment later.
TURN = 20
PAUSE_SECONDS = 0.0001

T = TypeVar("T")
# Labels, and the value that they have.
Samples = Iterable[tuple[Sequence[str], float]]


class Reading(NamedTuple):
    """What the store says of the servers."""

    waiting: Mapping[str, Mapping[str, int]]
    oldest: Mapping[str, float]
    suppressed: Mapping[tuple[str, str], int]
    schema: str
    canaries: Mapping[str, Canary]


@dataclass(eq=False, repr=False)
class Measurements:
    """Reads the gauges and writes all metrics as Prometheus reads them.

    chains: every server's as it is now.
    """

    store: Store
    dispatcher: Dispatcher
    space: Space
    metrics: Metrics
    chains: Callable[[], Mapping[str, Chain]]

    def __post_init__(self) -> None:
        self._asking = asyncio.Lock()
        self._reading: Reading | None = None
        self._read_again_at = float("-inf")

    async def text(self, unready: Sequence[str]) -> bytes:
        """Return all metrics; unready: the reasons for which no mail is taken."""
        async with self._asking:  # one at a time, however many ask
            await self._read()
            gauges = dict(self._gauges(unready))
            whole = _Whole(self.metrics.registry, gauges)
            return await asyncio.to_thread(generate_latest, whole)

    async def _read(self) -> None:
        """Read the store, unless that was a moment ago; what cannot be read is not told."""
        began = time.monotonic()
        if began < self._read_again_at:
            return
        try:
            self._reading = await self.store.read(read, list(self.chains()), clock.now())
        except Unavailable:  # which the store has logged
            self._reading = None
            return
        took = time.monotonic() - began
        self._read_again_at = began + max(READ_SECONDS, took * SPARED)

    def _gauges(self, unready: Sequence[str]) -> Iterator[tuple[Metric, Samples]]:
        """Return what is measured now, by what memory says and the store said."""
        open_now = self.dispatcher.breakers().items()
        yield Metric.BREAKERS, [(way, float(is_open)) for way, is_open in open_now]
        yield Metric.DISK_FREE, [((), self.space.free_bytes)]
        yield Metric.DISK_ROOM, [((), self.space.left)]
        yield Metric.READY, [((), float(not unready))]
        yield Metric.UNREADY, [((reason,), 1.0) for reason in unready]
        reading = self._reading
        engine = "postgresql" if self.store.shared else "sqlite"
        yield Metric.BUILD, [((__version__, engine, reading.schema if reading else ""), 1.0)]
        if reading is None:
            return
        servers, now = self.chains(), clock.now()
        groups = {one.server.group for one in servers.values()}
        yield (
            Metric.WAITING,
            [
                ((name, str(state)), count)
                for name, counts in reading.waiting.items()
                for state, count in counts.items()
                if name in servers
            ],
        )
        flown = [(name, one) for name, one in reading.canaries.items() if name in servers]
        judged = [one for one in flown if one[1].missing_since or one[1].arrived_at]
        yield Metric.CANARY_OK, [((name,), float(not one.missing_since)) for name, one in judged]
        yield (
            Metric.CANARY_AGE,
            [((name,), now - one.arrived_at) for name, one in flown if one.arrived_at is not None],
        )
        yield Metric.OLDEST, [((name,), now - since) for name, since in reading.oldest.items()]
        yield (
            Metric.SUPPRESSIONS,
            [(way, count) for way, count in reading.suppressed.items() if way[0] in groups],
        )


def read(connection: Connection, servers: Sequence[str], now: float) -> Reading:
    """Read what is counted of servers."""
    return Reading(
        statistics.waiting(connection, servers),
        statistics.oldest_waiting(connection, servers, now),
        suppressions.counted(connection, now),
        installation.schema(connection),
        canaries.read(connection),
    )


@dataclass(frozen=True, slots=True)
class _Whole(Collector):
    """What was counted and what is measured, family by family."""

    counted: Collector
    gauges: Mapping[Metric, Samples]

    def collect(self) -> Iterator[Family]:
        for family in chain(self.counted.collect(), self._measured()):
            family.samples = _in_turns(family.samples)  # type: ignore[assignment]
            yield family

    def _measured(self) -> Iterator[Family]:
        for metric, samples in self.gauges.items():
            name, _, says, names, _ = metric.value
            family = GaugeMetricFamily(name, says, labels=names)
            for labels, value in samples:
                family.add_metric(labels, value)
            yield family


def _in_turns(samples: Iterable[T]) -> Iterator[T]:
    """Let the event loop have its turn after every few of them: it waits for other threads."""
    for number, sample in enumerate(samples):
        if not number % TURN:
            time.sleep(PAUSE_SECONDS)
        yield sample
