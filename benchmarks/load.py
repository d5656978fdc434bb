"""A load of a fixed number of callers, each with one connection and one request at a time."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any


def _body(received: bytes) -> bytes | None:
    """Return the body of an answer; None while it has not come whole."""
    head, found, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    return body if found and len(body) >= length else None


class _Caller(asyncio.Protocol):
    """Sends the same request as soon as the last one is answered, as long as it is to go on."""

    def __init__(
        self, request: bytes, goes_on: Callable[[], bool], answers: Counter[bytes]
    ) -> None:
        self._request = request
        self._goes_on = goes_on
        self._answers = answers
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        body = _body(self._received)
        if body is None:
            return
        self._answers[body] += 1
        self._received = b""
        self._next()

    def _next(self) -> None:
        if self._goes_on():
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, request: bytes, callers: int, seconds: float) -> tuple[float, Counter]:
    """Return the answers per second, and how often each body was the answer."""
    ends = time.monotonic() + seconds
    return await _called(port, request, callers, lambda: time.monotonic() < ends, seconds + 30)


async def posts(port: int, request: bytes, callers: int, count: int) -> Counter[bytes]:
    """Send so many requests; return how often each body was the answer."""
    left = iter(range(count))
    _, answers = await _called(
        port, request, callers, lambda: next(left, None) is not None, 30 + count / 20
    )
    return answers


async def _called(
    port: int, request: bytes, callers: int, goes_on: Callable[[], bool], seconds: float
) -> tuple[float, Counter[bytes]]:
    loop = asyncio.get_running_loop()
    answers: Counter[bytes] = Counter()
    started = time.monotonic()
    protocols = [
        (
            await loop.create_connection(
                lambda: _Caller(request, goes_on, answers), "127.0.0.1", port
            )
        )[1]
        for _ in range(callers)
    ]
    await asyncio.wait_for(asyncio.gather(*(one.done for one in protocols)), seconds)
    return sum(answers.values()) / (time.monotonic() - started), answers


def post(path: str, body: bytes, **headers: str) -> bytes:
    """Return the bytes of a JSON post."""
    lines = [f"POST {path} HTTP/1.1", "Host: relay", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends one request at a time; `answered` resolves with its answer's body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def send(self, request: bytes) -> asyncio.Future[bytes]:
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._received += data
        body = _body(self._received)
        if body is not None:
            self._received = b""
            self._answered.set_result(body)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(error or ConnectionError("closed"))


async def paced(port: int, request: bytes, rate: float, seconds: float) -> tuple[list[float], set]:
    """Send a request at fixed times, `rate` a second, whatever the answers take.

    Return the seconds from when each was due to its answer, and the different answers' bodies.
    """
    loop = asyncio.get_running_loop()
    free: list[_Connection] = []
    latencies: list[float] = []
    bodies: set[bytes] = set()

    async def one(due: float) -> None:
        connection = (
            free.pop()
            if free
            else (await loop.create_connection(_Connection, "127.0.0.1", port))[1]
        )
        bodies.add(await connection.send(request))
        latencies.append(loop.time() - due)
        free.append(connection)

    started = loop.time()
    tasks = []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(due - loop.time())
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.wait_for(asyncio.gather(*tasks), seconds + 30)
    return latencies, bodies
