"""Responses that come before the body has: their sender can read them, and call again.

Tornado closes a connection whose response is there before the body. A client that still writes it
never sees that response, or sends its next call into the closing connection and loses it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application, RequestHandler

from relay.core.capacity import Turns
from relay.web.deadlines import Deadlines

# Who sends more than this waits for its turn, with each piece of it.
AT_ONCE_BYTES = 16 * 1024

# As long, at least, counts the call after a refused one: who is refused again and again, at a limit
# for example, leaves the loop to the others.
REFUSED_SECONDS = 0.001

# How long a connection may be open and say nothing, and how long the head of a request may take.
HEAD_SECONDS = 10

# What the requests of a connection share says so where the last one was refused.
REFUSED = "was_refused"

# Of a number of bytes.
MOST_DIGITS = 19

# So much of a body a response waits for, and so long; then the connection can be used again.
AWAITED_BYTES = 2**20
AWAITED_SECONDS = 2

# Else it says `Connection: close`, and what still comes is thrown away: so much, for so long. To
# close at once would reset the connection, and with it a response that was not read yet.
DISCARDED_BYTES = 64 * 2**20
DISCARDED_SECONDS = 30


class PatientApplication(Application):
    """A web application whose handlers may respond before the body has come.

    Each of them is a `stream_request_body` and bounds what it keeps of a body. heads, bodies: what
    is waited for.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.heads: Deadlines[HTTP1ServerConnection] = Deadlines(lambda one: one.stream.close())
        self.bodies: Deadlines[_Request] = Deadlines(lambda one: one.begin(0))
        self.turns: Turns = self.settings["site"].turns

    def start_request(  # type: ignore[override]
        self, server_conn: HTTP1ServerConnection, request_conn: HTTP1Connection
    ) -> HTTPMessageDelegate:
        self.heads.add(server_conn, HEAD_SECONDS)
        return _Request(
            self, server_conn, request_conn, partial(super().start_request, server_conn)
        )

    def find_handler(  # type: ignore[override]
        self, request: HTTPServerRequest, **kwargs: Any
    ) -> HTTPMessageDelegate:
        """Find it by the path alone: no route is of one host."""
        found = self.wildcard_router.find_handler(request, **kwargs)
        return found or super().find_handler(request, **kwargs)

    def log_request(self, handler: RequestHandler) -> None:
        """Write no line: refusals and failures have their own, and addresses may be searches."""


class PatientConnection(HTTPConnection):
    """Where a handler writes its response while the body comes: passed on at its end.

    The response to a body that is larger, or slower, than is waited for is passed on before that,
    as the last one of its connection. patience: how long it is waited for.
    """

    def __init__(
        self, connection: HTTP1Connection, request_headers: HTTPHeaders, patience: float
    ) -> None:
        self.context = connection.context
        self.is_finished = self.has_ended = False
        self._connection = connection
        self._patience = patience
        self._request_headers = request_headers
        self._response_headers = HTTPHeaders()
        self._declared, self._received = declared_size(request_headers), 0
        self._is_last = False
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
        future = self._pass(partial(self._connection.write_headers, start_line, headers, chunk))
        if not self.has_ended:
            self._allow(self._patience, self._respond_now)
            self._look(self._declared)
        return future

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        return self._pass(partial(self._connection.write, chunk))

    def finish(self) -> None:
        self.is_finished = True
        if self.has_ended:
            self._connection.finish()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._connection.set_close_callback(callback)

    def allow_body(self, seconds: float) -> None:
        """Close the connection if the body takes longer to come to its end."""
        self._allow(seconds, self.close)

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._connection.close()

    # What comes of the request.

    def receive(self, size: int) -> None:
        """Take note of a piece of the body."""
        self._received += size
        if self._is_last and self._received > DISCARDED_BYTES:
            self.close()
        self._look(self._received)

    def end(self) -> None:
        """Take note of the body's end."""
        self.has_ended = True
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
        if self.has_ended or self._is_last:
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
    """What comes of a request: for its handler as a whole where a small body soon has come.

    Else piece by piece, until the handler has responded. make: makes the handler.
    """

    def __init__(
        self,
        application: PatientApplication,
        server_conn: HTTP1ServerConnection,
        request_conn: HTTP1Connection,
        make: Callable[[HTTPConnection], HTTPMessageDelegate],
    ) -> None:
        self._application = application
        self._server_conn = server_conn
        self._tornado = request_conn
        self._make = make
        self._come = b""
        self._is_large = False
        self._connection: PatientConnection | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._application.heads.discard(self._server_conn)
        self._start_line, self._headers = start_line, headers
        was_refused = vars(self._tornado.context).pop(REFUSED, False)
        size = declared_size(headers, AT_ONCE_BYTES + 1)
        self._is_large = size > AT_ONCE_BYTES or "Transfer-Encoding" in headers
        if self._is_large or was_refused:
            return self._begin_in_turn(REFUSED_SECONDS if was_refused else 0)
        self._application.bodies.add(self, AWAITED_SECONDS)
        return None

    async def _begin_in_turn(self, least: float) -> None:
        async with self._application.turns.turn(least):
            ready = self.begin(AWAITED_SECONDS)
            if ready is not None:
                await ready

    def begin(self, patience: float) -> Awaitable[None] | None:
        """Let the handler judge the request before its body has come."""
        self._connection = PatientConnection(self._tornado, self._headers, patience)
        return self._begin(self._connection)

    def _begin(self, connection: HTTPConnection) -> Awaitable[None] | None:
        self._handler = self._make(connection)
        ready = self._handler.headers_received(self._start_line, self._headers)
        if self._come:
            self._take(self._come)
            self._come = b""
        return ready

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._connection is None:
            self._come += chunk
        elif self._is_large:
            return self._take_in_turn(chunk)
        else:
            self._take(chunk)
        return None

    async def _take_in_turn(self, chunk: bytes) -> None:
        async with self._application.turns.turn():
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        if self._connection is not None:
            self._connection.receive(len(chunk))
            if self._connection.is_finished:
                return
        self._handler.data_received(chunk)

    def finish(self) -> None:
        if self._connection is None:
            self._application.bodies.discard(self)
            self._begin(self._tornado)
        else:
            self._connection.end()
            if self._connection.is_finished:
                self._handler.on_connection_close()  # it waits for no body any more
                return
        self._handler.finish()

    def on_connection_close(self) -> None:
        self._application.bodies.discard(self)
        if self._connection is not None:
            self._connection.forget()
            self._handler.on_connection_close()


def note_refusal(connection: HTTPConnection | None) -> None:
    """Take note that a call was refused: the next one on its connection counts as longer."""
    vars(cast(HTTP1Connection, connection).context)[REFUSED] = True


def declared_size(headers: Mapping[str, str], unreadable: int = 0) -> int:
    """Return how large the body is to be, where the request says so; else 0.

    unreadable: what is returned where it says that in another way than as a number.
    """
    if "Content-Length" not in headers:
        return 0
    length = headers["Content-Length"]
    if not (length.isascii() and length.isdecimal()):
        return unreadable
    # Python reads no number of thousands of digits; any of nineteen is far too large.
    return int(length) if len(length) < MOST_DIGITS else sys.maxsize
