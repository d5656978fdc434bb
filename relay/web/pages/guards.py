"""Who may ask for a page: people at this machine, and no page of another site behind their backs.

A page elsewhere can make its visitor's browser ask for these pages in two ways: under a name of
its own that it lets point here (the Host header tells), or by posting a form to them (Origin and
Sec-Fetch-Site tell). A proxy that forwards strangers to them says so in its headers.
"""

from tornado.httputil import HTTPServerRequest

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


def refusal(request: HTTPServerRequest, listening: tuple[str, int]) -> str | None:
    """Name the reason to refuse a request, `host` or `forwarded`; None if there is none."""
    if request.headers.get("Host", "").lower() not in own_hosts(*listening):
        return "host"
    if any(_forwards(name.lower()) for name in request.headers):
        return "forwarded"
    return None


def own_hosts(host: str, port: int) -> set[str]:
    """Return the Host headers of requests that mean these pages."""
    configured = f"[{host}]" if ":" in host else host.lower()
    names = {*LOCAL_NAMES, configured}
    bare = names if port == HTTP_PORT else set()
    return {f"{name}:{port}" for name in names} | bare


def cross_site(request: HTTPServerRequest) -> bool:
    """Return whether a request whose Host is ours comes from anywhere but one of these pages."""
    origin = request.headers.get("Origin", "").lower()
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return origin != f"{request.protocol}://{request.host}".lower() or site != "same-origin"


def _forwards(header: str) -> bool:
    return header in ("forwarded", "x-real-ip") or header.startswith("x-forwarded-")
