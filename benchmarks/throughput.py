"""Submissions per second while the provider takes 100 ms a call, every one answered "Message sent".

Four are measured in turn, several times, under the same load from another process:

- bare: a Tornado handler that parses the JSON, waits 100 ms and answers.
- flask: benchmarks/flask_app.py under gunicorn: one call to the provider a message, nothing stored.
  It has as many processes as gunicorn's documentation advises, 2 for each core and one more.
- threads: the same with a thread for every caller.
- relay: the daemon, durable (synchronous=FULL), delivering to the same provider in batches.

Run it from the project's root: .venv/bin/python -m benchmarks.throughput
"""

import asyncio
import json
import os
import platform
import statistics
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import click

from benchmarks import serving
from benchmarks.load import load

PROVIDER_SECONDS = 0.1
# https://docs.gunicorn.org/en/stable/design.html, "How Many Workers?"
ADVISED_WORKERS = 2 * (os.cpu_count() or 1) + 1
# Two processes for two cores, and together a thread for each of 512 callers.
FLASK_WORKERS, FLASK_THREADS = 2, 256


@contextmanager
def _bare() -> Iterator[tuple[int, bytes]]:
    with serving.bare(PROVIDER_SECONDS) as served:
        yield served


@contextmanager
def _flask(workers: int = ADVISED_WORKERS, threads: int = 1) -> Iterator[tuple[int, bytes]]:
    with (
        serving.provider(PROVIDER_SECONDS) as provider,
        serving.flask(provider, workers, threads) as served,
    ):
        yield served


def _threads() -> AbstractContextManager[tuple[int, bytes]]:
    return _flask(FLASK_WORKERS, FLASK_THREADS)


@contextmanager
def _relay() -> Iterator[tuple[int, bytes]]:
    with serving.provider(PROVIDER_SECONDS) as provider, serving.relay(provider) as served:
        yield served


MEASURED = {"bare": _bare, "flask": _flask, "threads": _threads, "relay": _relay}


@click.command()
@click.option("--callers", default=512, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(callers: int, seconds: float, rounds: int) -> None:
    """Print requests per second of each, and the relay's ratio to the others."""
    rates: dict[str, list[float]] = {name: [] for name in MEASURED}
    for _ in range(rounds):
        for name, serve in MEASURED.items():
            with serve() as (port, request):
                rate, answers = asyncio.run(load(port, request, callers, seconds))
            words = {json.loads(body)["response"] for body in answers}
            if words != {"Message sent"}:
                raise click.ClickException(f"{name} answered {dict(answers)}")
            rates[name].append(rate)
            click.echo(f"{name:7} {rate:8.0f} requests/s")
    median = {name: statistics.median(values) for name, values in rates.items()}
    click.echo(
        f"\n{callers} callers, {rounds} rounds of {seconds:g} s, Python {platform.python_version()}"
    )
    for name in ("bare", "flask", "threads"):
        ratio = median["relay"] / median[name]
        click.echo(
            f"relay {median['relay']:.0f}/s: {ratio:.2f} times {name} ({median[name]:.0f}/s)"
        )


if __name__ == "__main__":
    main()
