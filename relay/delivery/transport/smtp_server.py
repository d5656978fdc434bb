"""Which mail server to hand mail to: its URL read, and what its TLS certificate is checked by."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from relay.core.secret import Secret

Tls = Literal["starttls", "implicit", "none"]

EXAMPLE = (
    'a mail server looks like "smtp://user@mail.example.gov:587" or "smtps://mail.example.gov"'
)
# By scheme and `tls` of a URL: how its connections are encrypted, and their usual port.
_KINDS: dict[tuple[str, str], tuple[Tls, int]] = {
    ("smtp", "starttls"): ("starttls", 587),
    ("smtp", "none"): ("none", 25),
    ("smtps", "implicit"): ("implicit", 465),
}
_USUAL = {"smtp": "starttls", "smtps": "implicit"}


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server and our account there; `ca` are certificates in PEM, "" the public ones."""

    host: str
    port: int
    tls: Tls = "starttls"
    user: str = field(default="", repr=False)
    password: Secret | None = field(default=None, repr=False)
    ca: str = field(default="", repr=False)

    @property
    def is_exposed(self) -> bool:
        """Whether mail to it crosses a network that others can read."""
        return self.tls == "none" and not is_loopback(self.host)


def mail_server(url: str, password: Secret | None = None, ca: str = "") -> MailServer:
    """Read `smtp://user@host:587?tls=starttls` or `smtps://...`; raise ValueError.

    TLS is left out by `?tls=none` alone, and no password goes without it to another machine.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    kind = _KINDS.get((parts.scheme, options.pop("tls", _USUAL.get(parts.scheme, ""))))
    if kind is None or options or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError(f"{EXAMPLE}; ?tls= is starttls or none")
    if parts.password is not None:
        raise ValueError("a password stands elsewhere, in smtp_password")
    user = unquote(parts.username or "")
    if not user.isprintable():
        raise ValueError(EXAMPLE)
    if bool(user) != (password is not None):
        raise ValueError("a user and an smtp_password: both, or none of them")
    tls, port = kind
    server = MailServer(parts.hostname, parts.port or port, tls, user, password, ca)
    if user and server.is_exposed:
        raise ValueError("a password goes to another machine with TLS only: take ?tls=none out")
    tls_context(ca)
    return server


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its own name or an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=32)
def tls_context(ca: str) -> ssl.SSLContext:
    """Make a context that checks name and certificate; raise ValueError for what is no PEM.

    Made by hand: the usual one takes certificates and a log of keys from the environment.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(
            **({"cadata": ca} if ca else {"cafile": DEFAULT_CA_BUNDLE_PATH})
        )
    except (ssl.SSLError, ValueError):
        raise ValueError("the certificates are not in PEM") from None
    return context
