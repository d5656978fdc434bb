"""What every page shares: who may ask, the headers of every answer, a page for what went wrong."""

from types import TracebackType
from typing import Any, ClassVar

import structlog
from tornado.web import HTTPError, RequestHandler

from relay.core.errors import SubmissionError
from relay.core.logs import trace
from relay.core.times import shown
from relay.site import Site
from relay.web import responses
from relay.web.base import SECURITY_HEADERS
from relay.web.pages import guards

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# What somebody else wrote: nothing of it runs, and nothing of it is fetched from anywhere.
PART_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "form-action 'none'; frame-ancestors 'self'; base-uri 'none'"
)

# The heading and the words of an error's page, by its status; what is not here is 500's.
ERRORS = {
    400: ("Not understood", "This request cannot be read."),
    403: ("Not here", "This request is refused."),
    404: ("Not found", "There is nothing at this address."),
    405: ("Not possible", "This address takes no such request."),
    413: ("Too large", "This is more than is read here."),
    415: ("Not understood", "A form is posted here, and nothing else."),
    500: ("Something went wrong", "The daemon's log has a line about it."),
}

log = structlog.get_logger()


class PageHandler(RequestHandler):
    """Answers HTML, to its own people only; `methods` are those that the page takes."""

    site: Site
    methods: ClassVar[tuple[str, ...]] = ("GET",)

    def set_default_headers(self) -> None:
        self.site = self.application.settings["site"]
        self.clear_header("Server")
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)
        self.set_header("Content-Security-Policy", PAGE_POLICY)

    def prepare(self) -> None:
        reason = guards.refusal(self.request, self.site.pages or ("", 0))
        if reason is not None:
            self.refuse(reason)

    def refuse(self, reason: str) -> None:
        """Answer 403 and why, for one of the guards' reasons."""
        log.info("page.refused", path=self.request.path[:100], status=403, reason=reason)
        self.send_error(403, words=guards.REFUSALS[reason])

    def get_template_namespace(self) -> dict[str, Any]:
        waiting = self.site.dispatcher.waiting
        return {**super().get_template_namespace(), "waiting": waiting, "shown": shown}

    def write_part(self, markup: str) -> None:
        """Answer HTML that somebody else wrote, for a frame in which nothing can happen."""
        self.set_header("Content-Security-Policy", PART_POLICY)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(markup)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.set_status(responses.status(error) if error else status_code)
        if self.get_status() == 405:
            self.set_header("Allow", ", ".join(self.methods))
        heading, words = ERRORS.get(self.get_status(), ERRORS[500])
        self.render("error.html", heading=heading, words=kwargs.get("words", words))

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
        if isinstance(value, HTTPError | SubmissionError):
            log.info("page.refused", **known)
        else:
            log.error("page.failed", **known, **trace(value))


class NotFoundHandler(PageHandler):
    """Every path that is no page's."""

    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            raise HTTPError(404)
