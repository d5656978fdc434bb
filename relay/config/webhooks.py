"""`[webhooks.NAME]` of the settings: who is called when something happens to a message."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from relay.config.fields import check, table_of
from relay.config.schema import WebhookTable
from relay.core.errors import ConfigurationError
from relay.core.networks import objection
from relay.core.secret import Secret
from relay.core.text import nearest

EVERY = "*"
# How long a secret is, in bytes: https://www.standardwebhooks.com.
SECRET_BYTES = range(24, 65)


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go to: a URL, which may hold a secret, and what they are signed with.

    networks: the private ones that it may be in. form: who reads the calls.
    """

    name: str
    url: Secret
    secrets: tuple[Secret, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    form: Literal["standard", "slack", "teams"] = "standard"

    @property
    def host(self) -> str:
        """The host and port that are called: as much as may be shown of the URL."""
        return urlsplit(self.url.reveal()).netloc


@dataclass(frozen=True, slots=True)
class Webhook:
    """A target that is told of events of messages of some servers; `addresses`: also of whom."""

    target: Target
    events: frozenset[str]
    servers: frozenset[str] = field(default=frozenset({EVERY}))
    addresses: bool = False

    def wants(self, event: str, server: str) -> bool:
        """Return whether it is called for an event of a server's message."""
        return event in self.events and (server in self.servers or EVERY in self.servers)


def read_webhooks(
    tables: Mapping[str, Any], servers: Iterable[str], place: str
) -> dict[str, Webhook]:
    """Check `[webhooks]` against the servers that there are; raise ConfigurationError."""
    known, found = set(servers), {}
    for name in tables:
        here = f"{place} [webhooks.{name}]"
        if not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigurationError(f"{here}: its name has letters, digits, - and _ only")
        values = check(WebhookTable(), table_of(tables, name, place), here)
        for server in sorted(values["servers"] - known - {EVERY}):
            raise ConfigurationError(f"{here} servers: no server {server}{nearest(server, known)}")
        target = read_target(name, values, here)
        webhook = Webhook(target, values["events"], values["servers"], values["addresses"])
        found[name] = webhook
    return found


def read_target(name: str, values: Mapping[str, Any], place: str) -> Target:
    """Check where calls go to, and what they are signed with; raise ConfigurationError."""
    given = [values["secret"], *values["secrets"]]
    secrets = tuple(secret for secret in given if secret is not None)
    if not secrets:
        raise ConfigurationError(f"{place} secret: needed: its calls are signed")
    for secret in secrets:
        _check_secret(secret, place)
    networks = tuple(values["networks"])
    check_url(values["url"], networks, f"{place} url")
    return Target(name, values["url"], secrets, networks)


def check_url(url: Secret, networks: Iterable[IPv4Network | IPv6Network], place: str) -> None:
    """Refuse a URL that is never called; raise ConfigurationError, which does not name it."""
    text = url.reveal()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not text.isprintable() or " " in text:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f'{place}: a URL looks like "https://crm.example.gov/relay"')
    if "@" in parts.netloc or parts.fragment:
        raise ConfigurationError(f"{place}: a URL without user, password and fragment")
    networks = tuple(networks)
    if parts.scheme == "http" and not networks:
        raise ConfigurationError(f"{place}: begins with https://, unless `networks` are named")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if words := objection(str(address), networks):
        raise ConfigurationError(f"{place}: {words}: name its network in `networks`")


def _check_secret(secret: Secret, place: str) -> None:
    digits = secret.reveal().removeprefix("whsec_").rstrip("=")
    try:
        length = len(b64decode(digits + "=" * (-len(digits) % 4), validate=True))
    except ValueError:
        length = 0
    if length not in SECRET_BYTES:
        words = "a secret is `whsec_` and, in base64, 24 to 64 random bytes"
        raise ConfigurationError(f"{place} secret: {words}")
