"""How fast forms are accepted, stored and delivered, against a handler that does nothing.

Both are measured in turn, several times, under the same load from another process:

- bare: a Tornado handler that parses the JSON and answers.
- relay: the daemon with the embedded mailbox: key, schema, message, commit with synchronous=FULL,
  delivery, second commit, answer "Message sent".

Run it from the project's root: .venv/bin/python -m benchmarks.accept
"""

import asyncio
import json
import multiprocessing
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from tornado.web import Application, RequestHandler

from benchmarks.load import load, post
from tests.daemon import Daemon

KEY = "benchmark-key-benchmark-key-benchmark"

SETTINGS = """
[keys.application]
secret = { env = "BENCHMARK_KEY" }
servers = ["default"]

[servers.default]
plugins = ["bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov"]
"""

FORM = {
    "email": {
        "to_address": "desk@example.gov",
        "from_address": "A Resident <resident@example.com>",
        "subject": "I have a great idea",
        "message": "Make the roads green. " * 20,
        "name": "A Resident",
        "phone": "617 555 0100",
        "url": "https://www.example.gov/somepage",
    }
}


class Bare(RequestHandler):
    def post(self) -> None:
        json.loads(self.request.body)
        self.write({"status": "success", "response": "Message sent"})


def _serve_bare(port: "multiprocessing.Queue[int]") -> None:
    async def serve() -> None:
        app = Application([("/", Bare)], log_function=lambda handler: None)
        server = app.listen(0, "127.0.0.1")
        port.put(next(iter(server._sockets.values())).getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def bare() -> Iterator[tuple[int, bytes]]:
    """Serve the bare handler in a process of its own; give its port and the request."""
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_serve_bare, args=[port], daemon=True)
    process.start()
    try:
        yield port.get(timeout=30), post("/", json.dumps(FORM).encode())
    finally:
        process.terminate()
        process.join()


@contextmanager
def relay() -> Iterator[tuple[int, bytes]]:
    """Serve a daemon with a fresh database; give its port and the request."""
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        Daemon(Path(folder).resolve(), SETTINGS, {"BENCHMARK_KEY": KEY}) as daemon,
    ):
        request = post(
            "/rest/email/default", json.dumps(FORM).encode(), Authorization=f"token {KEY}"
        )
        yield int(daemon.url.rpartition(":")[2]), request


@click.command()
@click.option("--callers", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(callers: int, seconds: float, rounds: int) -> None:
    """Print requests per second of each, and their ratio."""
    rates: dict[str, list[float]] = {"bare": [], "relay": []}
    for _ in range(rounds):
        for name, serving in (("bare", bare), ("relay", relay)):
            with serving() as (port, request):
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
