"""Which web pages may call: exact origins, per server; the relay's own always may."""

from collections.abc import Callable, Collection

from tornado.httputil import HTTPHeaders

from relay.core.errors import OriginRefused

ALLOW_HEADERS = "Authorization, Content-Type, Idempotency-Key"
EXPOSE_HEADERS = "Retry-After, X-Relay-Message-Id, X-Request-Id"
PREFLIGHT_SECONDS = 600


def allowed_origin(
    headers: HTTPHeaders, origins: Collection[str], own_origins: Callable[[], Collection[str]]
) -> str | None:
    """Return the page's origin if it may call, None if no page calls; raise OriginRefused."""
    origin = headers.get("Origin")
    if origin is not None:
        if origin.lower() not in origins and origin.lower() not in own_origins():
            raise OriginRefused
        return origin
    # A page without an Origin header still says where it stands.
    if headers.get("Sec-Fetch-Site") == "cross-site":
        raise OriginRefused
    return None


def response_headers(origin: str) -> dict[str, str]:
    """Return the headers that let the page at an allowed origin read the response."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSE_HEADERS,
    }


def preflight_headers() -> dict[str, str]:
    """Return the headers that answer a browser's question before a post."""
    return {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": ALLOW_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
