"""Accepting and draining with many messages waiting, and the daemon's memory.

For each size a database is filled with that many queued messages of one server. Then, on a daemon:

- accept: forms are posted to another server while that one is paused; accepted and sent a second.
- drain: the server is resumed, and its messages go to a provider that answers at once.

Run it from the project's root: .venv/bin/python -m benchmarks.backlog
"""

import asyncio
import platform
from contextlib import nullcontext
from pathlib import Path

import click

from benchmarks import serving
from benchmarks.load import load
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server, running_server


@click.command()
@click.option("--sizes", default="1000,100000,1000000", show_default=True)
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--postgresql", is_flag=True, help="Keep them in PostgreSQL, not in SQLite.")
def main(sizes: str, callers: int, seconds: float, *, postgresql: bool) -> None:
    """Print, for each number of waiting messages, both rates and the memory."""
    click.echo(f"Python {platform.python_version()}")
    first: tuple[float, float] | None = None
    with running_server() if postgresql else nullcontext() as server:
        for size in map(int, sizes.split(",")):
            accepted, drained, memory = _measured(server, size, callers, seconds)
            first = first or (accepted, drained)
            click.echo(
                f"{size:8} waiting: accept {accepted:6.0f}/s"
                f" ({accepted / first[0]:.2f} of the first),"
                f" drain {drained:6.0f}/s ({drained / first[1]:.2f}), memory {memory:.0f} MB"
            )


def _measured(
    server: Server | None, size: int, callers: int, seconds: float
) -> tuple[float, float, float]:
    with serving.provider(0) as provider:
        text = serving.settings(None) + serving.WAITING.format(port=provider)
        with serving.daemons(server, 1, text, size) as [daemon]:
            port = int(daemon.url.rpartition(":")[2])
            accepted, _ = asyncio.run(load(port, serving.form(), callers, seconds))
            serving.resume(daemon)
            drained = serving.drained(provider, size, seconds * 2)
            memory = _memory(daemon)
    return accepted, drained, memory


def _memory(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
