"""A provider that speaks Postmark's sending API over real HTTP, and fails when it is told to."""

import asyncio
import json
import uuid
from typing import Any

from tornado.web import Application, RequestHandler


class FakePostmark:
    """Takes messages; `answers` are what the next calls get, in order, then all succeed.

    An answer is a pair of a status and a body (a dict or bytes), with a dict of headers behind them
    where they matter, or a word: "reset" closes the
    connection after the request was read, "hang" answers nothing until `release`, "drip" sends an
    answer byte by byte, "close" sends it in two packets and ends the connection.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[tuple[Any, ...] | str] = []
        self.calls: list[dict[str, Any]] = []
        self.hung = asyncio.Semaphore(0)
        self.released = asyncio.Event()
        self.app = Application(
            [(r"/(email|email/withTemplate)", _Send, {"fake": self})],
            log_function=lambda handler: None,
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The bodies of all calls, in order."""
        return [call["body"] for call in self.calls]

    async def hanging(self, count: int = 1) -> None:
        """Wait until this many more calls hang."""
        for _ in range(count):
            await self.hung.acquire()

    def release(self) -> None:
        self.released.set()


class _Send(RequestHandler):
    def initialize(self, fake: FakePostmark) -> None:
        self.fake = fake

    async def post(self, path: str) -> None:
        body = json.loads(self.request.body)
        self.fake.calls.append({"path": f"/{path}", "headers": self.request.headers, "body": body})
        answer = self.fake.answers.pop(0) if self.fake.answers else (200, _success(body))
        if isinstance(answer, str):
            await getattr(self, f"_{answer}")()
            return
        status, content, *headers = answer
        self.set_status(status)
        for name, value in headers[0].items() if headers else ():
            self.set_header(name, value)
        if isinstance(content, dict):
            self.set_header("Content-Type", "application/json; charset=utf-8")
            content = json.dumps(content)
        self.finish(content)

    async def _reset(self) -> None:
        self.request.connection.stream.close()

    async def _hang(self) -> None:
        self.fake.hung.release()
        await self.fake.released.wait()
        self.request.connection.stream.close()

    async def _close(self) -> None:
        stream = self.request.connection.detach()
        await stream.write(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n")
        # The body in a packet of its own, after the client has read the headers.
        await asyncio.sleep(0.05)
        await stream.write(b'{"ErrorCode": 0, "MessageID": "late", "Message": "OK"}')
        stream.close()

    async def _drip(self) -> None:
        stream = self.request.connection.detach()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Padding: " + b"x" * 10_000
        for byte in head:
            if stream.closed():
                return
            try:
                await stream.write(bytes([byte]))
                await asyncio.wait_for(self.fake.released.wait(), 0.05)
            except TimeoutError:
                continue
            except OSError:
                return
        stream.close()


def _success(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "To": body.get("To", ""),
        "SubmittedAt": "2026-11-21T07:25:01.4178645-05:00",
        "MessageID": str(uuid.uuid4()),
        "ErrorCode": 0,
        "Message": "OK",
    }


def error(code: int, message: str) -> dict[str, Any]:
    """Postmark's error envelope."""
    return {"ErrorCode": code, "Message": message}
