"""Accepting and draining with many messages waiting, and the daemon's memory.

For each size a database is filled with that many queued messages of one server. Then, on a daemon:

- accept: forms are posted to another server while that one is paused; accepted and sent a second.
- drain: the server is resumed, and its messages go to a provider that answers at once.

Run it from the project's root: .venv/bin/python -m benchmarks.backlog
"""

import asyncio
import os
import platform
import time
from pathlib import Path

import click

from benchmarks import serving
from benchmarks.load import load
from relay.cli.control_client import ask
from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.server import Server
from relay.intake.outbox import identified
from relay.store.engine.database import Store
from relay.store.outbox import enqueue
from tests.support.daemon import Daemon

BATCH = 1000

WAITING = """
[servers.waiting]
plugins = ["postmark"]
sender = "Relay <relay@example.gov>"
postmark_token = {{ env = "BENCHMARK_KEY" }}
postmark_url = "http://127.0.0.1:{port}"
"""


@click.command()
@click.option("--sizes", default="1000,100000,1000000", show_default=True)
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
def main(sizes: str, callers: int, seconds: float) -> None:
    """Print, for each number of waiting messages, both rates and the memory."""
    click.echo(f"Python {platform.python_version()}")
    first: tuple[float, float] | None = None
    for size in map(int, sizes.split(",")):
        accepted, drained, memory = _measured(size, callers, seconds)
        first = first or (accepted, drained)
        click.echo(
            f"{size:8} waiting: accept {accepted:6.0f}/s ({accepted / first[0]:.2f} of the first),"
            f" drain {drained:6.0f}/s ({drained / first[1]:.2f}), memory {memory:.0f} MB"
        )


def _measured(size: int, callers: int, seconds: float) -> tuple[float, float, float]:
    with serving.folder() as folder, serving.provider(0) as provider:
        text = serving.settings(None) + WAITING.format(port=provider)
        daemon = Daemon(folder, text, {"BENCHMARK_KEY": serving.KEY})
        _fill(folder, size)
        daemon.command("pause", "waiting")
        with daemon:
            port = int(daemon.url.rpartition(":")[2])
            accepted, _ = asyncio.run(load(port, serving.form(), callers, seconds))
            ask(folder / "var", "POST", "/resume", {"server": "waiting"})
            drained = _drained(provider, size, seconds * 2)
            memory = _memory(daemon)
    return accepted, drained, memory


def _fill(folder: Path, size: int) -> None:
    """Store queued messages as the API would."""
    (folder / "var").mkdir(exist_ok=True)
    store = Store(f"sqlite:///{folder / 'var' / 'relay.db'}", folder / "var")
    store.open()
    server = Server("waiting", ("postmark",))
    sender, to = Address("relay@example.gov"), Address("desk@example.gov")
    message = Message(sender, (to,), subject="Waiting", text="Make the roads green. " * 20)
    for _ in range(0, size, BATCH):
        rows = [
            enqueue.new_message(identified(message, "relay-00000000"), server, "application")
            for _ in range(min(BATCH, size))
        ]
        store.write_now(enqueue.add_together, [rows])
    store.close()
    os.sync()  # or the disk would still be busy with this when the daemon commits


def _drained(provider: int, size: int, seconds: float) -> float:
    """Return the messages a second that the provider gets, until it has all or the time is up."""
    started = time.monotonic()
    while (taken := serving.taken(provider)) < size and time.monotonic() < started + seconds:
        time.sleep(0.005)
    return taken / (time.monotonic() - started)


def _memory(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
