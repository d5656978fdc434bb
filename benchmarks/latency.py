"""What Relay adds to the provider's own 100 ms, at a quarter of what it can do.

First the capacity is measured with as many callers as wanted, then posts come in at fixed times, a
quarter as many a second, and each is timed from the moment it was due.

Run it from the project's root: .venv/bin/python -m benchmarks.latency
"""

import asyncio
import json
import platform
import statistics

import click

from benchmarks import serving
from benchmarks.load import load, paced

PROVIDER_SECONDS = 0.1


@click.command()
@click.option("--callers", default=512, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
def main(callers: int, seconds: float) -> None:
    """Print the median and the 99th percentile of what is added, in milliseconds."""
    with serving.provider(PROVIDER_SECONDS) as provider, serving.relay(provider) as served:
        port, request = served
        capacity, _ = asyncio.run(load(port, request, callers, seconds / 2))
        latencies, bodies = asyncio.run(paced(port, request, capacity / 4, seconds))
    words = {json.loads(body)["response"] for body in bodies}
    if words != {"Message sent"}:
        raise click.ClickException(f"answered {words}")
    added = sorted((latency - PROVIDER_SECONDS) * 1000 for latency in latencies)
    click.echo(
        f"{len(added)} posts at {capacity / 4:.0f}/s, a quarter of {capacity:.0f}/s,"
        f" Python {platform.python_version()}\n"
        f"added: median {statistics.median(added):.1f} ms, 90 % {_at(added, 0.9):.1f} ms,"
        f" 99 % {_at(added, 0.99):.1f} ms, all {added[-1]:.1f} ms"
    )


def _at(values: list[float], part: float) -> float:
    return values[int(len(values) * part)]


if __name__ == "__main__":
    main()
