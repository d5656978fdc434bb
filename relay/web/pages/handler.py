"""What every page shares: who may ask, the headers of every response, a page for what went wrong.

People at this machine may ask, and no page of another site behind their backs. A page elsewhere can
make its visitor's browser ask for these pages in two ways: under a name of its own that it lets
point here (the Host header tells), or by posting a form to them (Origin and Sec-Fetch-Site tell).
A proxy that forwards strangers to them says so in its headers.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import structlog
from tornado.httputil import HTTPServerRequest
from tornado.web import stream_request_body

from relay.core.times import shown
from relay.web.base import SECURITY_HEADERS, BaseHandler
from relay.web.responses import UnknownPath, VisitRefused

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

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
HTTP_PORT = 80

# Why a request is refused, by the reason that its log line has.
REFUSALS = {
    "host": "These pages answer only under their own address: localhost or the host in "
    "settings.toml, with the port that they listen on.",
    "forwarded": "These pages are not served through a proxy. Open them on the machine itself, "
    "or through an SSH tunnel that has the same port at both ends.",
    "cross_site": "This form is taken from its own page only. Nothing was posted.",
}

log = structlog.get_logger()


@stream_request_body
class VisitHandler(BaseHandler):
    """Answers HTML to people, whoever they may be; also what it refuses.

    refusals: the words of each reason for which a visit is refused.
    """

    failed = "page.failed"
    refusals: ClassVar[Mapping[str, str]]

    def check_page(self) -> None:
        """Raise VisitRefused for whoever may not ask."""
        reason = self.refusal()
        if reason is not None:
            raise VisitRefused(self.refusals[reason], reason=reason)

    def refusal(self) -> str | None:
        """Name the reason to refuse a visit; None if there is none."""
        raise NotImplementedError

    def write_part(self, markup: str) -> None:
        """Write HTML that somebody else wrote, for a frame in which nothing can happen."""
        self.set_header("Content-Security-Policy", PART_POLICY)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(markup)

    def refuse(self, error: BaseException) -> None:
        heading, words = ERRORS.get(self.get_status(), ERRORS[500])
        if isinstance(error, VisitRefused):
            words = str(error)
        self.render("error.html", heading=heading, words=words)

    def log_refusal(self, error: BaseException, known: dict[str, Any]) -> None:
        why = {"reason": error.reason} if isinstance(error, VisitRefused) else {}
        log.info("page.refused", **known, **why)


class PageHandler(VisitHandler):
    """Pages for people at this machine; `methods` are those that the page takes."""

    fixed_headers: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**SECURITY_HEADERS, "Content-Security-Policy": PAGE_POLICY}
    )
    refusals = REFUSALS

    def refusal(self) -> str | None:
        """Name the reason to refuse anybody but a person at this machine."""
        request = self.request
        if request.headers.get("Host", "").lower() not in own_hosts(*(self.site.pages or ("", 0))):
            return "host"
        if is_forwarded(request):
            return "forwarded"
        own = f"{request.protocol}://{request.host}".lower()
        return "cross_site" if is_cross_site(request, {own}) else None

    def get_template_namespace(self) -> dict[str, Any]:
        waiting = self.site.dispatcher.waiting
        return {**super().get_template_namespace(), "waiting": waiting, "shown": shown}


class UnknownPageHandler(PageHandler):
    """Every path that is no page's."""

    def check_page(self) -> None:
        super().check_page()
        raise UnknownPath


def own_hosts(host: str, port: int) -> set[str]:
    """Return the Host headers of requests that mean these pages."""
    configured = f"[{host}]" if ":" in host else host.lower()
    names = {*LOCAL_NAMES, configured}
    bare = names if port == HTTP_PORT else set()
    return {f"{name}:{port}" for name in names} | bare


def is_cross_site(request: HTTPServerRequest, own: Collection[str]) -> bool:
    """Whether a request posts a form from anywhere but a page of our own origins."""
    if request.method != "POST":
        return False
    origin = request.headers.get("Origin", "").lower()
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return origin not in own or site != "same-origin"


def is_forwarded(request: HTTPServerRequest) -> bool:
    """Whether a proxy says that it asks for somebody else."""
    names = [name.lower() for name in request.headers]
    return any(
        name in ("forwarded", "x-real-ip") or name.startswith("x-forwarded-") for name in names
    )
