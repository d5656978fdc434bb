"""What scrapes cost a daemon of two hundred servers: in forms a second, processor, and lag.

The same daemon is loaded in turn, several times, while nobody asks for its metrics and while they
are asked for every second. Every server has had a form, one without a key and one of a robot, so
that all of them are in the metrics.

Run it from the project's root: .venv/bin/python -m benchmarks.metrics
"""

import asyncio
import json
import platform
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click
import requests
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import serving
from benchmarks.load import load, post
from tests.support.daemon import Daemon

SERVER = """
[servers.office{number}]
plugins = ["bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Office <office{number}@example.gov>"
recipients = ["@example.gov"]
"""
BODY = json.dumps(serving.FORM).encode()


class Round(NamedTuple):
    """Forms accepted a second; milliseconds that each took of a processor; the loop's mean lag."""

    rate: float
    work: float
    late: float


@click.command()
@click.option("--servers", default=200, show_default=True)
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--every", default=1.0, show_default=True, help="Seconds from scrape to scrape.")
def main(servers: int, callers: int, seconds: float, rounds: int, every: float) -> None:
    """Print all three without scrapes and with them, and how long a scrape takes."""
    text = serving.settings(None)
    text += "".join(SERVER.format(number=number) for number in range(servers))
    found: dict[str, list[Round]] = {"without": [], "with": []}
    with serving.daemons(None, 1, text) as [daemon]:
        _visit(daemon, servers)
        took: list[float] = []
        for _ in range(rounds):
            found["without"].append(_measured(daemon, callers, seconds))
            with _scraped(daemon, every, took):
                found["with"].append(_measured(daemon, callers, seconds))
        lines = len(_scrape(daemon).splitlines())
    for name, results in found.items():
        rate, work, late = (statistics.median(values) for values in zip(*results, strict=True))
        click.echo(
            f"{name:8} scrapes: {rate:6.0f} forms/s, {work:.2f} ms of a processor each,"
            f" loop late by {late:.1f} ms on average"
        )
    pairs = list(zip(found["without"], found["with"], strict=True))
    rate, work, late = (
        statistics.median(having[of] / lacking[of] for lacking, having in pairs) for of in range(3)
    )
    click.echo(
        f"with / without: forms {rate:.2f}, processor {work:.2f}, lag {late:.2f}\n"
        f"{lines} lines a scrape, {statistics.median(took) * 1000:.0f} ms under this load;"
        f" Python {platform.python_version()}"
    )


def _visit(daemon: Daemon, servers: int) -> None:
    """Let every server have something to count."""
    with requests.Session() as session:
        for number in range(servers):
            url = f"{daemon.url}/rest/email/office{number}"
            form = serving.FORM["email"]
            headers = {"Authorization": f"token {serving.KEY}"}
            session.post(url, data=form, headers=headers, timeout=30)
            session.post(url, data={**form, "contact": "x"}, headers=headers, timeout=30)
            session.post(url, data=form, timeout=30)


def _measured(daemon: Daemon, callers: int, seconds: float) -> Round:
    before = _counted(daemon)
    request = post("/rest/email/office0", BODY, Authorization=f"token {serving.KEY}")
    port = int(daemon.url.rpartition(":")[2])
    rate, answers = asyncio.run(load(port, request, callers, seconds))
    worked, late, looks = (now - then for now, then in zip(_counted(daemon), before, strict=True))
    return Round(rate, 1000 * worked / sum(answers.values()), 1000 * late / looks)


@contextmanager
def _scraped(daemon: Daemon, every: float, took: list[float]) -> Iterator[None]:
    """Ask for the metrics meanwhile; note how long each time takes."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(every):
            began = time.monotonic()
            _scrape(daemon)
            took.append(time.monotonic() - began)

    thread = threading.Thread(target=scrape)
    thread.start()
    yield
    over.set()
    thread.join()


def _scrape(daemon: Daemon) -> str:
    return requests.get(f"{daemon.pages}/metrics", timeout=30).text


def _counted(daemon: Daemon) -> list[float]:
    """Return the seconds of a processor, those of all lag, and how often that was measured."""
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(_scrape(daemon))
        for sample in family.samples
        if not sample.labels
    }
    lag = "relay_loop_lag_seconds"
    return [values[name] for name in ("process_cpu_seconds_total", f"{lag}_sum", f"{lag}_count")]


if __name__ == "__main__":
    main()
