"""Accepting and draining with one, two and three daemons on PostgreSQL, beside one on SQLite.

In each round every set of daemons gets a fresh database, and is measured twice:

- accept: forms are posted to all of its daemons, delivered to the mailbox, answered "Message sent".
- drain: messages that wait go to a provider that answers at once, through batches.

Beside the rates stand the milliseconds of processors that a message takes, of the daemons and of
the database server. All of them, the load and the provider share the processors of one machine:
several daemons are no faster there, and are not for speed.

Run it from the project's root: .venv/bin/python -m benchmarks.cluster
"""

import asyncio
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import click
import psutil

from benchmarks import serving
from benchmarks.load import load
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server, running_server


class Measured(NamedTuple):
    """A rate a second, and milliseconds of processors a message, of daemons and of the database."""

    rate: float
    daemons: float
    database: float


@click.command()
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--waiting", default=20_000, show_default=True, help="Messages to drain.")
@click.option("--rounds", default=3, show_default=True)
def main(callers: int, seconds: float, waiting: int, rounds: int) -> None:
    """Print both rates of each set of daemons, as parts of those of one on SQLite."""
    with running_server() as server:
        sets = {"sqlite": (None, 1), **{f"postgresql {n}": (server, n) for n in (1, 2, 3)}}
        measured: dict[tuple[str, str], list[Measured]] = {}
        for _ in range(rounds):
            for name, (on, count) in sets.items():
                accepted = _accepted(on, count, callers, seconds)
                drained = _drained(on, count, waiting)
                for what, one in (("accept", accepted), ("drain", drained)):
                    measured.setdefault((what, name), []).append(one)
                    click.echo(f"{name:13} {what:6} {one.rate:8.0f}/s")
    click.echo(
        f"\n{callers} callers, {waiting} waiting, {rounds} rounds, Python"
        f" {platform.python_version()}; medians, milliseconds of processors a message"
    )
    for (what, name), several in measured.items():
        one = _median(several)
        ratio = one.rate / _median(measured[what, "sqlite"]).rate
        click.echo(
            f"{what:6} {name:13} {ratio:5.2f} of sqlite ({one.rate:.0f}/s),"
            f" daemons {one.daemons:.2f} ms, database {one.database:.2f} ms"
        )


def _median(several: Sequence[Measured]) -> Measured:
    return Measured(*map(statistics.median, zip(*several, strict=True)))


def _accepted(server: Server | None, count: int, callers: int, seconds: float) -> Measured:
    async def post(ports: Sequence[int]) -> int:
        loads = [load(port, serving.form(), callers // len(ports), seconds) for port in ports]
        answers = [answers for _, answers in await asyncio.gather(*loads)]
        if {body for one in answers for body in one if b"Message sent" not in body}:
            raise click.ClickException(f"answered {answers}")
        return sum(sum(one.values()) for one in answers)

    with serving.daemons(server, count, serving.settings(None)) as daemons:
        ports = [int(daemon.url.rpartition(":")[2]) for daemon in daemons]
        return _timed(server, daemons, lambda: (asyncio.run(post(ports)), None))


def _drained(server: Server | None, count: int, waiting: int) -> Measured:
    with serving.provider(0) as provider:
        toml = serving.settings(None) + serving.WAITING.format(port=provider)
        with serving.daemons(server, count, toml, waiting) as daemons:

            def drain() -> tuple[int, float]:
                serving.resume(daemons[0])
                return waiting, serving.drained(provider, waiting, 60)

            return _timed(server, daemons, drain)


def _timed(
    server: Server | None,
    daemons: Sequence[Daemon],
    work: Callable[[], tuple[int, float | None]],
) -> Measured:
    """Do some work on so many messages; its rate is its own, or by the time that it takes."""
    before = _used(server, daemons)
    started = time.monotonic()
    count, rate = work()
    rate = count / (time.monotonic() - started) if rate is None else rate
    of_daemons, of_database = (
        (after - earlier) * 1000 / count
        for earlier, after in zip(before, _used(server, daemons), strict=True)
    )
    return Measured(rate, of_daemons, of_database)


def _used(server: Server | None, daemons: Sequence[Daemon]) -> tuple[float, float]:
    """Return the seconds of processors that daemons and database used until now."""
    own = sum(_seconds(psutil.Process(daemon.process.pid)) for daemon in daemons)
    return own, 0.0 if server is None else sum(map(_seconds, server.processes()))


def _seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
