"""What an installation tells Prometheus: every metric in one table, and what counts.

To count takes a microsecond, on whatever thread. The gauges are read when somebody asks, in
`relay/operators/measurements.py`. Labels have values of closed sets alone: servers and plugins of
the settings, states and reasons of the code. Nothing that came from outside is one.
"""

import asyncio
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import accumulate
from math import inf
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from relay.core.errors import REASONS
from relay.core.states import State

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# What chains tell of messages, by a hook's name or a state, and that is counted; `queued` and
# `cancelled` are what people order.
CHANGES = frozenset(
    {
        *("accepted", "deferred", "resent", "bounced", State.QUEUED, State.CANCELLED),
        *(State.SENT, State.FAILED, State.EXPIRED, State.QUARANTINED),
        *(State.SUPPRESSED, State.HELD, State.IN_DOUBT),
    }
)
# The reason of a refusal that has none of its own, and that of what is answered 500.
OTHER, BROKEN = "other", "broken"

# How often it is measured how late the event loop is.
LAG_SECONDS = 0.5


class Declared(NamedTuple):
    """A metric: its name and kind, what it says, its labels, and a histogram's bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    says: str
    labels: Sequence[str] = ()
    bounds: Sequence[float] = ()


class Metric(Enum):
    """Every metric. Gauges are of the moment at which they are asked for."""

    __hash__ = object.__hash__  # Enum's own takes as long as the counting

    SUBMISSIONS = Declared(
        "relay_submissions_total",
        "counter",
        "Forms and API messages that came, by what they were answered: accepted, repeated, "
        "screened, refused, broken. Those that name no server of the settings have none.",
        ("server", "result"),
    )
    REFUSALS = Declared(
        "relay_refusals_total",
        "counter",
        "Requests refused, on all listeners, by the reason in their log line; `broken` was "
        "answered 500.",
        ("reason",),
    )
    MESSAGES = Declared(
        "relay_messages_total",
        "counter",
        "What happened to messages: accepted, sent, deferred, failed, expired, suppressed, "
        "quarantined, held, in_doubt, resent, bounced; by a person: queued, sent, cancelled.",
        ("server", "change"),
    )
    ATTEMPTS = Declared(
        "relay_attempts_total",
        "counter",
        "Attempts to send a message, by the plugin and what came of them.",
        ("plugin", "outcome"),
    )
    ATTEMPT_SECONDS = Declared(
        "relay_attempt_seconds",
        "histogram",
        "How long attempts took, calls to the provider included.",
        ("plugin",),
        SLOW,
    )
    ACCEPT_SECONDS = Declared(
        "relay_accept_seconds",
        "histogram",
        "From a body that is read to its message on the disk.",
        bounds=QUICK,
    )
    COMMIT_SECONDS = Declared(
        "relay_commit_seconds", "histogram", "How long transactions took.", bounds=QUICK
    )
    COMMIT_UNITS = Declared(
        "relay_commit_units", "histogram", "Units of work in one transaction.", bounds=SIZES
    )
    LOOP_LAG = Declared(
        "relay_loop_lag_seconds",
        "histogram",
        "How late the event loop was, measured twice a second.",
        bounds=QUICK,
    )
    WAITING = Declared(
        "relay_waiting",
        "gauge",
        "Messages of all daemons that are queued, scheduled, sending, in_doubt or held; 10000 "
        "stands for that many and more.",
        ("server", "state"),
    )
    OLDEST = Declared(
        "relay_oldest_waiting_seconds",
        "gauge",
        "For how long the oldest message waits that should have been sent by now.",
        ("server",),
    )
    BREAKERS = Declared(
        "relay_breaker_open",
        "gauge",
        "1 while a plugin of a group is not called because its provider fails.",
        ("group", "plugin"),
    )
    SUPPRESSIONS = Declared(
        "relay_suppressions",
        "gauge",
        "Addresses that get no mail of a group, by why.",
        ("group", "reason"),
    )
    CANARY_OK = Declared(
        "relay_canary_ok",
        "gauge",
        "1 while the canaries of a server arrive, 0 while they are missing.",
        ("server",),
    )
    CANARY_AGE = Declared(
        "relay_canary_age_seconds",
        "gauge",
        "How long ago the last canary of a server arrived.",
        ("server",),
    )
    DISK_FREE = Declared("relay_disk_free_bytes", "gauge", "Free room of the disk of `data`.")
    DISK_ROOM = Declared(
        "relay_disk_room",
        "gauge",
        "The same as a multiple of the least that there must be, also of files: below 1 nothing "
        "is taken.",
    )
    READY = Declared("relay_ready", "gauge", "1 while mail is taken, as /readyz says it.")
    UNREADY = Declared("relay_unready", "gauge", "1 for each reason not to be ready.", ("reason",))
    BUILD = Declared(
        "relay_build_info",
        "gauge",
        "1; the labels say what runs here.",
        ("version", "engine", "schema"),
    )


class _Observed:
    """The values that a histogram took under some labels: how many in each bucket, and their sum.

    The last bucket is that of what is above all bounds.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0


class Metrics(Collector):
    """What one installation counted since it was opened. `registry` has it for whoever asks.

    To count is one call, where the client's own counters take five and histograms four.
    """

    hears = CHANGES | {"attempted", "ordered"}

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Metric, dict[tuple[str, ...], int]] = {}
        self._observed: dict[Metric, dict[tuple[str, ...], _Observed]] = {}
        for metric in Metric:
            _, kind, _, labels, bounds = metric.value
            if kind == "counter":
                self._counts[metric] = {}
            elif kind == "histogram":
                self._observed[metric] = {} if labels else {(): _Observed(bounds)}
        for reason in (*sorted(REASONS), OTHER, BROKEN):  # so that the first one is a rise
            self.count(Metric.REFUSALS, reason, number=0)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def count(self, metric: Metric, *labels: str, number: int = 1) -> None:
        """Count that something happened, once or several times."""
        counts = self._counts[metric]
        with self._lock:
            counts[labels] = counts.get(labels, 0) + number

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Take a value into a histogram."""
        with self._lock:
            observed = self._observed[metric].get(labels)
            if observed is None:
                observed = self._observed[metric][labels] = _Observed(metric.value.bounds)
            observed.counts[bisect_left(observed.bounds, value)] += 1
            observed.sum += value

    def collect(self) -> Iterator[Family]:
        """Return what was counted, family by family."""
        with self._lock:
            counted = {metric: dict(counts) for metric, counts in self._counts.items()}
            observed = {
                metric: {labels: (list(one.counts), one.sum) for labels, one in series.items()}
                for metric, series in self._observed.items()
            }
        for metric in Metric:
            name, _, says, names, bounds = metric.value
            if metric in counted:
                counter = CounterMetricFamily(name, says, labels=names)
                for labels, number in counted[metric].items():
                    counter.add_metric(labels, number)
                yield counter
            elif metric in observed:
                histogram = HistogramMetricFamily(name, says, labels=names)
                for labels, (counts, total) in observed[metric].items():
                    buckets = zip(
                        map(floatToGoString, (*bounds, inf)), accumulate(counts), strict=True
                    )
                    histogram.add_metric(labels, list(buckets), total)
                yield histogram

    def saw(self, server: str, what: str, about: Mapping[str, Any]) -> None:
        """Count what a chain observed, by a hook's name or by a state."""
        if what == "ordered":
            what = about["state"]
        if what in CHANGES:
            self.count(Metric.MESSAGES, server, str(what))
        elif what == "attempted":
            self.count(Metric.ATTEMPTS, about["plugin"], str(about["outcome"]))
            self.observe(Metric.ATTEMPT_SECONDS, max(about["seconds"], 0.0), about["plugin"])

    def refused(self, error: BaseException, status: int) -> None:
        """Count a refusal of whatever request, by the reason that its log line has."""
        reason = getattr(error, "reason", OTHER)
        known = reason if reason in REASONS else OTHER
        self.count(Metric.REFUSALS, BROKEN if status == 500 else known)

    def committed(self, units: int, seconds: float) -> None:
        """Count a transaction: so many units of work, in one commit."""
        self.observe(Metric.COMMIT_UNITS, units)
        self.observe(Metric.COMMIT_SECONDS, seconds)

    async def measure_loop(self) -> None:
        """Measure once how late the event loop is, in half a second."""
        began = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        late = time.perf_counter() - began - LAG_SECONDS
        self.observe(Metric.LOOP_LAG, max(late, 0.0))

    async def watch_loop(self) -> None:
        """Measure it for ever."""
        while True:
            await self.measure_loop()
