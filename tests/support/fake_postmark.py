"""A provider that speaks Postmark's sending API over real HTTP, and fails when it is told to."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tornado.web import Application, RequestHandler

MAX_BATCH = 500

Answer = tuple[Any, ...] | str


class Taken(NamedTuple):
    """An answer that is given after the messages were taken all the same: `Taken("reset")`."""

    answer: Answer


@dataclass
class Accepted:
    """A message that was taken, when, and how many searches have asked for it."""

    id: str
    body: dict[str, Any]
    at: float
    searches: int = 0

    @property
    def label(self) -> str:
        """The sender's own id, of its Metadata."""
        labels = self.body.get("Metadata") or {}
        return next((value for name, value in labels.items() if name.startswith("relay-")), "")


class FakePostmark:
    """Takes messages; `answers` are what the next calls get, in order, then all succeed.

    An answer is a pair of a status and a body (a dict, a list or bytes), with a dict of headers
    behind them where they matter, or a word: "reset" closes the
    connection after the request was read, "hang" answers nothing until `release`, "drip" sends an
    answer byte by byte, "close" sends it in two packets and ends the connection. Such calls take
    no message, unless their answer is wrapped in `Taken`.

    `faults` are errors by recipient (the whole To): a message to it is refused, alone or as an
    item of its batch. `poison` are pairs of a status and a body by recipient: every call with a
    message to it is refused as a whole.

    `accepted` is the log of what was taken, whatever was answered. A search shows a message after
    `lag_searches` others that asked for it, and `lag_seconds` after it was taken by `clock`.
    `search_answers` are what the next searches get, as `answers`; `down` is what all of them get.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.url = ""
        self.answers: list[Answer | Taken] = []
        self.calls: list[dict[str, Any]] = []
        self.faults: dict[str, dict[str, Any]] = {}
        self.poison: dict[str, Answer] = {}
        self.accepted: list[Accepted] = []
        self.searches: list[dict[str, str]] = []
        self.search_answers: list[Answer] = []
        self.down: Answer | None = None
        self.lag_searches = 0
        self.lag_seconds = 0.0
        self.default_stream_only = False
        self.clock = clock
        self.hung = asyncio.Semaphore(0)
        self.released = asyncio.Event()
        self.app = Application(
            [
                (r"/(email|email/withTemplate)", _Send, {"fake": self}),
                (r"/(email/batch|email/batchWithTemplates)", _SendMany, {"fake": self}),
                (r"/(messages/outbound)", _Search, {"fake": self}),
            ],
            log_function=lambda handler: None,
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of all calls, in order, taken or not."""
        return [message for call in self.calls for message in _messages(call["body"])]

    @property
    def labels(self) -> list[str]:
        """The sender's own ids of what was taken, in order: one that stands twice went twice."""
        return [one.label for one in self.accepted]

    async def hanging(self, count: int = 1) -> None:
        """Wait until this many more calls hang."""
        for _ in range(count):
            await self.hung.acquire()

    def release(self) -> None:
        self.released.set()

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a message or refuse it; give its answer."""
        if message.get("To") in self.faults:
            return self.faults[message["To"]]
        for field in ("From", "To", "Cc", "Bcc", "ReplyTo"):
            if _has_open_quote(message.get(field, "")):
                return error(300, f"Error parsing '{field}': Unclosed quoted string.")
        self.accepted.append(Accepted(str(uuid.uuid4()), message, self.clock()))
        return _success(message, self.accepted[-1].id)

    def found(self, query: dict[str, str]) -> list[Accepted]:
        """Search for what was taken, as far as the index shows it by now."""
        labels = {
            name.removeprefix("metadata_"): value
            for name, value in query.items()
            if name.startswith("metadata_")
        }
        asked = [one for one in self.accepted if labels.items() <= _labels(one.body).items()]
        shown = [one for one in asked if self._is_shown(one, query.get("messagestream"))]
        for one in asked:
            one.searches += 1
        return shown

    def _is_shown(self, one: Accepted, stream: str | None) -> bool:
        if stream is None and self.default_stream_only:
            stream = "outbound"
        return (
            one.searches >= self.lag_searches
            and self.clock() - one.at >= self.lag_seconds
            and stream in (None, one.body.get("MessageStream", "outbound"))
        )


class _Handler(RequestHandler):
    def initialize(self, fake: FakePostmark) -> None:
        self.fake = fake

    async def give(self, answer: Answer) -> None:
        if isinstance(answer, str):
            await getattr(self, f"_{answer}")()
            return
        status, content, *headers = answer
        self.set_status(status)
        for name, value in headers[0].items() if headers else ():
            self.set_header(name, value)
        if isinstance(content, dict | list):
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


class _Send(_Handler):
    async def post(self, path: str) -> None:
        body = json.loads(self.request.body)
        self.fake.calls.append({"path": f"/{path}", "headers": self.request.headers, "body": body})
        await self.give(self._answer(body))

    def _answer(self, body: Any) -> Answer:
        messages = _messages(body)
        if self.fake.answers:
            answer = self.fake.answers.pop(0)
            if isinstance(answer, Taken):
                self._take(messages)
                return answer.answer
            return answer
        for message in messages:
            if message.get("To") in self.fake.poison:
                return self.fake.poison[message["To"]]
        return self._take(messages)

    def _take(self, messages: Sequence[dict[str, Any]]) -> Answer:
        answer = self.fake.take(messages[0])
        return (422 if answer.get("ErrorCode") else 200), answer


class _SendMany(_Send):
    def _take(self, messages: Sequence[dict[str, Any]]) -> Answer:
        if len(messages) > MAX_BATCH:
            return 422, error(410, "You may only send up to 500 messages in a single call.")
        return 200, [self.fake.take(message) for message in messages]


class _Search(_Handler):
    async def get(self, path: str) -> None:
        query = {name: values[-1].decode() for name, values in self.request.arguments.items()}
        self.fake.searches.append(query)
        if self.fake.search_answers:
            await self.give(self.fake.search_answers.pop(0))
        elif self.fake.down is not None:
            await self.give(self.fake.down)
        elif not {"count", "offset"} <= query.keys():
            await self.give((422, error(700, "'count' and 'offset' must be given.")))
        else:
            found = self.fake.found(query)
            shown = [_listed(one) for one in found][: int(query["count"])]
            await self.give((200, {"TotalCount": len(found), "Messages": shown}))


def _has_open_quote(addresses: str) -> bool:
    """Read quotes as Postmark does: a backslash hides the one behind it, whatever stands before."""
    return addresses.replace('\\"', "").count('"') % 2 == 1


def _messages(body: Any) -> list[dict[str, Any]]:
    if isinstance(body, dict):
        messages: list[dict[str, Any]] = body.get("Messages", [body])
        return messages
    return list(body)


def _labels(body: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in (body.get("Metadata") or {}).items()}


def _listed(one: Accepted) -> dict[str, Any]:
    return {
        "MessageID": one.id,
        "MessageStream": one.body.get("MessageStream", "outbound"),
        "Subject": one.body.get("Subject", ""),
        "Status": "Sent",
        "Metadata": one.body.get("Metadata") or {},
    }


def _success(body: dict[str, Any], id: str) -> dict[str, Any]:
    return {
        "To": body.get("To", ""),
        "SubmittedAt": "2026-11-21T07:25:01.4178645-05:00",
        "MessageID": id,
        "ErrorCode": 0,
        "Message": "OK",
    }


def error(code: int, message: str) -> dict[str, Any]:
    """Postmark's error envelope."""
    return {"ErrorCode": code, "Message": message}
