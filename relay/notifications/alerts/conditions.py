"""What lasts: providers that fail, mail that waits, a full disk, forms that nobody posts to."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.config.alerts import KINDS, AlertSettings
from relay.core.times import shown
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.notifications.alerts.event_counts import EventCounts, publishable
from relay.notifications.alerts.rules import Condition
from relay.notifications.canaries.form import has_canaries
from relay.store import canaries, webhooks
from relay.store.alerts import Alert, AlertKey
from relay.store.cluster import daemons
from relay.store.engine.database import Store
from relay.store.engine.disk_space import Space
from relay.store.queries import statistics

# Under this name it is remembered since when mail of a server is expected.
EXPECTED = "expected: {}"


@dataclass(eq=False, repr=False)
class Conditions:
    """Looks at what is so now.

    paused: names the servers that an operator paused; targets: who is called.
    """

    store: Store
    dispatcher: Dispatcher
    space: Space
    event_counts: EventCounts
    paused: Callable[[], Collection[str]]
    targets: Callable[[], Collection[str]]
    _down: dict[tuple[str, str], float] = field(default_factory=dict, init=False)
    _seen_down: set[tuple[str, str]] = field(default_factory=set, init=False)
    _elsewhere: list[Mapping[str, Any]] = field(default_factory=list, init=False)

    async def look(
        self,
        chains: Mapping[str, Chain],
        terms: AlertSettings,
        standing: Collection[Alert],
        expected: Mapping[str, float],
        now: float,
    ) -> list[Condition]:
        """Return all that is worth an alert, but for the alerts' own mail.

        standing: what was so before. expected: since when mail of a server is expected at all.
        """
        self._elsewhere = await self.store.read(daemons.outages)
        others = {name: chain for name, chain in chains.items() if name != terms.server}
        return [
            *self._breakers(standing, terms, now),
            *self._unproved(chains, standing),
            *await self._waiting(others, terms, now),
            *self._disk(now),
            *await self._silence(others, expected, now),
            *await self._off(),
            *await self._canaries(chains),
        ]

    def _breakers(
        self, standing: Collection[Alert], terms: AlertSettings, now: float
    ) -> Iterator[Condition]:
        """Return providers that fail for long enough, or again before the last time was over."""
        known = {alert.key for alert in standing}
        elsewhere = {(one["group"], one["plugin"]): one["servers"] for one in self._elsewhere}
        down = {**elsewhere, **self.dispatcher.down()}
        self._seen_down |= down.keys()
        self._down = {way: self._down.get(way, now) for way in down}
        for way, since in self._down.items():
            key, servers = AlertKey("breaker", *way), sorted(set(down[way]) - {terms.server})
            if servers and (now - since >= terms.breaker or key in known):
                words = f"mail of {', '.join(servers)} waits{self._said(servers)}"
                yield Condition(key, since, words)

    def _unproved(
        self, chains: Mapping[str, Chain], standing: Collection[Alert]
    ) -> Iterator[Condition]:
        """Return providers that failed before, of which nobody knows that they work by now.

        After a restart all breakers begin closed; one without mail that may be sent is not tried.
        That a provider works is known when it failed since and does not now, or when it sent mail.
        """
        works = {chains[one].server.group for one in self.event_counts.senders if one in chains}
        servers = [chain.server for chain in chains.values()]
        resting = {one.name for one in servers if not one.enabled} | set(self.paused())
        tried = {one.group for one in servers if not {one.name, one.group} & resting}
        for alert in standing:
            kind, group, plugin = alert.key
            if kind != "breaker" or alert.over_at is not None or (group, plugin) in self._down:
                continue
            known = (group, plugin) in self._seen_down or group in works
            if group not in tried or not known:
                yield Condition(alert.key, alert.since, alert.words)

    async def _waiting(
        self, chains: Mapping[str, Chain], terms: AlertSettings, now: float
    ) -> list[Condition]:
        oldest = await self.store.read(statistics.oldest_waiting, list(chains), now)
        limits = {"waiting": terms.waiting, "waiting_long": terms.waiting_long}
        return [
            Condition(AlertKey(kind, name), since, self._why(chains, name) + self._said([name]))
            for name, since in oldest.items()
            for kind, limit in limits.items()
            if now - since >= limit
        ]

    def _why(self, chains: Mapping[str, Chain], name: str) -> str:
        """Say why a server's mail waits, as far as it is known."""
        group = chains[name].server.group
        pauses = sorted({name, group} & set(self.paused()))
        if pauses:
            return f"{pauses[0]} is paused: `run.py resume {pauses[0]}`"
        if not chains[name].server.enabled or (
            group in chains and not chains[group].server.enabled
        ):
            return "the settings say enabled = false"
        if not self.dispatcher.can_deliver(name):
            return "its provider fails"
        return "it is tried again and again"

    def _said(self, servers: Iterable[str]) -> str:
        told = {name: one["words"] for one in self._elsewhere for name in one["servers"]}
        refusals = {**told, **self.event_counts.refusals}
        words = next((publishable(refusals[name]) for name in servers if name in refusals), "")
        return f"; the provider's last words: {words}" if words else ""

    def _disk(self, now: float) -> Iterator[Condition]:
        if self.space.is_nearly_low:
            refused = "mail is refused (503) until there is room"
            soon = "mail is still taken, but not for long"
            yield Condition(AlertKey("disk", ""), now, refused if self.space.is_low else soon)

    async def _silence(
        self, chains: Mapping[str, Chain], expected: Mapping[str, float], now: float
    ) -> list[Condition]:
        limits = {name: one.server.expect_mail for name, one in chains.items()}
        names = [name for name, limit in limits.items() if limit]
        last = await self.store.read(statistics.last_accepted, names) if names else {}
        found = []
        for name in names:
            since = last.get(name, expected.get(EXPECTED.format(name), now))
            if now - since > limits[name]:
                words = f"the last came {shown(last[name])}" if name in last else "none ever came"
                found.append(Condition(AlertKey("silence", name), since, words))
        return found

    async def _off(self) -> list[Condition]:
        """Return the webhooks that are switched off."""
        states, names = await self.store.read(webhooks.targets), self.targets()
        return [
            Condition(AlertKey("webhook", "", name), state.off_since)
            for name, state in states.items()
            if name in names and state.off_since is not None
        ]

    async def _canaries(self, chains: Mapping[str, Chain]) -> list[Condition]:
        """Return the servers of which no canary arrives."""
        known = await self.store.read(canaries.read)
        return [
            Condition(AlertKey("canary", name), one.missing_since, one.reason)
            for name, one in known.items()
            if name in chains and one.missing_since is not None
        ]


def is_moot(
    alert: Alert,
    chains: Mapping[str, Chain],
    targets: Collection[str],
    paused: Collection[str] = (),
) -> bool:
    """Return whether what lasted is nothing any more by an operator's will: it did not end."""
    kind, name, plugin = alert.key
    if kind == "webhook":
        return plugin not in targets
    if kind == "disk" or not KINDS[kind].lasts:
        return False
    chain = chains.get(name)
    if chain is None:
        return True
    if kind == "silence":
        return not chain.server.expect_mail
    if kind == "canary":
        return not has_canaries(chain, chains, paused)
    return kind == "breaker" and plugin not in chain.deliver_plugins


def newly_expected(
    chains: Iterable[Chain], expected: Mapping[str, float], now: float
) -> dict[str, float]:
    """Return what is to be remembered of servers whose mail is expected from now on."""
    names = (EXPECTED.format(one.server.name) for one in chains if one.server.expect_mail)
    return {name: now for name in names if name not in expected}
