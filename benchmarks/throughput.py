"""Submissions per second while the provider takes 100 ms a call, every one answered "Message sent".

Three are measured in turn, several times, under the same load from another process:

- bare: a Tornado handler that parses the JSON, waits 100 ms and answers.
- flask: benchmarks/flask_app.py under gunicorn: one call to the provider a message, nothing stored.
- relay: the daemon, durable (synchronous=FULL), delivering to the same provider in batches.

Run it from the project's root: .venv/bin/python -m benchmarks.throughput
"""

import asyncio
import json
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import click

from benchmarks import serving
from benchmarks.load import load

PROVIDER_SECONDS = 0.1
# Two processes for two cores, and together a thread for each of 512 callers.
FLASK_WORKERS, FLASK_THREADS = 2, 256


@contextmanager
def _bare() -> Iterator[tuple[int, bytes]]:
    with serving.bare(PROVIDER_SECONDS) as served:
        yield served


@contextmanager
def _flask() -> Iterator[tuple[int, bytes]]:
    with (
        serving.provider(PROVIDER_SECONDS) as provider,
        serving.flask(provider, FLASK_WORKERS, FLASK_THREADS) as served,
    ):
        yield served


@contextmanager
def _relay() -> Iterator[tuple[int, bytes]]:
    with serving.provider(PROVIDER_SECONDS) as provider, serving.relay(provider) as served:
        yield served


MEASURED = {"bare": _bare, "flask": _flask, "relay": _relay}


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
            click.echo(f"{name:6} {rate:8.0f} requests/s")
    median = {name: statistics.median(values) for name, values in rates.items()}
    click.echo(
        f"\n{callers} callers, {rounds} rounds of {seconds:g} s, Python {platform.python_version()}"
        f"\nrelay {median['relay']:.0f}/s: {median['relay'] / median['bare']:.2f} of bare"
        f" ({median['bare']:.0f}/s), {median['relay'] / median['flask']:.2f} times flask"
        f" ({median['flask']:.0f}/s)"
    )


if __name__ == "__main__":
    main()
