"""`audit`: proof that everything that was accepted is in one place, and in one only."""

import contextlib
import sys
from collections import Counter
from pathlib import Path

import click

from relay.cli.context import Orders, reading
from relay.cli.terminal import counted, progress, say
from relay.config.settings import Settings
from relay.core import clock
from relay.core.errors import ConfigurationError
from relay.core.states import ENDS, State
from relay.store.maintenance import audit as stored
from relay.store.maintenance.audit import Audit, Balance, LastRun
from relay.store.maintenance.audit import note as noted

_COLUMNS = ("accepted", *ENDS, "waiting", State.SCREENED)


@click.command()
@click.option("--server", help="Print only this server's lines.")
@click.option("--since", metavar="DAY", default="", help="Print only this day and later ones.")
@click.pass_obj
def audit(path: Path, server: str | None, since: str) -> None:
    """Check that what was accepted is what was sent, failed, ... and waits, by server and day.

    Exit code 1 if anything does not balance. Everything is checked, whatever is printed.
    """
    with (
        reading(path) as (read, store),
        progress("messages", store.read_now(stored.size)) as went_on,
    ):
        found = store.read_now(stored.audit, went_on)
    accepted = sum(balance.accepted for balance in found.balances.values())
    _note(read, LastRun(clock.now(), accepted, len(found.faults)))
    for line in _table(found, server and server.lower(), since):
        say(line)
    for fault in found.faults:
        say(f"imbalance: {fault}")
    if found.faults:
        sys.exit(1)
    say(f"in balance: {counted(accepted, 'message')} accepted, every one in its place")


def _note(read: Settings, run: LastRun) -> None:
    """Keep what was found, for the console; a copy that nobody may write to is audited as well."""
    with (
        contextlib.suppress(ConfigurationError, click.ClickException, OSError),
        Orders(read, see="audit") as orders,
    ):
        orders.carry_out("/audit", run._asdict(), lambda store: store.write_now(noted, [run]))


def _table(found: Audit, server: str | None, since: str) -> list[str]:
    """Write a line for each server and day, and one for all of them."""
    lines: list[tuple[str, ...]] = [("server", "day", *_COLUMNS)]
    total: Counter[str] = Counter()
    for place, balance in found.balances.items():
        if place.day < since or server not in (None, place.server):
            continue
        counts = _counts(balance)
        total.update(counts)
        lines.append((place.server, place.day, *(f"{counts[name]:,}" for name in _COLUMNS)))
    lines.append(("all", "", *(f"{total[name]:,}" for name in _COLUMNS)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [_line(line, widths) for line in lines]


def _line(line: tuple[str, ...], widths: list[int]) -> str:
    server, on, *counts = (
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join((server, on, *counts))


def _counts(balance: Balance) -> Counter[str]:
    counts: Counter[str] = Counter({name: balance.states[name] for name in ENDS})
    counts.update(
        accepted=balance.accepted, waiting=balance.waiting, screened=balance.states[State.SCREENED]
    )
    return counts
