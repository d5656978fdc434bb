"""settings.toml, checked whole and frozen; every mistake is one line that names the place."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from relay.config import alerts as terms
from relay.config.alerts import AlertSettings
from relay.config.fields import check, no_others, resolved, table_of
from relay.config.keys import read_keys
from relay.config.schema import (
    ConsoleTable,
    LimitsTable,
    OidcTable,
    RelayTable,
    ServerTable,
    TokensTable,
)
from relay.config.webhooks import Target, Webhook, read_webhooks
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.core.server import Key, Server
from relay.core.text import nearest

# Environment variables that override keys of [relay], and which.
_NOT_OVERRIDDEN = {"limits", "secret", "database_password", "metrics_token"}
OVERRIDES: Mapping[str, str] = {
    f"RELAY_{name.upper()}": name for name in RelayTable().fields.keys() - _NOT_OVERRIDDEN
}


# The one that overrides where the console listens.
LISTEN = "RELAY_CONSOLE"


@dataclass(frozen=True, slots=True)
class Limits:
    """`[relay.limits]`: bytes of a body and of all, calls a minute, the queue, connections."""

    form_bytes: int
    posts_per_minute: int
    tokens_per_minute: int
    max_waiting: int
    webhook_bytes: int
    bytes_at_once: int
    connections: int
    connections_per_address: int
    address_bytes_per_hour: int
    server_bytes_per_day: int
    max_unspent_tokens: int


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`[console.oidc]`: the identity provider, and which of its claims give name and role."""

    issuer: str
    client_id: str
    client_secret: Secret
    label: str
    scopes: tuple[str, ...]
    role_claim: str
    roles: Mapping[str, str]
    name_claim: str


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """`[console]`: where the operators' pages listen, and how people reach them and log in."""

    listen: tuple[str, int] | None
    public_url: str | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    passwords: bool
    oidc: OidcSettings | None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A server as the settings have it, and the keys of its table that only its plugins know."""

    server: Server
    extra: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything settings.toml says. Paths are absolute, times in seconds.

    `digest`: equal for daemons whose settings differ only in what is each one's own.
    """

    path: Path
    host: str
    port: int
    pages: tuple[str, int] | None
    data: Path
    database: Secret
    legacy_server: str
    unknown_server: str
    wait: float
    public_url: str | None
    openapi_public: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    secret: Secret | None
    metrics_token: Secret | None
    log: str
    limits: Limits
    token_seconds: float
    token_key_required: bool
    keys: tuple[Key, ...]
    servers: Mapping[str, ServerSettings]
    alerts: AlertSettings
    webhooks: Mapping[str, Webhook]
    console: ConsoleSettings
    digest: str

    @property
    def announced(self) -> frozenset[str]:
        """The events that webhooks ask for."""
        return frozenset(event for one in self.webhooks.values() for event in one.events)

    @property
    def targets(self) -> dict[str, Target]:
        """Everybody who is called, by name."""
        channels = {one.name: one for one in self.alerts.channels}
        return {name: one.target for name, one in self.webhooks.items()} | channels


def load(
    path: Path, environment: Mapping[str, str] | None = None, text: str | None = None
) -> Settings:
    """Read and check a settings file; raise ConfigurationError.

    text: what to read as if it stood in the file.
    """
    environment = os.environ if environment is None else environment
    path = path.resolve()
    content = resolved(_toml(path, text), environment, path)
    no_others(path.name, content, _NAMES)
    overrides = {name: environment[key] for key, name in OVERRIDES.items() if key in environment}
    relay = {**table_of(content, "relay", path.name), **overrides}
    values = check(RelayTable(), relay, f"{path.name} [relay]")
    limits = check(LimitsTable(), values["limits"], f"{path.name} [relay.limits]")
    values |= check(TokensTable(), content.get("tokens", {}), f"{path.name} [tokens]")
    switches = {name: values.pop(name) for name in ("enabled", "queue_enabled")}
    servers = _servers(table_of(content, "servers", path.name), switches, path)
    keys = read_keys(table_of(content, "keys", path.name), servers, path.name)
    _existing(relay, servers, path)
    named = {name: one.server for name, one in servers.items()}
    data = (path.parent / values["data"]).resolve()
    values |= {
        "alerts": terms.read(content.get("alerts"), named, f"{path.name} [alerts]"),
        "webhooks": MappingProxyType(
            read_webhooks(table_of(content, "webhooks", path.name), servers, path.name)
        ),
        "console": _console(table_of(content, "console", path.name), environment, path),
        "path": path,
        "data": data,
        "limits": Limits(**limits),
        "keys": keys,
        "digest": _digest(content),
        "servers": MappingProxyType(servers),
    }
    values["database"] = _database(values, data, path)
    del values["database_password"]
    return Settings(**values)


def _console(
    table: Mapping[str, Any], environment: Mapping[str, str], path: Path
) -> ConsoleSettings:
    override = {"listen": environment[LISTEN]} if LISTEN in environment else {}
    values = check(ConsoleTable(), {**table, **override}, f"{path.name} [console]")
    table = values.pop("oidc")
    oidc = table and OidcSettings(**check(OidcTable(), table, f"{path.name} [console.oidc]"))
    return ConsoleSettings(**values, oidc=oidc or None)


def _toml(path: Path, text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig") if text is None else text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}") from None


def _servers(
    tables: Mapping[str, Any], switches: Mapping[str, bool], path: Path
) -> dict[str, ServerSettings]:
    servers: dict[str, ServerSettings] = {}
    for name, table in tables.items():
        place = f"{path.name} [servers.{name}]"
        if not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigurationError(f"{place}: a server's name has letters, digits, - and _ only")
        if name.lower() in servers:
            raise ConfigurationError(f"{place}: the same name as another server's but for case")
        values = check(ServerTable(), table, place)
        server = _server(name.lower(), values, switches, path)
        extra = {key: table[key] for key in table if key not in ServerTable().fields}
        servers[server.name] = ServerSettings(server, MappingProxyType(extra))
    for settings in servers.values():
        if settings.server.group not in servers:
            close = nearest(settings.server.group, servers)
            place = f"{path.name} [servers.{settings.server.name}]"
            raise ConfigurationError(f"{place} group: no such server{close}")
    return servers


def _server(name: str, values: dict[str, Any], switches: Mapping[str, bool], path: Path) -> Server:
    """Freeze a server's checked values; the switches of [relay] hold for every server."""
    values["group"] = values["group"] or name
    values |= {key: values[key] and value for key, value in switches.items()}
    values["named_domains"] |= _domains(values)
    folders = (path.parent / "templates", shipped("plugins") / "templates")
    return Server(name=name, templates=tuple(map(str, folders)), **values)


def _domains(values: Mapping[str, Any]) -> set[str]:
    """Return the domains of the addresses that a server's mail may be from and to."""
    patterns = {*values["senders"], *(values["recipients"] or ())}
    own = {values["sender"].domain} if values["sender"] else set()
    return own | {pattern.rpartition("@")[2] for pattern in patterns if "@" in pattern}


def _existing(relay: Mapping[str, Any], servers: Mapping[str, ServerSettings], path: Path) -> None:
    for name in ("legacy_server", "unknown_server"):
        if relay.get(name) and str(relay[name]).lower() not in servers:
            close = nearest(str(relay[name]), servers)
            raise ConfigurationError(f"{path.name} [relay] {name}: no such server{close}")


def shipped(name: str) -> Path:
    """Return where a part of Relay stands: in its installed package, or at a checkout's top."""
    package = Path(__file__).parents[1]
    return package / name if (package / name).exists() else package.parent / name


def _database(values: Mapping[str, Any], data: Path, path: Path) -> Secret:
    """Return the database's URL: with an absolute path, or with its password."""
    url = values["database"].reveal() or f"sqlite:///{data / 'relay.db'}"
    place = f"{path.name} [relay] database"
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return Secret(f"sqlite:///{(path.parent / rest[1:]).resolve()}")
    if scheme not in ("postgresql", "postgres") or not rest:
        words = 'write "sqlite:///path" or "postgresql://user@host/name"'
        raise ConfigurationError(f"{place}: {words}")
    password = values["database_password"]
    if password is not None:
        user, at, host = rest.rpartition("@")
        if not at or ":" in user:
            words = "name a user in `database`, without a password, beside `database_password`"
            raise ConfigurationError(f"{place}: {words}")
        rest = f"{user}:{quote(password.reveal(), safe='')}@{host}"
    for name, needed in (("secret", values["secret"]), ("keys", values["keys"])):
        if not needed:
            words = "needed with PostgreSQL: what is made in `data` is one machine's"
            raise ConfigurationError(f"{path.name} {_TABLES[name]}: {words}")
    return Secret(f"postgresql://{rest}")


_NAMES = ("relay", "tokens", "keys", "servers", "alerts", "webhooks", "console")

_TABLES = {"secret": "[relay] secret", "keys": "[keys.NAME]"}

# What may differ between the daemons of one database.
_OWN = ("host", "port", "pages", "data", "log", "listen")


def _digest(content: Mapping[str, Any]) -> str:
    """Return a digest by which daemons compare their settings; of secrets nothing is in it."""
    own = {
        table: {name: value for name, value in content.get(table, {}).items() if name not in _OWN}
        for table in ("relay", "console")
    }
    whole = json.dumps({**content, **own}, sort_keys=True, default=repr)
    return sha256(whole.encode()).hexdigest()
