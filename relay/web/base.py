"""What every handler of the API shares: limits, CORS, request ids, replies, refusals."""

import time
from collections.abc import Collection
from functools import cached_property
from types import TracebackType
from typing import Any, ClassVar

import structlog
from tornado.web import HTTPError

from relay.core.errors import (
    InvalidSubmission,
    SubmissionError,
    Unavailable,
    UnknownPath,
    UnsupportedMedia,
    WrongMethod,
)
from relay.core.ids import request_id
from relay.core.logs import trace
from relay.core.rate_limit import Caller
from relay.web import bodies, cors, responses
from relay.web.client_address import caller
from relay.web.receiving import ReceivingHandler

# How long a body may take to arrive. The server's own body_timeout costs a tenth of a request.
BODY_SECONDS = 30

# When to come again: while the daemon stops, the disk is full, the outbox is full, the store is
# slow; and after how long it counts as slow.
STOPPING_RETRY_AFTER_SECONDS = 30
SPACE_RETRY_AFTER_SECONDS = 60
FULL_RETRY_AFTER_SECONDS = 120
SLOW_RETRY_AFTER_SECONDS = 5
SLOW_SECONDS = 2.0

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

log = structlog.get_logger()


class RelayHandler(ReceivingHandler):
    """Answers JSON, turns every error into the contract's reply."""

    methods: ClassVar[tuple[str, ...]] = ("POST", "OPTIONS")

    def initialize(self) -> None:
        super().initialize()
        self.request_id = request_id()
        self.started_at = time.time()
        self.page: str | None = None
        self._counted = False

    def set_default_headers(self) -> None:
        self.site = self.application.settings["site"]
        self.clear_header("Server")
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse what can be refused before the body is read."""
        self.enter()
        self.page = cors.allowed_origin(self.request.headers, self.origins(), self._own_origins)
        self.decorate()
        if self.request.method not in self.methods:
            raise WrongMethod
        if self.request.method == "OPTIONS":
            return
        self.admit()
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("content encoding is not read here")
        self.limit()
        self.expect_body(BODY_SECONDS)

    def admit(self) -> None:
        """Raise Unavailable while nothing can be taken in."""
        if self.site.stopping:
            raise Unavailable(STOPPING_RETRY_AFTER_SECONDS, reason="stopping")

    def check_room(self) -> None:
        """Raise Unavailable while nothing new can be stored."""
        if self.site.space.is_low:
            raise Unavailable(SPACE_RETRY_AFTER_SECONDS, reason="disk_full")
        if self.site.store.stalled > SLOW_SECONDS:
            raise Unavailable(SLOW_RETRY_AFTER_SECONDS, reason="store_slow")

    def check_outbox(self) -> None:
        """Raise Unavailable while as many messages wait as may."""
        most = self.site.settings.limits.max_waiting
        if most and self.site.dispatcher.waiting >= most:
            raise Unavailable(FULL_RETRY_AFTER_SECONDS, reason="outbox_full")

    def enter(self) -> None:
        """Count the request as running, and name it in its log lines."""
        structlog.contextvars.bind_contextvars(request=self.request_id)
        self.site.requests.begin()
        self._counted = True

    def origins(self) -> Collection[str]:
        """Return the origins whose pages may call this handler; may raise UnknownServer."""
        return ()

    def limit(self) -> None:
        """Raise TooManyRequests for a caller that is over its limit."""

    def decorate(self) -> None:
        """Set the headers that errors carry too."""
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("Vary", "Origin")
        if self.page is not None:
            for name, value in cors.reply_headers(self.page).items():
                self.set_header(name, value)

    @cached_property
    def caller(self) -> Caller:
        """The client, as the trusted proxies tell it."""
        return caller(self.request, self.site.settings.trusted_proxies)

    def _own_origins(self) -> set[str]:
        seen = None if self.site.settings.public_url else self.caller.origin
        return self.site.own_origins | ({seen} if seen else set())

    def body(self) -> bodies.Body:
        """Parse the request's body; raise BodyTooLarge or what bodies.parse raises."""
        content_type = self.request.headers.get("Content-Type", "")
        return bodies.parse(content_type, self.raw_body())

    def options(self, *args: str) -> None:
        """Answer a browser's question whether a page may post."""
        self.set_status(204)
        for name, value in cors.preflight_headers().items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.set_status(responses.status(error) if error else status_code)
        self.decorate()
        if self.get_status() == 405:
            self.set_header("Allow", ", ".join(self.methods))
        if (retry_after := getattr(error, "retry_after", None)) is not None:
            self.set_header("Retry-After", str(retry_after))
        self.finish(responses.failure(error or HTTPError(status_code)))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a refusal as one line, anything unexpected by its type and place."""
        if value is None:
            return
        known = {"path": self.request.path[:100], "status": responses.status(value)}
        if isinstance(value, InvalidSubmission):
            known["fields"] = [name[:50] for name in value.fields][:10]
        if isinstance(value, SubmissionError):
            client = self.caller.address
            log.info("submission.refused", reason=value.reason, client=client, **known)
        elif isinstance(value, HTTPError):
            log.info("request.refused", **known)
        else:
            log.error("request.failed", **known, **trace(value))

    def on_finish(self) -> None:
        self._leave()

    def on_connection_close(self) -> None:
        """Count a request as ended whose client left before its body had come: nothing runs."""
        if self.awaits_body:
            self._leave()

    def _leave(self) -> None:
        self.end_body()
        if self._counted:
            self._counted = False
            self.site.requests.end()


class NotFoundHandler(RelayHandler):
    """Every path that is no other handler's."""

    def prepare(self) -> None:
        self.enter()
        raise UnknownPath
