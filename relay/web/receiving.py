"""Receiving a request's body: of bounded size, in bounded time."""

from tornado.http1connection import HTTP1Connection
from tornado.web import RequestHandler, stream_request_body

from relay.core.errors import BodyTooLarge
from relay.core.timers import Timer
from relay.site import Site

# A body over the limit is read to its end up to this size, so that its sender can read the 413;
# beyond it the connection is closed.
DRAIN_BYTES = 16 * 2**20


@stream_request_body
class ReceivingHandler(RequestHandler):
    """Collects a body that comes in chunks; `site` is all that a handler knows of the program."""

    site: Site

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._slow: Timer | None = None

    @property
    def max_bytes(self) -> int:
        """How large a body may be."""
        return self.site.settings.limits.form_bytes

    @property
    def declared_size(self) -> int:
        """How large the body is to be, where the request says so; else 0."""
        length = self.request.headers.get("Content-Length", "0")
        return int(length) if length.isascii() and length.isdecimal() else 0

    @property
    def awaits_body(self) -> bool:
        """Whether the body has not come to its end."""
        return self._slow is not None

    def expect_body(self, seconds: float) -> None:
        """Allow the body this long to arrive; raise BodyTooLarge if it need not come at all."""
        if self.declared_size > self._drain_bytes:
            raise BodyTooLarge
        self._slow = self.site.timeouts.start(seconds, self._give_up)

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self.max_bytes:
            self._chunks.append(chunk)
        elif self._size > self._drain_bytes and not self._finished:
            self.send_error(413, exc_info=(BodyTooLarge, BodyTooLarge(), None))

    def raw_body(self) -> bytes:
        """Return the whole body, once: it is not kept; raise BodyTooLarge."""
        self.end_body()
        if self._size > self.max_bytes:
            raise BodyTooLarge
        body = b"".join(self._chunks)
        self._chunks.clear()
        return body

    def end_body(self) -> None:
        """Wait for no more of it."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    @property
    def _drain_bytes(self) -> int:
        return max(DRAIN_BYTES, self.max_bytes)

    def _give_up(self) -> None:
        """Close a connection whose body does not come to its end."""
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.stream.close()
