"""What a message costs the daemon: CPU by thread beside a bare handler's, and calls of functions.

512 callers send a fixed number of forms; the provider takes 100 ms a call. CPU seconds hang on the
machine, their ratio to the bare handler's in the same run less so; the number of calls of Python
functions hangs on the code and the version of Python alone, but for how many messages share a
commit. With --check it is compared with the one in cost.json.

Run it from the project's root: .venv/bin/python -m benchmarks.cost
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks import probe, serving
from benchmarks.load import post, posts
from benchmarks.probe import Cost
from tests.support.daemon import ROOT, Daemon

PROVIDER_SECONDS = 0.1
# A daemon whose calls are counted is slow: nobody is told "queued" for that.
PATIENT = "[relay]\nwait = 50\n"
# So many first ones are not counted: what is made once is made.
FIRST = 1000
# By version of Python, the calls that a form takes; and by how much there may be more.
COMMITTED = Path(__file__).with_name("cost.json")
MORE = 1.05
# How often they are counted before there are too many.
TRIES = 3


class Served(NamedTuple):
    """A process that is measured: its port, what it is sent, its id and where it says its cost."""

    port: int
    request: bytes
    process: int
    path: Path


@contextmanager
def _bare(folder: Path, *, calls: bool) -> Iterator[Served]:
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    path = folder / "bare.json"
    process = multiprocessing.Process(target=_run_bare, args=[port, path, calls], daemon=True)
    process.start()
    try:
        request = post("/", json.dumps(serving.FORM).encode())
        yield Served(port.get(timeout=30), request, process.pid or 0, path)
    finally:
        process.terminate()
        process.join()


def _run_bare(port: "multiprocessing.Queue[int]", path: Path, calls: bool) -> None:
    probe.install(path, calls=calls)
    asyncio.run(serving.serve_bare(port, PROVIDER_SECONDS))


@contextmanager
def _relay(folder: Path, *, calls: bool) -> Iterator[Served]:
    path = folder / "relay.json"
    counts = "calls" if calls else "seconds"
    program = (sys.executable, "-m", "benchmarks.probe", str(path), counts)
    environment = {"BENCHMARK_KEY": serving.KEY, "PYTHONPATH": str(ROOT)}
    with serving.provider(PROVIDER_SECONDS) as provider:
        settings = PATIENT + serving.settings(provider)
        with Daemon(folder, settings, environment, program) as daemon:
            port = int(daemon.url.rpartition(":")[2])
            yield Served(port, serving.form(), daemon.process.pid, path)


MEASURED = {"bare": _bare, "relay": _relay}


def _measured(name: str, callers: int, messages: int, *, calls: bool = False) -> Cost:
    """Return what so many forms cost, after some that are not counted."""
    with serving.folder() as folder, MEASURED[name](folder, calls=calls) as served:
        _post(name, served, callers, FIRST)
        before = probe.ask(served.process, served.path)
        _post(name, served, callers, messages)
        return probe.ask(served.process, served.path).since(before)


def _post(name: str, served: Served, callers: int, count: int) -> None:
    answers = asyncio.run(posts(served.port, served.request, callers, count))
    words = {json.loads(body)["response"] for body in answers}
    if words != {"Message sent"} or answers.total() != count:
        raise click.ClickException(f"{name} answered {dict(answers)}")


@click.command()
@click.option("--callers", default=512, show_default=True)
@click.option("--messages", default=5000, show_default=True, help="of which the CPU is measured")
@click.option("--rounds", default=3, show_default=True)
@click.option("--counted", default=2000, show_default=True, help="of which the calls are counted")
@click.option("--top", default=0, help="print the functions that are called most")
@click.option("--check", is_flag=True, help="count calls only, and fail if there are too many")
@click.option("--commit", is_flag=True, help="write down the calls for this version of Python")
def main(
    callers: int, messages: int, rounds: int, counted: int, top: int, check: bool, commit: bool
) -> None:
    """Print what a message costs."""
    version = "{}.{}".format(*sys.version_info)
    known = json.loads(COMMITTED.read_text(encoding="utf-8"))
    if check:
        _check(lambda: _calls("relay", callers, counted).total(), known.get(version), version)
        return
    _print_cpu(callers, messages, rounds)
    calls = {name: _calls(name, callers, counted) for name in MEASURED}
    relay, bare = calls["relay"].total(), calls["bare"].total()
    click.echo(f"{relay:.0f} calls of Python functions a message: {relay / bare:.2f} of the bare's")
    for function, number in calls["relay"].most_common(top):
        click.echo(f"  {number:8.2f} {function}")
    if commit:
        known = dict(sorted({**known, version: round(relay)}.items()))
        COMMITTED.write_text(f"{json.dumps(known, indent=2)}\n", encoding="utf-8")


def _calls(name: str, callers: int, messages: int) -> Counter[str]:
    """Return the calls a message, by function."""
    counted = _measured(name, callers, messages, calls=True).calls
    each: Counter[str] = Counter()
    for function, number in counted.items():
        each[function] = number / messages  # type: ignore[assignment]
    return each


def _print_cpu(callers: int, messages: int, rounds: int) -> None:
    spent: dict[str, list[float]] = {name: [] for name in MEASURED}
    threads: Counter[str] = Counter()
    for _ in range(rounds):
        for name, values in spent.items():
            cpu = _measured(name, callers, messages).cpu
            values.append(cpu.pop("all") / messages * 1e6)
            click.echo(f"{name:5} {values[-1]:6.0f} µs of CPU a message")
            if name == "relay":
                threads += cpu
    median = {name: statistics.median(values) for name, values in spent.items()}
    click.echo(f"\nrelay {median['relay'] / median['bare']:.2f} times the bare handler")
    for name, seconds in threads.most_common():
        click.echo(f"  {seconds / rounds / messages * 1e6:6.0f} µs {name}")


def _check(count: Callable[[], float], most: int | None, version: str) -> None:
    """Compare a count with what was written down, again where it is too large: groups differ."""
    if most is None:
        click.echo(f"no figure is written down for Python {version}: nothing is checked")
        return
    counts: list[float] = []
    while len(counts) < TRIES:
        counts.append(count())
        click.echo(f"{counts[-1]:.0f} calls of Python functions a message; {most} written down")
        if counts[-1] <= most * MORE:
            return
    raise click.ClickException(f"a message takes {min(counts):.0f} calls: more than {MORE:.0%}")


if __name__ == "__main__":
    main()
