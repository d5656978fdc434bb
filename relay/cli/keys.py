"""`keys`: who may call, and new secrets for those who shall."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from relay.cli.context import Orders, built, reading
from relay.cli.terminal import say
from relay.config import keys as made_keys
from relay.config import settings
from relay.config.settings import Settings
from relay.core import clock
from relay.core.server import Key, KeyKind
from relay.core.times import utc
from relay.intake.keys import DAY, KINDS, AskedKey, making, revoking
from relay.operators.acting import system_user
from relay.store import acts
from relay.store import keys as stored
from relay.store.acts import Acted
from relay.store.cluster.membership import unheard
from relay.store.engine.database import Store
from relay.store.keys import KeyRow

UNUSED_DAYS = 90
KIND = click.Choice(KINDS)


@click.group(invoke_without_command=True)
@click.pass_context
def keys(context: click.Context) -> None:
    """List the keys; their secrets are not shown.

    Of those that were made here: since and until when they are good, and when they were used last.
    """
    if context.invoked_subcommand is not None:
        return
    read = settings.load(context.obj)
    made = made_keys.made(read.data, make=False)
    origin = "settings" if read.keys else str(read.data / "keys.json")
    for key in read.keys or tuple(one.key for one in made.values()):
        say(_line(key, origin))
    if Store(read.database, read.data).is_missing:
        return
    with reading(context.obj) as (_, store):
        for row in store.read_now(stored.listed):
            say("  ".join([_line(row.key, "store"), *_times(row, clock.now())]))


def _names(read: Settings) -> set[str]:
    """Name the keys of the settings, or those that a daemon makes for itself without any."""
    return {key.id for key in read.keys} or {*made_keys.WANTED}


def _line(key: Key, origin: str) -> str:
    servers = ", ".join(sorted(key.servers)) or "no server"
    return f"{key.id:16} {key.kind:12} {servers:24} {origin}"


def _times(row: KeyRow, now: float) -> Iterator[str]:
    key, used = row.key, None if row.used_day is None else row.used_day * DAY
    yield f"made {_day(row.made_at)}"
    if key.revoked_at is not None:
        yield f"revoked {_day(key.revoked_at)}"
    elif key.expires_at is not None:
        yield f"{'expired' if key.ended(now) else 'expires'} {_day(key.expires_at)}"
    yield "never used" if used is None else f"used {_day(used)}"
    if not key.ended(now) and max(used or 0, row.made_at) <= now - UNUSED_DAYS * DAY:
        yield f"unused for {UNUSED_DAYS} days"


def _day(seconds: float) -> str:
    return utc(seconds).date().isoformat()


def _end(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read a day, or a number of days, as the moment at which a key ends."""
    if value is None:
        return None
    try:
        if days := re.fullmatch("([1-9][0-9]{0,4})d", value, re.ASCII):
            return (clock.now() // DAY + int(days[1])) * DAY
        day = date.fromisoformat(value)
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    except ValueError:
        words = "a day in UTC, 2027-06-30, or a number of days, 90d"
        raise click.BadParameter(words) from None


@keys.command()
@click.option("--kind", type=KIND, default="secret")
@click.option("--servers", default="", help="Those that it opens: NAME,NAME; * is all.")
@click.option(
    "--expires", callback=_end, help="The DAY (UTC) from which it is good no more, or 90d."
)
@click.argument("name")
@click.pass_obj
def make(path: Path, name: str, kind: KeyKind, servers: str, expires: float | None) -> None:
    """Make the key NAME, good at once, and print it, this once: its digest alone is kept."""
    read, chains = built(path)
    asked = AskedKey(name, kind, servers.split(","), expires)
    key, order = making(asked, chains, _names(read), system_user())
    answer = _order(read, "/keys/make", asked._asdict(), order)
    say(answer.get("key", key))
    say(f"{name} is good now; it is not shown again", err=True)


@keys.command()
@click.argument("name")
@click.pass_obj
def revoke(path: Path, name: str) -> None:
    """Let nobody in by the key NAME any more, from now on, at any daemon."""
    read = settings.load(path)
    order = revoking(name, _names(read), system_user())
    _order(read, "/keys/revoke", {"name": name}, order)
    say(f"{name}  revoked")


def _order(read: Settings, path: str, asked: dict[str, Any], order: Acted) -> dict[str, Any]:
    """Have the daemon do it, or do it; say which daemons have not heard of it."""

    def alone(store: Store) -> dict[str, Any]:
        store.write_now(acts.acted, [order])
        return {"unheard": [one.name for one in unheard(store, "keys")]}

    with Orders(read, see="keys") as orders:
        answer: dict[str, Any] = orders.carry_out(path, asked, alone)
    for name in answer["unheard"]:
        say(f"{name} has not heard of it yet: see `status`", err=True)
    return answer


@keys.command()
@click.option("--kind", type=KIND, default="secret")
@click.argument("name")
def new(name: str, kind: KeyKind) -> None:
    """Make a secret for the key NAME; put it where settings.toml looks for it."""
    say(made_keys.random_key(kind, name))


@keys.command()
@click.pass_obj
def show(path: Path) -> None:
    """Show the secrets that this installation made for itself at its first start."""
    for id, made in made_keys.made(settings.load(path).data, make=False).items():
        say(f"{id:16} {made.secret.reveal()}")
