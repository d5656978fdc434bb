"""Which web pages may call: exact origins, per server; the relay's own always may."""

import re
from collections.abc import Callable, Collection

from tornado.httputil import HTTPHeaders

from relay.core.errors import OriginRefused

ALLOW_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key")
EXPOSE_HEADERS = "Retry-After, X-Relay-Message-Id, X-Relay-Reference, X-Request-Id"
# As long as Chromium remembers an answer at most; other browsers take what they like of it.
PREFLIGHT_SECONDS = 7200

# A header's name (RFC 9110, 5.6.2); and of how many a page may ask.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
MAX_HEADERS = 50
# An origin as browsers write it: nothing else of what a stranger sends is logged.
_ORIGIN = re.compile(r"null|https?://[A-Za-z0-9.:\[\]-]{1,200}")


def allowed_origin(
    headers: HTTPHeaders, origins: Collection[str], own_origins: Callable[[], Collection[str]]
) -> str | None:
    """Return the page's origin if it may call, None if no page calls; raise OriginRefused."""
    if "Origin" in headers:
        origin = headers["Origin"]
        if origin.lower() not in origins and origin.lower() not in own_origins():
            raise OriginRefused
        return origin
    # A page without an Origin header still says where it stands.
    if "Sec-Fetch-Site" in headers and headers["Sec-Fetch-Site"] == "cross-site":
        raise OriginRefused
    return None


def named_origin(headers: HTTPHeaders) -> str:
    """Return the origin that a page names, for a log line; "" where it is none, or has none."""
    origin = headers.get("Origin", "")
    return origin if _ORIGIN.fullmatch(origin) else ""


def response_headers(origin: str) -> dict[str, str]:
    """Return the headers that let the page at an allowed origin read the response."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSE_HEADERS,
    }


def preflight_headers(request: HTTPHeaders) -> dict[str, str]:
    """Return the headers that answer a browser's question before a post."""
    return {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": ", ".join([*ALLOW_HEADERS, *_asked(request)]),
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def _asked(request: HTTPHeaders) -> list[str]:
    """Return what else a page wants to send: scripts that trace calls add headers to all of them.

    Nothing reads these here, so each is allowed whose name is one.
    """
    known = {name.lower() for name in ALLOW_HEADERS}
    listed = request.get("Access-Control-Request-Headers", "").split(",", MAX_HEADERS)
    names = dict.fromkeys(name.strip().lower() for name in listed[:MAX_HEADERS])
    return [name for name in names if name not in known and _NAME.fullmatch(name)]
