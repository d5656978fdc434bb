"""`check` and `plugins`: what serve would make of the settings, and what production still needs."""

import sqlite3
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from relay.cli.context import built, reading
from relay.cli.terminal import say
from relay.config.settings import Settings
from relay.core import clock
from relay.core.networks import objection
from relay.core.server import Key
from relay.core.states import State
from relay.core.times import shown
from relay.delivery.transport.smtp_server import is_loopback
from relay.delivery.transport.sockets import NAME_SECONDS, resolved
from relay.hooks.chain import Chain
from relay.operators.findings import of_server
from relay.store import installation, keys
from relay.store.engine.database import Store
from relay.store.engine.sqlite import SAFE_SQLITE
from relay.store.maintenance import server_check
from relay.store.outbox import unsent

STRANGERS_LIMITS = (
    *("posts_per_minute", "tokens_per_minute", "max_unspent_tokens", "connections_per_address"),
    *("address_bytes_per_hour", "server_bytes_per_day"),
)

# Below these, Python's email and http modules have published holes.
SAFE_PYTHON = {(3, 11): 15, (3, 12): 13, (3, 13): 12, (3, 14): 3}


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 where something stands in the way.")
@click.pass_obj
def check(path: Path, *, strict: bool) -> None:
    """Check the settings without starting; list what production still needs."""
    read, chains = built(path)
    say(f"{read.path}: {len(chains)} servers, {len(read.keys)} keys, in order")
    notes = [
        *_installation(read),
        *_limits(read),
        *_files(read),
        *(f"[servers.{name}] {words}" for name in chains for words in of_server(name, chains)),
        *_alerts(read, chains),
        *_webhooks(read),
        *_retention(read),
        *_stored(read, chains),
        *_machine(),
    ]
    for note in notes:
        say(f"before production: {note}")
    if strict and notes:
        sys.exit(1)


@click.command()
@click.pass_obj
def plugins(path: Path) -> None:
    """Print, per server, each hook and its plugins in call order."""
    _, chains = built(path)
    for name, chain in chains.items():
        group = chain.server.group
        say(f"{name}" + (f" (delivers through {group})" if group != name else ""))
        for hook, names in chain.describe().items():
            if names:
                say(f"  {hook:12} {', '.join(names)}")


def _installation(read: Settings) -> Iterator[str]:
    if not read.keys:
        yield "no [keys]: name who may call; the keys that the daemon made are for trying"
    if not read.public_url:
        yield "[relay] public_url is empty: say how callers reach this relay, with https"
    elif read.public_url.startswith("http:"):
        yield "[relay] public_url is plain http: put TLS in front"
    if not is_loopback(read.host) and not read.trusted_proxies:
        yield f"[relay] host {read.host} takes plain http: put a proxy with TLS in front"
    if read.pages and not is_loopback(read.pages[0]):
        yield f"[relay] pages {read.pages[0]} shows mail to whoever reaches it: use loopback"
    if is_loopback(read.host) and read.public_url and not read.trusted_proxies:
        yield "[relay] trusted_proxies is empty: all callers look like the proxy, without limits"
    if not read.token_key_required:
        yield '[tokens] key is "none": anybody may make session tokens, up to the limit'


def _limits(read: Settings) -> Iterator[str]:
    """Name the limits of strangers that are off."""
    for name in STRANGERS_LIMITS:
        if not getattr(read.limits, name):
            yield f"[relay.limits] {name} is 0: strangers have no such limit"


def _files(read: Settings) -> Iterator[str]:
    """Name what is secret, and lies in files that everybody on this machine may read."""
    table = tomllib.loads(read.path.read_text(encoding="utf-8-sig"))
    named = [read.path.parent / name for name in _secret_files(table)]
    for path in [*named, *(read.data / name for name in ("secret", "keys.json", "relay.db"))]:
        if path.exists() and path.stat().st_mode & stat.S_IROTH:
            yield f"{path} can be read by others: chmod 600 (or 640)"


def _secret_files(value: Any) -> Iterator[str]:
    """Find the files that references to secrets name."""
    if isinstance(value, list):
        for member in value:
            yield from _secret_files(member)
    elif isinstance(value, dict):
        if set(value) == {"file"}:
            yield value["file"]
        for member in value.values():
            yield from _secret_files(member)


def _alerts(read: Settings, chains: Mapping[str, Chain]) -> Iterator[str]:
    if not read.alerts.to:
        if not read.alerts.channels:
            yield "no [alerts]: nobody is told when something goes wrong"
        return
    name = read.alerts.server
    own, others = chains[name], [chain for other, chain in chains.items() if other != name]
    if own.has_forms:
        yield f"[alerts] server {name} takes forms too: of its own failures nobody is told"
    ways = chains[own.server.group]
    plugins = [plugin for plugin in ways.deliver_plugins if plugin != "mailbox"]
    groups = [chains[chain.server.group] for chain in others]
    if plugins and all(any(ways.is_shared(one, group) for group in groups) for one in plugins):
        yield f"[alerts] server {name} delivers as others do: when that fails, nobody is told"


def _webhooks(read: Settings) -> Iterator[str]:
    """Name who cannot be called: there is no such name, or its addresses are private."""
    for target in read.targets.values():
        parts = urlsplit(target.url.reveal())
        about = f"webhook {target.name}: {parts.hostname}"
        try:
            found = resolved(parts.hostname or "", parts.port or 443, NAME_SECONDS)
        except OSError:
            yield f"{about} is no name that is known here"
            continue
        objections = [objection(one[4][0], target.networks) for one in found]
        if all(objections):
            yield f"{about}: {objections[0]}: name its network in `networks`"


def _retention(read: Settings) -> Iterator[str]:
    for name, one in read.servers.items():
        if State.SENT not in one.server.keep:
            yield f"[servers.{name}] keep_days keeps for ever what people wrote"
        if one.server.in_doubt == "resend":
            yield f'[servers.{name}] in_doubt is "resend": what is in doubt may arrive twice'


def _stored(read: Settings, chains: Mapping[str, Chain]) -> Iterator[str]:
    """Say what the database needs and holds back; nothing where there is none yet."""
    store = Store(read.database, read.data)
    if store.is_missing:
        return
    if store.shared is not None:
        yield from server_check.notes(store.shared)
        if not server_check.has_schema(store.shared):
            return
    with reading(read.path) as (_, store):
        pauses = store.read_now(installation.paused_servers)
        waiting = store.read_now(unsent.waiting_servers)
        stored = [row.key for row in store.read_now(keys.listed)]
    for name, since in pauses.items():
        yield f"{name} is paused since {shown(since)}: `run.py resume {name}`"
    for name in sorted(waiting - read.servers.keys()):
        yield f"mail of {name} waits, and no [servers.{name}] is there to send it"
    yield from _keys([key for key in stored if not key.ended(clock.now())], read, chains)


def _keys(stored: Sequence[Key], read: Settings, chains: Mapping[str, Chain]) -> Iterator[str]:
    """Name keys of the store that do not fit the settings as they are now."""
    for key in stored:
        if key.id in {one.id for one in read.keys}:
            yield f"[keys.{key.id}] has the name of a key of the store: revoke that"
        for name in sorted(key.servers - {"*"} - chains.keys()):
            yield f"the key {key.id} is for {name}, and there is no [servers.{name}]"
        for name, chain in chains.items():
            if key.is_public_at(name) and chain.has_forms and chain.server.recipients is None:
                yield f"[servers.{name}] recipients is not set: the key {key.id} is refused there"


def _machine() -> Iterator[str]:
    floor = SAFE_PYTHON.get(sys.version_info[:2], 0)
    if sys.version_info[2] < floor:
        version = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {version} has published holes: take the newest {version.rpartition('.')[0]}"
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        safe = ".".join(map(str, SAFE_SQLITE))
        yield (
            f"SQLite {sqlite3.sqlite_version} is older than {safe}: "
            "let no other program write to the database while the daemon runs"
        )
