"""How fast forms are accepted, stored and delivered, against a handler that does nothing.

Both are measured in turn, several times, under the same load from another process:

- bare: a Tornado handler that parses the JSON and answers.
- relay: the daemon with the embedded mailbox: key, schema, message, commit with synchronous=FULL,
  delivery, second commit, answer "Message sent".

Run it from the project's root: .venv/bin/python -m benchmarks.accept
"""

import asyncio
import json
import platform
import statistics

import click

from benchmarks import serving
from benchmarks.load import load


@click.command()
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(callers: int, seconds: float, rounds: int) -> None:
    """Print requests per second of each, and their ratio."""
    rates: dict[str, list[float]] = {"bare": [], "relay": []}
    for _ in range(rounds):
        for name, serve in (("bare", serving.bare), ("relay", serving.relay)):
            with serve() as (port, request):
                rate, answers = asyncio.run(load(port, request, callers, seconds))
            words = json.loads(next(iter(answers)))["response"]
            if len(answers) != 1 or words != "Message sent":
                raise click.ClickException(f"{name} answered {dict(answers)}")
            rates[name].append(rate)
            click.echo(f"{name:6} {rate:8.0f} requests/s")
    median = {name: statistics.median(values) for name, values in rates.items()}
    ratio = median["relay"] / median["bare"]
    click.echo(
        f"\n{callers} callers, {rounds} rounds of {seconds:g} s, Python {platform.python_version()}"
        f"\nbare {median['bare']:.0f}/s, relay {median['relay']:.0f}/s, ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
