"""What is measured, each in processes of its own: a bare handler, a provider, a daemon, a rival."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
from tornado.web import Application, RequestHandler

from benchmarks.load import post
from relay.cli.control_client import ask
from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.server import Server as MailServer
from relay.intake.outbox import identified
from relay.store.engine.database import Store
from relay.store.outbox import enqueue
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server

KEY = "benchmark-key-benchmark-key-benchmark"

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

SETTINGS = """
[keys.application]
secret = {{ env = "BENCHMARK_KEY" }}
servers = ["*"]

[servers.default]
plugins = ["bearer_token", "session_token", "honeypot", "default", "{delivery}"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov"]
"""

POSTMARK = """
postmark_token = {{ env = "BENCHMARK_KEY" }}
postmark_url = "http://127.0.0.1:{port}"
"""

# Another server, whose mail waits.
WAITING = """
[servers.waiting]
plugins = ["postmark"]
sender = "Relay <relay@example.gov>"
postmark_token = {{ env = "BENCHMARK_KEY" }}
postmark_url = "http://127.0.0.1:{port}"
"""

DATABASE = """
[relay]
database = { env = "DATABASE" }
secret = { env = "BENCHMARK_KEY" }
"""

# So many messages are stored in one commit.
BATCH = 1000

Port = "multiprocessing.Queue[int]"


class _Bare(RequestHandler):
    def initialize(self, delay: float) -> None:
        self.delay = delay

    async def post(self) -> None:
        json.loads(self.request.body)
        if self.delay:
            await asyncio.sleep(self.delay)
        self.write({"status": "success", "response": "Message sent"})


async def serve_bare(port: Port, delay: float) -> None:
    """Serve a handler that parses the JSON, waits and answers; tell its port."""
    app = Application([("/", _Bare, {"delay": delay})], log_function=lambda handler: None)
    server = app.listen(0, "127.0.0.1")
    port.put(next(iter(server._sockets.values())).getsockname()[1])
    await asyncio.Event().wait()


class _Provider(asyncio.Protocol):
    """Takes messages as Postmark does, one or a batch, and answers after a delay."""

    taken = 0

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(self._received) < end + 4 + length:
            return
        body = self._received[end + 4 :]
        count = body.count(b'"From":')
        self._received = bytearray()
        _Provider.taken += count
        batch = b"/batch" in head.partition(b"\r\n")[0]
        if head.startswith(b"get"):
            answer = str(_Provider.taken).encode()
        else:
            answer = _TAKEN if not batch else b"[" + b",".join([_TAKEN] * count) + b"]"
        asyncio.get_running_loop().call_later(self._delay, self._answer, answer)

    def _answer(self, answer: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._transport.write(head.encode() + answer)


_TAKEN = (
    b'{"To":"desk@example.gov","SubmittedAt":"2026-11-21T07:25:01.4178645-05:00",'
    b'"MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d","ErrorCode":0,"Message":"OK"}'
)


async def _serve_provider(port: Port, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Provider(delay), "127.0.0.1", 0)
    port.put(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


def _run(serve: Callable[[Port, float], Any], port: Port, delay: float) -> None:
    asyncio.run(serve(port, delay))


@contextmanager
def _process(serve: Callable[[Port, float], Any], delay: float) -> Iterator[int]:
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_run, args=[serve, port, delay], daemon=True)
    process.start()
    try:
        yield port.get(timeout=30)
    finally:
        process.terminate()
        process.join()


@contextmanager
def bare(delay: float = 0) -> Iterator[tuple[int, bytes]]:
    """Serve a handler that parses the JSON, waits and answers; return its port and the request."""
    with _process(serve_bare, delay) as port:
        yield port, post("/", json.dumps(FORM).encode())


@contextmanager
def provider(delay: float) -> Iterator[int]:
    """Serve a provider that takes every message after a delay; return its port."""
    with _process(_serve_provider, delay) as port:
        yield port


def taken(port: int) -> int:
    """Ask a provider how many messages it took."""
    return int(requests.get(f"http://127.0.0.1:{port}/", timeout=30).text)


def settings(provider_port: int | None) -> str:
    """Return a daemon's settings: delivery to a provider, or to the embedded mailbox."""
    if provider_port is None:
        return SETTINGS.format(delivery="mailbox")
    return SETTINGS.format(delivery="postmark") + POSTMARK.format(port=provider_port)


@contextmanager
def folder() -> Iterator[Path]:
    """Return a folder for a daemon's database, on the disk that the project is on."""
    with tempfile.TemporaryDirectory(dir=".") as path:
        yield Path(path).resolve()


@contextmanager
def daemons(
    server: Server | None, count: int, toml: str, waiting: int = 0
) -> Iterator[Sequence[Daemon]]:
    """Serve some daemons on a fresh database, of a server or one on SQLite.

    waiting: so many messages of the paused server `waiting` are in it.
    """
    with ExitStack() as closing:
        folders = [closing.enter_context(folder()) for _ in range(count)]
        url = f"sqlite:///{folders[0] / 'relay.db'}"
        if server is not None:
            server.execute("DROP DATABASE IF EXISTS benchmark WITH (FORCE)")
            server.execute("CREATE DATABASE benchmark OWNER relay")
            url = server.url_of("benchmark")
        environment = {"BENCHMARK_KEY": KEY, "DATABASE": url}
        made = [Daemon(one, DATABASE + toml, environment) for one in folders]
        if waiting:
            _fill(url, folders[0], waiting)
            made[0].command("pause", "waiting")
        yield [closing.enter_context(one) for one in made]


def resume(daemon: Daemon) -> None:
    """Let the server `waiting` deliver."""
    ask(daemon.folder / "var", "POST", "/resume", {"server": "waiting"})


def drained(provider: int, size: int, seconds: float) -> float:
    """Return the messages a second that the provider gets, until it has all or the time is up."""
    started = time.monotonic()
    while (count := taken(provider)) < size and time.monotonic() < started + seconds:
        time.sleep(0.005)
    return count / (time.monotonic() - started)


def _fill(url: str, data: Path, size: int) -> None:
    """Store queued messages as the API would."""
    store = Store(url, data)
    store.open()
    server = MailServer("waiting", ("postmark",))
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


@contextmanager
def relay(provider_port: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Serve a daemon with a fresh database; return its port and the request."""
    with (
        folder() as path,
        Daemon(path, settings(provider_port), {"BENCHMARK_KEY": KEY}) as daemon,
    ):
        yield int(daemon.url.rpartition(":")[2]), form()


def form() -> bytes:
    """Return the request that posts the form to a daemon."""
    return post("/rest/email/default", json.dumps(FORM).encode(), Authorization=f"token {KEY}")


@contextmanager
def flask(provider_port: int, workers: int, threads: int) -> Iterator[tuple[int, bytes]]:
    """Serve what people would otherwise write, benchmarks/flask_app.py, under gunicorn."""
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--log-level", "info"]
    command += ["--workers", str(workers), "--threads", str(threads), "benchmarks.flask_app:app"]
    environment = {"PROVIDER": f"http://127.0.0.1:{provider_port}", "PATH": ""}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        port = 0
        for line in process.stderr or ():
            if "Listening at" in line:
                port = int(line.rpartition(" (")[0].rpartition(":")[2])
                break
        ready(port)
        yield port, post("/", json.dumps(FORM).encode())
    finally:
        process.terminate()
        process.communicate()


def ready(port: int) -> None:
    """Wait until something answers on a port."""
    for _ in range(100):
        try:
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answers on port {port}")
