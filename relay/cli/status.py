"""`status`: how it stands and all that is wrong, on one screen."""

import contextlib
import http.client
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from relay import __version__
from relay.cli import control_socket
from relay.cli.alerts import line
from relay.cli.control_client import ask
from relay.cli.terminal import counted, say
from relay.config import settings
from relay.config.alerts import AlertSettings
from relay.config.settings import Settings
from relay.core import clock
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.core.states import WAITING, State
from relay.core.times import age, shown
from relay.notifications.alerts import standing
from relay.notifications.canaries.arrival import said as canary_said
from relay.operators.explanation import outage
from relay.store import canaries, installation
from relay.store.alerts import Alert
from relay.store.canaries import Canary
from relay.store.cluster import daemons
from relay.store.cluster.daemons import Member
from relay.store.cluster.membership import OFFSET_SECONDS
from relay.store.engine.database import Connection, Store, StoreUnreadable
from relay.store.engine.disk_space import MEGABYTE, Space
from relay.store.outbox import unsent
from relay.store.queries import statistics

# A daemon that takes longer to say how it is has a trouble of its own.
SECONDS = 10.0
# Nobody is to be left alone with these.
_LEFT = (State.HELD, State.IN_DOUBT, State.FAILED, State.EXPIRED, State.QUARANTINED)
_DATA = re.compile(r"""^\s*data\s*=\s*["']([^"']+)["']""", re.MULTILINE)


class Daemon(NamedTuple):
    """What the running daemon says of itself; where none answers, why."""

    said: Mapping[str, Any]
    silence: str = ""


class Stored(NamedTuple):
    """What the database says of what waits: by state, and since when by server."""

    schema: str
    counts: Mapping[str, int]
    oldest: Mapping[str, float]
    pauses: Mapping[str, float]
    alerts: Sequence[Alert]
    members: Sequence[Member]
    canaries: Sequence[Canary]


@click.command()
@click.pass_obj
def status(path: Path) -> None:
    """Say how it stands and all that is wrong; exit code 1 if anything is, or no daemon runs."""
    read = _settings(path)
    data = _data(path) if isinstance(read, ConfigurationError) else read.data
    daemon = asked(data)
    if daemon.said and "version" not in daemon.said:
        daemon = Daemon({}, "an older daemon runs: restart it")
    if isinstance(read, ConfigurationError) and not daemon.said:
        raise read
    if daemon.said:
        _look_again(data)
        servers = daemon.said["servers"]
    elif isinstance(read, Settings):
        servers = sorted(read.servers)
    url = read.database if isinstance(read, Settings) else _file_url(daemon)
    store = Store(url, data) if url else None
    folder = store.path.parent if store and store.path else data
    now = clock.now()
    stored = _stored(store, servers, now)
    for name, value in _facts(path, daemon, stored, servers, folder, now):
        say(f"{name:10} {value}")
    terms = read.alerts if isinstance(read, Settings) else None
    wrong = [
        *_unwell(daemon),
        *_apart(stored),
        *_full(folder),
        *_undone(stored),
        *_alerts(daemon, stored, terms),
    ]
    for words in wrong:
        say(f"wrong      {words}")
    if wrong:
        sys.exit(1)


def _settings(path: Path) -> Settings | ConfigurationError:
    try:
        return settings.load(path)
    except ConfigurationError as error:
        return error


def _data(path: Path) -> Path:
    """Return where the data folder is by settings that cannot be used: a daemon may still run."""
    with contextlib.suppress(OSError):
        found = _DATA.search(path.read_text(encoding="utf-8", errors="replace"))
        named = os.environ.get("RELAY_DATA") or (found[1] if found else "var")
        return (path.resolve().parent / named).resolve()
    return path.resolve().parent


def _file_url(daemon: Daemon) -> Secret | None:
    """Return the URL of a daemon's database, where that is a file."""
    return Secret(f"sqlite:///{daemon.said['database']}") if daemon.said["database"] else None


def asked(data: Path) -> Daemon:
    """Ask the daemon of a data folder how it is."""
    try:
        said = ask(data, "GET", "/status", seconds=SECONDS)
        if said is None:
            return Daemon({}, "no daemon runs on these settings")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Daemon({}, f"a daemon runs, but does not answer ({type(error).__name__})")
    return Daemon(said)


def _look_again(data: Path) -> None:
    """Have the daemon look at what it alerts of; one that cannot has its trouble listed below."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        ask(data, "POST", "/alerts/look", {}, seconds=SECONDS)


def _stored(store: Store | None, servers: Sequence[str], now: float) -> Stored | str:
    if store is None:
        return "the database is not looked at: the settings that name it cannot be read"
    if store.is_missing:
        return f"{store.where}: no database yet; start the daemon once"

    def query(connection: Connection) -> Stored:
        return Stored(
            installation.schema(connection),
            unsent.counts(connection),
            statistics.oldest_waiting(connection, servers, now),
            installation.paused_servers(connection),
            standing.divided(connection)[0],
            daemons.members(connection),
            list(canaries.read(connection).values()),
        )

    try:
        return store.read_now(query)
    except StoreUnreadable as error:
        return f"{store.where} cannot be read: {error}"


def _facts(
    path: Path,
    daemon: Daemon,
    stored: Stored | str,
    servers: Sequence[str],
    folder: Path,
    now: float,
) -> Iterator[tuple[str, str]]:
    said = daemon.said
    schema = f" (schema {stored.schema})" if isinstance(stored, Stored) else ""
    yield "version", f"relay {said.get('version', __version__)}{schema}"
    if said:
        started = said["started_at"]
        yield "pid", str(said["pid"])
        yield "up", f"{age(now - started)}, since {shown(started)}"
        yield "address", said["address"]
        yield "pages", said["pages"] or "none"
        yield "socket", str(Path(said["data"]) / control_socket.NAME)
    yield "settings", str(said.get("settings", path.resolve()))
    yield "servers", ", ".join(servers)
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free // MEGABYTE
        yield "disk", f"{free:,} MB free at {folder}"
    if isinstance(stored, Stored):
        paused = [f"{name} since {shown(since)}" for name, since in stored.pauses.items()]
        yield "paused", ", ".join(paused) or "none"
        yield "waiting", _waiting(stored, now)
        for state in _LEFT:
            yield _called(state), f"{stored.counts.get(state, 0):,}"
        for canary in stored.canaries:
            yield "canary", f"{canary.server}: {canary_said(canary)}"
        for one in stored.members:
            yield "daemon", _member(one)
    if said:
        yield "replies", ", ".join(said["replies"]) or "none"


def _member(one: Member) -> str:
    """Say who a daemon of a shared database is, and how it is."""
    leads = ", leads" if one.is_leader else ""
    heard = f"heard of {age(one.age)} ago"
    clock_is = f"clock {one.offset:+.1f}s"
    return (
        f"{one.id} on {one.host} (pid {one.pid}, relay {one.version}, {one.address}): {heard},"
        f" {clock_is}, sends {one.sending}{leads}"
    )


def _apart(stored: Stored | str) -> Iterator[str]:
    """Return what is wrong with the daemons of a shared database."""
    members = [] if isinstance(stored, str) else stored.members
    living = [one for one in members if one.is_living]
    for one in members:
        # Another one there took its place.
        if not one.is_living and not any(it.host == one.host and it.id > one.id for it in living):
            yield f"{one.name} was not heard of for {age(one.age)}: what it was sending is in doubt"
    for one in living:
        if abs(one.offset) > OFFSET_SECONDS:
            yield f"the clock of {one.name} is {one.offset:+.0f} seconds from the database's"
    for what, values in (
        ("versions", sorted({one.version for one in living})),
        ("settings", sorted({one.settings for one in living})),
    ):
        if len(values) > 1:
            yield f"the daemons have different {what}: bring them to the same ones"


def _called(state: State) -> str:
    return state.replace("_", " ")


def _waiting(stored: Stored, now: float) -> str:
    waiting = sum(stored.counts.get(state, 0) for state in (*WAITING, State.SENDING))
    if not stored.oldest:
        return f"{waiting:,}"
    server, since = min(stored.oldest.items(), key=lambda one: one[1])
    return f"{waiting:,}, the oldest for {age(now - since)}, of {server}"


def _unwell(daemon: Daemon) -> Iterator[str]:
    """Return what is wrong with the daemon and the providers that it uses."""
    said = daemon.said
    if daemon.silence:
        yield daemon.silence
        return
    version = said["version"]
    if version != __version__:
        yield f"the daemon runs relay {version}, this is {__version__}: restart it"
    if said["stopping"]:
        yield "the daemon is stopping: it takes nothing in any more"
    if said["unread"]:
        yield said["unread"]
    for one in said["outages"]:
        yield outage(one) + f"; mail of {', '.join(one['servers'])} is concerned"


def _full(folder: Path) -> Iterator[str]:
    space = Space(folder)
    if folder.exists() and space.is_nearly_low:
        state = "full: mail is refused (503)" if space.is_low else "nearly full"
        yield f"the disk is {state}; make room at {folder}"


def _undone(stored: Stored | str) -> Iterator[str]:
    """Return what is wrong with what is stored."""
    if isinstance(stored, str):
        yield stored
        return
    for state in _LEFT:
        if count := stored.counts.get(state):
            yield f"{counted(count, 'message')} {_called(state)}: `run.py queue --state {state}`"


def _alerts(daemon: Daemon, stored: Stored | str, terms: AlertSettings | None) -> Iterator[str]:
    """Return the alerts that stand, but for those of providers that are named already.

    terms: of what there are too few for them, and nobody was told, nothing is said here either.
    """
    if isinstance(stored, str):
        return
    named = {("breaker", one["group"], one["plugin"]) for one in daemon.said.get("outages", ())}
    for alert in stored.alerts:
        least = 1 if terms is None else terms.least(alert.key.kind)
        is_few = alert.told_at is None and alert.count < least
        if alert.key not in named and not is_few:
            yield f"alert {line(alert)}"
