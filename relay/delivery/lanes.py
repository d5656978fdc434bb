"""Lanes: which plugin and account a server's mail goes through now, as their breakers allow."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt
from relay.core.message import Confirmation
from relay.core.secret import digest
from relay.delivery.breaker import Breaker
from relay.delivery.outcomes import DeliverResult
from relay.hooks.chain import Chain
from relay.store.outbox.batching import Lane

# Beyond its deadline an attempt has this long to be settled, then it is in doubt.
LEASE_SECONDS = 120.0

log = structlog.get_logger()


class Outage(NamedTuple):
    """A provider that fails: whose mail that concerns, since when, in which last words of its own.

    next_probe: when it is asked again; None while it is asked.
    """

    group: str
    plugin: str
    servers: Sequence[str]
    since: float
    words: str
    next_probe: float | None


class _Way(NamedTuple):
    """A delivery plugin of a group, and the outlet that it shares with others of its account."""

    group: str
    plugin: str
    outlet: str
    max_batch: int
    lease: float


class _Table(NamedTuple):
    """Every server's ways, by the chains and pauses that they were drawn up from."""

    chains: Mapping[str, Chain]
    paused: Collection[str]
    ways: Mapping[str, Sequence[_Way]]
    first_only: Collection[str]
    outlets: Collection[str]


@dataclass(eq=False, repr=False)
class Lanes:
    """Every server's ways to a provider, the first one first, and a breaker for each outlet.

    An outlet is a plugin with the provider's account, or with the group where it has none. chains,
    paused: give what holds when `servers` is asked for; another value, and no change of one, is a
    new configuration.
    """

    chains: Callable[[], Mapping[str, Chain]]
    paused: Callable[[], Collection[str]]
    senders: int

    def __post_init__(self) -> None:
        self._table = _Table({}, frozenset(), {}, frozenset(), frozenset())
        self._breakers: dict[str, Breaker] = {}
        # Of outlets whose breaker is open: since when, and the last words.
        self._faults: dict[str, tuple[float, str]] = {}
        self._running: Counter[str] = Counter()
        self._follow()

    @property
    def servers(self) -> Collection[str]:
        """Those whose mail may be sent, by the chains and pauses as they are now."""
        self._follow()
        return self._table.ways.keys()

    @property
    def first_only(self) -> Collection[str]:
        """Those of them whose retries wait."""
        return self._table.first_only

    def _follow(self) -> None:
        """Go by what holds now; an outlet that stays keeps its breaker."""
        chains, paused = self.chains(), self.paused()
        if chains is self._table.chains and paused is self._table.paused:
            return
        self._table = _table(chains, paused)
        self._breakers = {
            outlet: self._breakers.get(outlet) or Breaker(self.senders)
            for outlet in self._table.outlets
        }

    def at(self, server: str, now: float) -> list[Lane]:
        """Return the lanes that a server's mail may take now, the preferred one first.

        The first way whose breaker is closed, and before it every one that may be probed. None:
        its mail has to wait.
        """
        lanes = []
        for way in self._table.ways.get(server, ()):
            breaker = self._breakers[way.outlet]
            calls = breaker.allowed(now, self._running[way.outlet])
            batch = 1 if breaker.is_open else way.max_batch
            if calls:
                lanes.append(Lane(way.group, way.plugin, way.outlet, batch, calls, way.lease))
            if not breaker.is_open:
                break
        return lanes

    def open(self, server: str) -> str | None:
        """Name the plugin by which a server's mail would be sent at once; None if by none."""
        for way in self._table.ways.get(server, ()):
            if not self._breakers[way.outlet].is_open:
                return way.plugin
        return None

    def outages(self) -> list[Outage]:
        """Return the providers that fail, by group and plugin, with the servers that use them."""
        found: dict[tuple[str, str], Outage] = {}
        for server, ways in self._table.ways.items():
            for way in ways:
                breaker = self._breakers[way.outlet]
                if not breaker.is_open:
                    continue
                known = found.get((way.group, way.plugin))
                servers = [*known.servers, server] if known else [server]
                since, words = self._faults[way.outlet]
                found[way.group, way.plugin] = Outage(
                    way.group, way.plugin, servers, since, words, breaker.next_probe
                )
        return list(found.values())

    def breakers(self) -> dict[tuple[str, str], bool]:
        """Return whether the breaker is open of each way of mail that may be sent."""
        return {
            (way.group, way.plugin): self._breakers[way.outlet].is_open
            for ways in self._table.ways.values()
            for way in ways
        }

    def probes(self) -> list[float]:
        """Return the times at which outlets may be probed that are closed to other mail."""
        probes = (breaker.next_probe for breaker in self._breakers.values())
        return [probe for probe in probes if probe is not None]

    def started(self, lane: Lane, now: float) -> None:
        """Take note of a call that starts."""
        self._running[lane.outlet] += 1
        if breaker := self._breakers.get(lane.outlet):
            breaker.started(now)

    def ended(self, lane: Lane) -> None:
        """Take note that a call ended, however it did."""
        self._running[lane.outlet] -= 1
        if not self._running[lane.outlet]:
            del self._running[lane.outlet]

    def heard(self, lane: Lane, results: Sequence[DeliverResult], now: float) -> None:
        """Take note of what a provider answered."""
        breaker = self._breakers.get(lane.outlet)
        if breaker is None:
            return
        was_open = breaker.is_open
        faults = _faults(results)
        if faults:
            asked = [one.retry_after for one in faults if isinstance(one, DeliveryDeferred)]
            retry_after = max((one for one in asked if one is not None), default=None)
            breaker.failed(now, at_once=any(map(_is_ours, faults)), retry_after=retry_after)
        else:
            breaker.succeeded(now)
        if breaker.is_open and faults:
            since = self._faults[lane.outlet][0] if was_open else now
            self._faults[lane.outlet] = since, str(faults[-1])
        if breaker.is_open != was_open:
            write = log.error if breaker.is_open else log.info
            event = "breaker.opened" if breaker.is_open else "breaker.closed"
            codes = {"code": faults[0].code} if faults else {}
            write(event, plugin=lane.plugin, group=lane.group, **codes)


def _table(chains: Mapping[str, Chain], paused: Collection[str]) -> _Table:
    enabled = {name for name, chain in chains.items() if chain.server.enabled} - set(paused)
    groups = {chain.server.group: chains[chain.server.group] for chain in chains.values()}
    ways = {name: list(_ways(chain, groups)) for name, chain in groups.items()}
    # Mail of a server is sent where it and its group are enabled, and by the group.
    open_ways = {
        name: ways[chain.server.group]
        for name, chain in chains.items()
        if {name, chain.server.group} <= enabled
    }
    first_only = {name for name in open_ways if not _retries(name, chains)}
    outlets = {way.outlet for group in ways.values() for way in group}
    return _Table(chains, paused, open_ways, first_only, outlets)


def _ways(group: Chain, groups: Mapping[str, Chain]) -> Iterator[_Way]:
    for plugin in group.deliver_plugins:
        outlet = _outlet(group, plugin)
        alike = (
            name
            for name, other in groups.items()
            if plugin in other.deliver_plugins
            and _outlet(other, plugin) == outlet
            and other.has_same_terms(group, plugin)
        )
        # Of the groups that deliver alike, one delivers for all: their messages share calls.
        lease = group.server.deadline + LEASE_SECONDS
        yield _Way(next(alike), plugin, outlet, group.batch_of(plugin), lease)


def _outlet(group: Chain, plugin: str) -> str:
    """Name the account that a plugin delivers through; without one, its group.

    It is a text, because every message is counted under it: an account is hashed in Python.
    """
    account = group.account if plugin in group.describe()["account"] else None
    if account is None:
        return f"{plugin} {group.server.name}"
    return f"{plugin} {account.url} {digest(account.token.reveal().encode()).hex()}"


def _retries(server: str, chains: Mapping[str, Chain]) -> bool:
    """Return whether what was tried before is tried again, by the server and by its group."""
    chain = chains[server]
    return chain.server.queue_enabled and chains[chain.server.group].server.queue_enabled


def _faults(results: Sequence[DeliverResult]) -> list[DeliveryDeferred | DeliveryInDoubt]:
    """Return what speaks against the provider or the account, unless it judged a message too."""
    if any(isinstance(result, Confirmation | DeliveryFailed) for result in results):
        return []
    return [
        result
        for result in results
        if isinstance(result, DeliveryInDoubt)
        or (isinstance(result, DeliveryDeferred) and result.opens_breaker)
    ]


def _is_ours(fault: DeliveryDeferred | DeliveryInDoubt) -> bool:
    """Return whether it is for the operator to mend: the provider answered, and will not judge."""
    answered = fault.code[:1].isdigit()
    return isinstance(fault, DeliveryDeferred) and not fault.counted and answered
