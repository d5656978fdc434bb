"""The one base of all handlers: receiving a body, the order of refusals, errors and their lines."""

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache, partial
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, TypeVar

import structlog
from tornado.httputil import HTTPHeaders, format_timestamp
from tornado.web import HTTPError, RequestHandler, stream_request_body

from relay.core import clock
from relay.core.errors import (
    BodyTooLarge,
    InvalidSubmission,
    SubmissionError,
    SubmissionKept,
    Unavailable,
    UnsupportedMedia,
)
from relay.core.ids import request_id
from relay.core.immutable import freeze
from relay.core.logs import trace
from relay.core.rate_limit import Caller
from relay.core.submission import Submission
from relay.site import Site
from relay.web import bodies, cors, responses
from relay.web.client_address import caller
from relay.web.connections import PatientConnection, declared_size, note_refusal
from relay.web.json_structure import JsonStructure, most_values
from relay.web.responses import UnknownPath, WrongMethod

# How long a body may take to arrive. The server's own body_timeout costs a tenth of a request.
BODY_SECONDS = 30

# When to come again: while the daemon stops, the disk is full, the outbox is full, the store is
# slow; and after how long it counts as slow.
STOPPING_RETRY_AFTER_SECONDS = 30
SPACE_RETRY_AFTER_SECONDS = 60
FULL_RETRY_AFTER_SECONDS = 120
SLOW_RETRY_AFTER_SECONDS = 5
SLOW_SECONDS = 2.0

# Larger bodies than most forms are read one in a turn of the loop; much larger ones in a thread.
READ_AT_ONCE_BYTES = 16 * 1024
READ_AT_ONCE_VALUES = 400
READ_ON_LOOP_BYTES = 256 * 1024

HTML = "text/html; charset=UTF-8"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# What a log line may show of an address that was refused.
_DOMAIN = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", re.IGNORECASE | re.ASCII)

T = TypeVar("T")

log = structlog.get_logger()


class BaseHandler(RequestHandler):
    """What all handlers share; a kind of them declares how it differs.

    methods: those that it takes. fixed_headers: those of every response. failed: the log event of
    an error that is no refusal. What has a body in chunks is a `stream_request_body` besides.
    """

    methods: ClassVar[tuple[str, ...]] = ("GET",)
    fixed_headers: ClassVar[Mapping[str, str]] = MappingProxyType(SECURITY_HEADERS)
    failed: ClassVar[str] = "request.failed"

    site: Site

    def initialize(self) -> None:
        self.site = self.application.settings["site"]
        # What the settings say when it comes; a reload meanwhile is for others.
        self.configuration = self.site.configuration
        # A method that no HTTP has is refused before the path is read.
        self.path_args = []
        self.content_type = self.request.headers.get("Content-Type", "")
        self._is_entered = False
        self._chunks: list[bytes] = []
        self._size = self._held_bytes = 0
        self._structure: JsonStructure | None = None

    def clear(self) -> None:
        """Begin a response, as Tornado would: its headers at once, and none that names a server."""
        date = _date(int(time.time()))
        self._headers = HTTPHeaders({"Content-Type": HTML, "Date": date, **self.fixed_headers})
        self._write_buffer = []
        self.set_status(200)

    # What is refused before the body is read, in the order in which it is.

    def prepare(self) -> None:
        self.enter()
        self.check_page()
        self.decorate()
        if self.request.method not in self.methods:
            raise WrongMethod
        if self.request.method == "OPTIONS":
            return
        self.judge()

    def judge(self) -> None:
        """Raise what a request is refused for before its body is read."""
        self.admit()
        self.authenticate()
        self.check_media()
        self.limit()
        self.expect_body()

    def enter(self) -> None:
        """Take note of the request, before anything of it is judged."""
        self._is_entered = True

    def check_page(self) -> None:
        """Raise for a page that may not ask; UnknownPath where there is nothing."""

    def decorate(self) -> None:
        """Set the headers that errors carry too."""

    def admit(self) -> None:
        """Raise Unavailable while nothing can be taken in."""

    def authenticate(self) -> None:
        """Raise AuthenticationFailed for a caller who must bring a token and has none."""

    def check_media(self) -> None:
        """Raise UnsupportedMedia for a body that says to be what is not read here."""

    def limit(self) -> None:
        """Raise TooManyRequests for a caller that is over its limit."""

    # The body: of bounded size, in bounded time.

    @property
    def max_bytes(self) -> int:
        """How large a body may be."""
        return self.configuration.settings.limits.form_bytes

    @property
    def on_loop_bytes(self) -> int:
        """How large a body may be that is read on the loop, in its turn, and not in a thread."""
        return READ_ON_LOOP_BYTES

    @property
    def max_structure(self) -> int:
        """How many names and values a body of JSON may have."""
        return bodies.MAX_STRUCTURE

    @property
    def body_seconds(self) -> float:
        """How long a body may take to arrive."""
        return BODY_SECONDS

    @property
    def declared_size(self) -> int:
        """How large the body is to be, where the request says so; else 0."""
        return declared_size(self.request.headers)

    def expect_body(self) -> None:
        """Allow the body its time to arrive; raise BodyTooLarge if it need not come at all."""
        if isinstance(self.request.connection, PatientConnection):  # it has not come yet
            self.check_size()
            if bodies.media_of(self.content_type) == bodies.JSON:
                self._structure = JsonStructure(self.max_structure)
            self.request.connection.allow_body(self.body_seconds)
        if self._size:
            self._check(b"".join(self._chunks))

    def check_size(self) -> None:
        """Raise `over_limit` for a body that says of itself that it is."""
        if self.declared_size > self.max_bytes:
            raise self.over_limit

    @property
    def over_limit(self) -> Exception:
        """What a body of more than `max_bytes` is refused with."""
        return BodyTooLarge()

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body; the first one may come before the request is judged."""
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._is_entered:
            self._check(chunk)

    def _check(self, chunk: bytes) -> None:
        """Refuse a body for what came of it at last."""
        try:
            if self._size > self.max_bytes:
                raise self.over_limit
            if self._structure is not None:
                self._structure.add(chunk)
            if self._size > READ_AT_ONCE_BYTES:
                limits = self.configuration.settings.limits
                self.site.bytes_at_once.take(len(chunk), self._held_bytes, limits.bytes_at_once)
                self._held_bytes += len(chunk)
        except SubmissionError as error:
            self._refuse_now(error)

    def _refuse_now(self, error: Exception) -> None:
        """Refuse a request while its body comes: nothing of that is kept."""
        self._chunks.clear()
        self.log_exception(type(error), error, None)
        self.send_error(exc_info=(type(error), error, None))

    def raw_body(self) -> bytes:
        """Return the whole body, once: it is not kept."""
        body = b"".join(self._chunks)
        self._chunks.clear()
        return body

    async def body(self) -> bodies.Body:
        """Parse the request's body; raise what bodies.parse raises."""
        return await self.aside(partial(bodies.parse, self.content_type), self.raw_body())

    async def aside(self, function: Callable[[bytes], T], body: bytes) -> T:
        """Call a function that reads a body: where there is much to read, in a turn or a thread."""
        if len(body) <= READ_AT_ONCE_BYTES and most_values(body) <= READ_AT_ONCE_VALUES:
            return function(body)
        if len(body) > self.on_loop_bytes:
            async with self.site.large_body:
                return await asyncio.to_thread(function, body)
        async with self.site.turns.turn():
            return function(body)

    def on_finish(self) -> None:
        if self.get_status() >= 400:
            note_refusal(self.request.connection)
        self.leave()

    def on_connection_close(self) -> None:
        """Let a request end whose client left before its body had come: nothing runs."""
        super().on_connection_close()
        connection = self.request.connection
        if isinstance(connection, PatientConnection) and not connection.has_ended:
            self.leave()

    def leave(self) -> None:
        """Take note that the request ended; may come twice."""
        if self._held_bytes:
            self.site.bytes_at_once.give_back(self._held_bytes)
            self._held_bytes = 0

    # Errors: each kind of handlers has its table, its body and its lines.

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1] or HTTPError(status_code)
        self.set_status(self.facts(error)["status"])
        self.decorate()
        if self.get_status() == 405:
            self.set_header("Allow", ", ".join(self.methods))
        if (retry_after := getattr(error, "retry_after", None)) is not None:
            self.set_header("Retry-After", str(retry_after))
        self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Write the body that answers an error."""
        self.finish(responses.failure(error))

    def facts(self, error: BaseException) -> dict[str, Any]:
        """Return the `status` that answers an error, and what else its line says beside it."""
        return {"status": responses.status(error)}

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a refusal as one line, anything unexpected by its type and place."""
        if value is None:
            return
        known = {"path": self.logged_path, **self.facts(value)}
        if known["status"] == 500:
            log.error(self.failed, **known, **trace(_fault(value)))
        else:
            self.log_refusal(value, known)
        self.site.metrics.refused(value, known["status"])
        self.count_error(value)

    @property
    def logged_path(self) -> str:
        """The path as log lines have it: without what is secret in it."""
        return self.request.path[:100]

    def count_error(self, error: BaseException) -> None:
        """Count a refusal or failure of which the operator may be told."""

    def log_refusal(self, error: BaseException, known: dict[str, Any]) -> None:
        """Log what was refused; known: the path and the error's facts."""
        if not isinstance(error, SubmissionError):
            log.info("request.refused", **known)
            return
        if isinstance(error, InvalidSubmission):
            known["fields"] = [name[:50] for name in error.fields][:10]
        if origin := cors.named_origin(self.request.headers):
            known["origin"] = origin
        known |= who(error)
        log.info("submission.refused", reason=error.reason, client=self.caller.address, **known)

    @cached_property
    def caller(self) -> Caller:
        """The client, as the trusted proxies name it."""
        return caller(self.request, self.configuration.settings.trusted_proxies)


@stream_request_body
class RelayHandler(BaseHandler):
    """What strangers may call: counted, named, from listed pages, while there is room.

    media: the only type of body that is read, where the parser does not decide.
    """

    methods: ClassVar[tuple[str, ...]] = ("POST", "OPTIONS")
    fixed_headers = MappingProxyType({**SECURITY_HEADERS, "Vary": "Origin"})
    media: ClassVar[str | None] = None

    def initialize(self) -> None:
        super().initialize()
        self.request_id = request_id()
        self.started_at = clock.now()
        self.page: str | None = None
        self._counted = False

    def enter(self) -> None:
        """Count the request as running, and name it in its log lines."""
        super().enter()
        structlog.contextvars.bind_contextvars(request=self.request_id)
        self.site.requests.begin()
        self._counted = True

    def leave(self) -> None:
        super().leave()
        if self._counted:
            self._counted = False
            self.site.requests.end()

    def check_page(self) -> None:
        self.page = cors.allowed_origin(self.request.headers, self.origins(), self._own_origins)

    def origins(self) -> Collection[str]:
        """Return the origins whose pages may call this handler; may raise UnknownServer."""
        return ()

    def _own_origins(self) -> set[str]:
        seen = None if self.configuration.settings.public_url else self.caller.origin
        return self.site.own_origins | ({seen} if seen else set())

    def decorate(self) -> None:
        self._headers["X-Request-Id"] = self.request_id
        if self.page is not None:
            for name, value in cors.response_headers(self.page).items():
                self.set_header(name, value)

    def admit(self) -> None:
        if self.site.stopping:
            raise Unavailable(STOPPING_RETRY_AFTER_SECONDS, reason="stopping")

    def check_media(self) -> None:
        if self.media is not None and bodies.media_of(self.content_type) != self.media:
            raise UnsupportedMedia
        headers = self.request.headers
        if "Content-Encoding" in headers and headers["Content-Encoding"].lower() != "identity":
            raise UnsupportedMedia(None if self.media else "content encoding is not read here")

    def check_room(self) -> None:
        """Raise Unavailable while nothing new can be stored."""
        if self.site.space.is_low:
            raise Unavailable(SPACE_RETRY_AFTER_SECONDS, reason="disk_full")
        if self.site.store.stalled > SLOW_SECONDS:
            raise Unavailable(SLOW_RETRY_AFTER_SECONDS, reason="store_slow")

    def check_outbox(self) -> None:
        """Raise Unavailable while as many messages wait as may."""
        most = self.configuration.settings.limits.max_waiting
        if most and self.site.dispatcher.waiting >= most:
            raise Unavailable(FULL_RETRY_AFTER_SECONDS, reason="outbox_full")

    @property
    def plain_path(self) -> str:
        """The path without what makes no difference: its case, and a slash at its end."""
        return self.request.path.lower().rstrip("/")

    def write_json(self, text: bytes) -> None:
        """Write a body that is JSON already."""
        self._headers["Content-Type"] = "application/json; charset=UTF-8"
        self.write(text)

    def submission(
        self, server: str, body: bodies.Body, *, session: bool = False, raw: bytes | None = None
    ) -> Submission:
        """Return what was posted to a server, as its plugins see it; raw: the body as it came."""
        return Submission(
            server=server,
            fields=freeze(body.fields),
            session=session,
            headers=MappingProxyType(self.request.headers),
            files=body.files,
            body=raw,
            address=self.caller.address,
            request_id=self.request_id,
            received_at=self.started_at,
        )

    @property
    def watched(self) -> str | None:
        """The server whose operator is told when its posts are refused or break something.

        "" is for all of them; None for nothing to tell.
        """
        return None

    def count_error(self, error: BaseException) -> None:
        if not isinstance(error, SubmissionError) and responses.status(error) != 500:
            return  # Tornado's own refusals: of a path that is no text, which names no server
        server = self.watched
        if server is None:
            return
        if isinstance(error, SubmissionError):
            self.site.event_counts.post_refused(server, error.reason, self.started_at)
        else:
            self.site.event_counts.post_broke(server, _fault(error))

    def options(self, *args: str) -> None:
        """Respond to a browser's question whether a page may post."""
        self.set_status(204)
        for name, value in cors.preflight_headers(self.request.headers).items():
            self.set_header(name, value)


class UnknownPathHandler(RelayHandler):
    """Every path that is no other handler's."""

    def check_page(self) -> None:
        raise UnknownPath


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return format_timestamp(second)


def _fault(error: BaseException) -> BaseException:
    """Return what a plugin raised at a submission that is kept for that; else the error itself."""
    return (isinstance(error, SubmissionKept) and error.__cause__) or error


def who(error: BaseException) -> dict[str, str]:
    """Return what a refusal's line says besides: a key's id, a domain, a plugin's words."""
    if not isinstance(error, SubmissionError):
        return {}
    domain = error.domain if _DOMAIN.fullmatch(error.domain) else ""
    known = {"key": error.key, "domain": domain, "detail": error.detail}
    return {name: value for name, value in known.items() if value}
