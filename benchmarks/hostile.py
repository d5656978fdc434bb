"""What a neighbour feels while others send costly bodies, and what the daemon holds of them.

Each kind of body is sent over 1 to 32 connections at once, again and again without a pause, while
a neighbour posts a form, one after the other. Printed are, for the time that a post took and for
how long the event loop worked meanwhile: the median in milliseconds, how many times it is that of
nobody there, the 99th percentile. The senders are a process of their own of low priority, so that
they do not take the time of the neighbour and the daemon.

Run it from the project's root: .venv/bin/python -m benchmarks.hostile
"""

import asyncio
import multiprocessing
import os
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import click

from benchmarks import serving
from tests.support.daemon import Daemon

PAUSE = 0.02

SETTINGS = (
    serving.settings(None)
    + """
[servers.files]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Files <files@example.gov>"
recipients = ["@example.gov"]
session_key = "optional"
attachments = true
"""
)

FORM = "/rest/email/default"
FILES = "/rest/email_session/files"
JSON = {"Content-Type": "application/json"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
TEST = JSON | {"X-Postmark-Server-Token": "POSTMARK_API_TEST"}
PART = b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nx\r\n'
FILE = b'{"attachments": [{"Name": "a.pdf", "Content": "%s"}]}'
PROSE = "Make the roads green, and the river too. " * 6000


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST {path} HTTP/1.1", "Host: relay", *lines, f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def kinds() -> dict[str, bytes]:
    """Return the requests, by what is costly about them."""
    many = urlencode({f"field{number}": number for number in range(16_000)}).encode()
    fields = b"".join(PART % number for number in range(4_000)) + b"--b--\r\n"
    prose = urlencode({**serving.FORM["email"], "message": PROSE}).encode()
    quoted = b'{"message": "' + PROSE.encode() + b'"}'
    return {
        "87,000 empty objects": request(FORM, JSON, b'{"a":[' + b"{}," * 86_998 + b"1]}"),
        "as much as is read": request(FORM, JSON, b'{"a":[' + b"{}," * 1_490 + b"1]}"),
        "8 MB of objects": request(FILES, JSON, b'{"a":[' + b'{"a":0},' * 1_000_000 + b"1]}"),
        "8 MB of a file": request(FILES, JSON, FILE % ((b"A" * 63 + b"\\/") * 123_000)),
        "10 MB of numbers": request("/email/batch", TEST, b"[" + b"0," * 5_000_000 + b"0]"),
        "16,000 fields": request(FORM, URLENCODED, many),
        "4,000 parts": request(FORM, MULTIPART, fields),
        "percent signs": request(FORM, URLENCODED, b"message=" + b"%41a" * 65_000),
        "250,000 nested": request(FORM, JSON, b"[" * 250_000),
        "escapes": request(FORM, JSON, b'{"message": "' + b'\\"' * 125_000 + b'"}'),
        "prose": request(FORM, URLENCODED, prose),
        "prose in JSON": request(FORM, JSON, quoted),
        "unfinished": request(FILES, MULTIPART, b"x" * 9_600_000)[:-1],
    }


async def send(port: int, sent: bytes, ends: float, statuses: Counter[bytes]) -> None:
    """Send a request again and again, over a new connection where the last one was closed."""
    while time.monotonic() < ends:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < ends:
                writer.write(sent)
                reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
                head = await asyncio.wait_for(reading, max(0.1, ends - time.monotonic()))
                statuses[head.split(maxsplit=2)[1]] += 1
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                await writer.drain()
                if b"connection: close" in head.lower():
                    break
        except (OSError, EOFError, TimeoutError):
            statuses[b"closed"] += 1
        finally:
            writer.close()


def hostile(port: int, sent: bytes, connections: int, seconds: float, queue: object) -> None:
    """Send from a process of its own, of low priority."""
    os.nice(10)

    async def all_of_them() -> None:
        ends = time.monotonic() + seconds
        await asyncio.gather(*(send(port, sent, ends, statuses) for _ in range(connections)))

    statuses: Counter[bytes] = Counter()
    asyncio.run(all_of_them())
    queue.put(statuses)


def memory(process: int) -> float:
    """Return the memory that a process holds, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def work(process: int) -> float:
    """Return the seconds for which a process's event loop has run, by the machine's count."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


class Felt(NamedTuple):
    """What a neighbour felt: how long its posts took, how much of that the daemon worked."""

    took: list[float]
    work: list[float]
    memory: float


async def neighbour(port: int, process: int, seconds: float) -> Felt:
    """Post a form now and then, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took, worked, most = [], [], 0.0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        before, started = work(process), time.monotonic()
        writer.write(serving.form())
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        took.append(time.monotonic() - started)
        worked.append(work(process) - before)
        most = max(most, memory(process))
        await asyncio.sleep(PAUSE)
    writer.close()
    return Felt(sorted(took), sorted(worked), most)


@click.command()
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--connections", default="1,4,16,32", show_default=True)
@click.option("--only", default="", help="The kinds whose names have these words.")
def main(seconds: float, connections: str, only: str) -> None:
    """Print what the neighbour felt, the daemon's memory, and what the others were answered."""
    with (
        serving.folder() as folder,
        Daemon(folder, SETTINGS, {"BENCHMARK_KEY": serving.KEY}) as daemon,
    ):
        port, process = int(daemon.url.rpartition(":")[2]), daemon.process.pid
        idle = asyncio.run(neighbour(port, process, seconds))
        click.echo(f"{'nobody':24}    {_felt(idle, idle)}")
        for name, sent in kinds().items():
            for count in map(int, connections.split(",")) if only in name else ():
                queue: multiprocessing.Queue[Counter[bytes]] = multiprocessing.Queue()
                arguments = (port, sent, count, seconds + 1, queue)
                sender = multiprocessing.Process(target=hostile, args=arguments, daemon=True)
                sender.start()
                felt = asyncio.run(neighbour(port, process, seconds))
                answers = {key.decode(): value for key, value in queue.get(timeout=60).items()}
                sender.join()
                click.echo(f"{name:24} {count:2} {_felt(felt, idle)}  {answers}")


def _felt(felt: Felt, idle: Felt) -> str:
    return (
        f"{_times(felt.took, idle.took)} | {_times(felt.work, idle.work)} | {felt.memory:4.0f} MB"
    )


def _times(took: list[float], idle: list[float]) -> str:
    median, late = statistics.median(took), took[int(len(took) * 0.99)]
    times = median / statistics.median(idle)
    return f"{median * 1000:6.1f} ({times:4.1f}) {late * 1000:6.1f}"


if __name__ == "__main__":
    main()
