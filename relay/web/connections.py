"""Responses that come before the body has: their sender can read them, and call again.

Tornado closes a connection whose response is there before the body. A client that still writes it
never sees that response, or sends its next call into the closing connection and loses it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast
from weakref import WeakSet

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application

from relay.core.capacity import Turns

# Who sends more than this waits for its turn, with each piece of it.
AT_ONCE_BYTES = 16 * 1024

# As long, at least, counts the call after a refused one: who is refused again and again, at a limit
# for example, leaves the loop to the others.
REFUSED_SECONDS = 0.001

# So much of a body a response waits for, and so long; then the connection can be used again.
AWAITED_BYTES = 2**20
AWAITED_SECONDS = 2

# Else it says `Connection: close`, and what still comes is thrown away: so much, for so long. To
# close at once would reset the connection, and with it a response that was not read yet.
DISCARDED_BYTES = 64 * 2**20
DISCARDED_SECONDS = 30


class PatientApplication(Application):
    """A web application whose handlers may respond before the body has come.

    Each of them is a `stream_request_body` and bounds what it keeps of a body.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._refused: WeakSet[object] = WeakSet()  # connections whose last call was

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        tornado = cast(HTTP1Connection, request_conn)
        # Tornado would answer a larger one itself, without a word and in the middle of ours.
        tornado.set_max_body_size(sys.maxsize)
        was_refused = server_conn in self._refused
        self._refused.discard(server_conn)
        connection = PatientConnection(tornado, lambda: self._refused.add(server_conn))
        handler = super().start_request(server_conn, connection)
        turns = self.settings["site"].turns
        return _Request(handler, connection, turns, was_refused=was_refused)


class PatientConnection(HTTPConnection):
    """Where a handler writes its response: passed on when the body has come to its end.

    The response to a body that is larger, or slower, than is waited for is passed on before that,
    as the last one of its connection. refused: called where the response is a refusal.
    """

    def __init__(self, connection: HTTP1Connection, refused: Callable[[], None]) -> None:
        self.context = connection.context
        self.is_finished = False
        self._connection = connection
        self._refused = refused
        self._request_headers = self._response_headers = HTTPHeaders()
        self._declared = self._received = 0
        self._has_ended = self._is_last = False
        self._held: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None

    # What a handler calls.

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        self._response_headers = headers
        if cast(ResponseStartLine, start_line).code >= 400:
            self._refused()
        future = self._pass(partial(self._connection.write_headers, start_line, headers, chunk))
        if not self._has_ended:
            self._allow(AWAITED_SECONDS, self._respond_now)
            self._look(self._declared)
        return future

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        return self._pass(partial(self._connection.write, chunk))

    def finish(self) -> None:
        self.is_finished = True
        if self._has_ended:
            self._connection.finish()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._connection.set_close_callback(callback)

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._connection.close()

    # What comes of the request.

    def begin(self, headers: HTTPHeaders) -> None:
        """Take note of the headers."""
        self._request_headers = headers
        self._declared = declared_size(headers)

    def receive(self, size: int) -> None:
        """Take note of a piece of the body."""
        self._received += size
        if self._is_last and self._received > DISCARDED_BYTES:
            self.close()
        self._look(self._received)

    def end(self) -> None:
        """Take note of the body's end."""
        self._has_ended = True
        self.forget()
        self._release()
        if self.is_finished:
            self._connection.finish()
        if self._is_last:
            self.close()

    def forget(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self, write: Callable[[], "asyncio.Future[None]"]) -> "asyncio.Future[None]":
        if self._has_ended or self._is_last:
            return write()
        self._held.append(write)
        return asyncio.get_running_loop().create_future()

    def _look(self, size: int) -> None:
        """Wait no longer with a response if a body is too large for that."""
        if self._held and size > AWAITED_BYTES:
            self._respond_now()

    def _respond_now(self) -> None:
        self._is_last = True
        self._response_headers["Connection"] = "close"
        # Tornado looks at these yet: HTTP/1.0 gets no Keep-Alive, and nobody is asked to go on.
        self._request_headers["Connection"] = "close"
        self._request_headers.pop("Expect", None)
        self._release()
        self._allow(DISCARDED_SECONDS, self.close)

    def _release(self) -> None:
        for write in self._held:
            write()
        self._held.clear()

    def _allow(self, seconds: float, then: Callable[[], None]) -> None:
        self.forget()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)


class _Request(HTTPMessageDelegate):
    """What comes of a request, for the connection and for the handler until it has responded."""

    def __init__(
        self,
        handler: HTTPMessageDelegate,
        connection: PatientConnection,
        turns: Turns,
        *,
        was_refused: bool,
    ) -> None:
        self._handler = handler
        self._connection = connection
        self._turns = turns
        self._was_refused = was_refused
        self._is_large = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._connection.begin(headers)
        self._is_large = declared_size(headers) > AT_ONCE_BYTES or "Transfer-Encoding" in headers
        if self._is_large or self._was_refused:
            return self._begin_in_turn(start_line, headers)
        return self._handler.headers_received(start_line, headers)

    async def _begin_in_turn(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        async with self._turns.turn(REFUSED_SECONDS if self._was_refused else 0):
            ready = self._handler.headers_received(start_line, headers)
            if ready is not None:
                await ready

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._is_large:
            return self._take_in_turn(chunk)
        self._take(chunk)
        return None

    async def _take_in_turn(self, chunk: bytes) -> None:
        async with self._turns.turn():
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        self._connection.receive(len(chunk))
        if not self._connection.is_finished:
            self._handler.data_received(chunk)

    def finish(self) -> None:
        self._connection.end()
        if self._connection.is_finished:
            self._handler.on_connection_close()  # it waits for no body any more
        else:
            self._handler.finish()

    def on_connection_close(self) -> None:
        self._connection.forget()
        self._handler.on_connection_close()


def declared_size(headers: Mapping[str, str]) -> int:
    """Return how large the body is to be, where the request says so; else 0."""
    if "Content-Length" not in headers:
        return 0
    length = headers["Content-Length"]
    return int(length) if length.isascii() and length.isdecimal() else 0
