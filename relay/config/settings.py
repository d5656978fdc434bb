"""settings.toml, checked whole and frozen; every mistake is one line that names the place."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relay.config import alerts as terms
from relay.config.alerts import AlertSettings
from relay.config.fields import check, no_others, resolved, table_of
from relay.config.keys import digests, read_keys
from relay.config.schema import REPLY_DAYS, LimitsTable, RelayTable, ServerTable, TokensTable
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.core.server import Key, Server
from relay.core.text import nearest

# Environment variables that override keys of [relay], and which.
OVERRIDES: Mapping[str, str] = {
    f"RELAY_{name.upper()}": name for name in RelayTable().fields.keys() - {"limits", "secret"}
}


@dataclass(frozen=True, slots=True)
class Limits:
    """`[relay.limits]`: bytes of a form, calls per minute and address, messages waiting.

    And the bytes of what a provider tells.
    """

    form_bytes: int
    posts_per_minute: int
    tokens_per_minute: int
    max_waiting: int
    webhook_bytes: int = 50 * 2**20


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A server as the settings have it, and the keys of its table that only its plugins know."""

    server: Server
    extra: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything settings.toml says. Paths are absolute, times in seconds."""

    path: Path
    host: str
    port: int
    pages: tuple[str, int] | None
    data: Path
    database: str
    legacy_server: str
    unknown_server: str
    wait: float
    public_url: str | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    secret: Secret | None
    log: str
    limits: Limits
    token_seconds: float
    token_key_required: bool
    keys: tuple[Key, ...]
    servers: Mapping[str, ServerSettings]
    alerts: AlertSettings


def load(
    path: Path, environment: Mapping[str, str] | None = None, text: str | None = None
) -> Settings:
    """Read and check a settings file; raise ConfigurationError.

    text: what to read as if it stood in the file.
    """
    environment = os.environ if environment is None else environment
    path = path.resolve()
    content = resolved(_toml(path, text), environment, path)
    no_others(path.name, content, ("relay", "tokens", "keys", "servers", "alerts"))
    relay = {**table_of(content, "relay", path.name), **_overrides(environment)}
    values = check(RelayTable(), relay, f"{path.name} [relay]")
    limits = check(LimitsTable(), values["limits"], f"{path.name} [relay.limits]")
    tokens = check(TokensTable(), content.get("tokens", {}), f"{path.name} [tokens]")
    switches = {name: values.pop(name) for name in ("enabled", "queue_enabled")}
    servers = _servers(table_of(content, "servers", path.name), switches, path)
    keys = read_keys(table_of(content, "keys", path.name), servers, path.name)
    _existing(relay, servers, path)
    named = {name: one.server for name, one in servers.items()}
    values["alerts"] = terms.read(content.get("alerts"), named, f"{path.name} [alerts]")
    data = (path.parent / values["data"]).resolve()
    values |= {"path": path, "data": data, "keys": keys, "servers": MappingProxyType(servers)}
    values["database"] = _database(values["database"], data, path)
    values["trusted_proxies"] = tuple(values["trusted_proxies"])
    values["limits"] = Limits(**limits)
    values["token_seconds"] = tokens["minutes"] * 60
    values["token_key_required"] = tokens["key"] == "required"
    return Settings(**values)


def _toml(path: Path, text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode() if text is None else text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}") from None


def _overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """RELAY_PORT overrides `port` of [relay], and so on."""
    return {name: environment[key] for key, name in OVERRIDES.items() if key in environment}


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
        known = {key: values.pop(key) for key in ServerTable().fields}
        server = _server(name.lower(), known, switches, path)
        servers[server.name] = ServerSettings(server, MappingProxyType(values))
    for settings in servers.values():
        if settings.server.group not in servers:
            close = nearest(settings.server.group, servers)
            place = f"{path.name} [servers.{settings.server.name}]"
            raise ConfigurationError(f"{place} group: no such server{close}")
    return servers


def _server(name: str, values: dict[str, Any], switches: Mapping[str, bool], path: Path) -> Server:
    """Freeze a server's checked values; the switches of [relay] hold for every server."""
    values["max_age"] = values.pop("max_age_hours") * 3600
    values["expect_mail"] = values.pop("expect_mail_hours") * 3600
    values["reply_seconds"] = (values.pop("reply_days") or REPLY_DAYS) * 86400
    values["group"] = values["group"].lower() or name
    values["keep"] = MappingProxyType(
        {state: days * 86400 for state, days in values.pop("keep_days").items() if days}
    )
    values["return_to"] = MappingProxyType(values["return_to"])
    values["headers"] = frozenset(header.lower() for header in values["headers"])
    for key, value in switches.items():
        values[key] = values[key] and value
    for key in ("senders", "recipients", "origins"):
        values[key] = None if values[key] is None else frozenset(values[key])
    place = f"{path.name} [servers.{name}] webhook_secrets"
    values["webhook_digests"] = digests(values.pop("webhook_secrets"), place)
    for key in ("plugins", "retry", "settle", "webhook_networks"):
        values[key] = tuple(values[key])
    folders = (path.parent / "templates", Path(__file__).parents[2] / "plugins" / "templates")
    return Server(name=name, templates=tuple(map(str, folders)), **values)


def _existing(relay: Mapping[str, Any], servers: Mapping[str, ServerSettings], path: Path) -> None:
    for name in ("legacy_server", "unknown_server"):
        if relay.get(name) and str(relay[name]).lower() not in servers:
            close = nearest(str(relay[name]), servers)
            raise ConfigurationError(f"{path.name} [relay] {name}: no such server{close}")


def _database(url: str, data: Path, path: Path) -> str:
    """Return the database's URL with an absolute path; SQLite is the only engine so far."""
    if not url:
        return f"sqlite:///{data / 'relay.db'}"
    scheme, _, file = url.partition(":///")
    if scheme != "sqlite" or not file:
        raise ConfigurationError(f'{path.name} [relay] database: write "sqlite:///path"')
    return f"sqlite:///{(path.parent / file).resolve()}"
