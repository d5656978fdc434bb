"""How it stands: one sentence, and a line for every server."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from relay.core.server import Server
from relay.core.times import age, utc
from relay.delivery.lanes import Outage
from relay.store import installation
from relay.store.cluster import daemons
from relay.store.cluster.daemons import Member
from relay.store.engine.database import Connection
from relay.store.maintenance.audit import LastRun, last_run
from relay.store.queries import statistics
from relay.store.queries.statistics import MOST_COUNTED, Counts, Hour

DAYS = 14
# What waits for longer is worth a word.
LONG_SECONDS = 300.0


class ServerLine(NamedTuple):
    """A server: is it sent for, what came in today, what waits, and what fourteen days were.

    oldest: since when something waits that should be sent. to_do: what a person has to decide.
    days: oldest first, with their names, today last.
    """

    name: str
    paused_since: float | None
    enabled: bool
    today: Counts
    waiting: int
    oldest: float | None
    to_do: int
    days: Sequence[tuple[str, Counts]]


class Standing(NamedTuple):
    """What the store says of all servers."""

    servers: Sequence[ServerLine]
    hour: Mapping[str, Hour]
    members: Sequence[Member]
    audit: LastRun | None
    to_do: Mapping[str, int]


class State(NamedTuple):
    """One sentence on how it stands, and whether that is well."""

    words: str
    is_well: bool


def read(connection: Connection, servers: Mapping[str, Server], now: float) -> Standing:
    """Read what was counted; nothing here counts messages that are over."""
    names = list(servers)
    on = [(utc(now) - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(DAYS)][::-1]
    days = statistics.days(connection, on[0])
    waiting = statistics.waiting(connection, names)
    undecided = statistics.undecided(connection)
    oldest = statistics.oldest_waiting(connection, names, now)
    pauses = installation.paused_servers(connection)
    lines = []
    for name, server in servers.items():
        counted = days.get(name, {})
        history = [(day, counted.get(day, Counts())) for day in on]
        lines.append(
            ServerLine(
                name,
                pauses.get(name, pauses.get(server.group)),
                server.enabled,
                history[-1][1],
                sum(waiting.get(name, {}).values()),
                oldest.get(name),
                sum(undecided.get(name, {}).values()),
                history,
            )
        )
    by_state: dict[str, int] = {}
    for counts in undecided.values():
        for state, count in counts.items():
            by_state[state] = by_state.get(state, 0) + count
    hour = statistics.last_hour(connection, now)
    return Standing(lines, hour, daemons.members(connection), last_run(connection), by_state)


def state_of(standing: Standing, outages: Sequence[Outage], *, is_full: bool, now: float) -> State:
    """Say in one sentence how it stands: the worst of what is wrong, or that all is well."""
    waiting = {line.name: line.waiting for line in standing.servers}
    if is_full:
        return State("The disk is full: posts are refused until there is room.", False)
    for one in outages:
        count = sum(waiting.get(name, 0) for name in one.servers)
        since = utc(one.since).strftime("%H:%M")
        words = f"{one.plugin} of {one.group} fails since {since} UTC ({one.words})"
        return State(f"{words}: {_wait(count)}.", False)
    paused = [line for line in standing.servers if line.paused_since is not None]
    if paused:
        names = ", ".join(line.name for line in paused)
        count = sum(line.waiting for line in paused)
        verb = "is" if len(paused) == 1 else "are"
        return State(f"{names} {verb} paused: {_wait(count)}.", False)
    late = [line for line in standing.servers if _is_late(line, now)]
    if late:
        count = sum(line.waiting for line in late)
        oldest = min(line.oldest or now for line in late)
        return State(f"{_wait(count)}, the oldest for {age(now - oldest)}.", False)
    to_do = sum(standing.to_do.values())
    if to_do:
        verb = "needs" if to_do == 1 else "need"
        return State(f"All mail is flowing; {messages(to_do)} {verb} a person.", False)
    return State("All mail is flowing.", True)


def number(count: int) -> str:
    """Write a count that goes up to MOST_COUNTED only."""
    return f"{MOST_COUNTED:,} and more" if count >= MOST_COUNTED else f"{count:,}"


def messages(count: int) -> str:
    """Write how many messages there are."""
    return f"{number(count)} message{'' if count == 1 else 's'}"


def _wait(count: int) -> str:
    return f"{messages(count)} wait{'s' if count == 1 else ''}"


def _is_late(line: ServerLine, now: float) -> bool:
    return line.oldest is not None and now - line.oldest > LONG_SECONDS
