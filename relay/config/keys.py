"""Keys: read from the settings, found by what a caller brings, made where there are none."""

import hmac
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from relay.config.fields import check, digests
from relay.config.schema import KeyTable
from relay.core import clock
from relay.core.errors import AuthenticationFailed, ConfigurationError
from relay.core.secret import Secret, digest, private_file
from relay.core.server import Key, KeyKind
from relay.core.text import nearest

# What a newcomer needs: a key for every server, one for web pages, one for a single server.
WANTED: Mapping[str, tuple[KeyKind, tuple[str, ...]]] = {
    "application": ("secret", ("*",)),
    "page": ("publishable", ("contactform",)),
    "contactform": ("secret", ("contactform",)),
}


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key with its secret still known, to be shown to whoever started the daemon."""

    key: Key
    secret: Secret


@dataclass(slots=True)
class StoredKeys:
    """The keys of the store as this daemon knows them, also those that ended lately."""

    now: tuple[Key, ...] = ()


class KeyRing(Collection[Key]):
    """Every key: those that the settings name, and those of the store as they are at the time."""

    def __init__(self, named: Iterable[Key], stored: StoredKeys) -> None:
        self.named = tuple(named)
        self._stored = stored

    @property
    def named_ids(self) -> frozenset[str]:
        """The names of those that the settings name."""
        return frozenset(key.id for key in self.named)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.named + self._stored.now)

    def __len__(self) -> int:
        return len(self.named) + len(self._stored.now)

    def __contains__(self, key: object) -> bool:
        return key in self.named or key in self._stored.now


def token_of(authorization: str) -> bytes:
    """Read an authorization header of the scheme `token` or `Bearer`, in any case.

    Header values arrive as Latin-1; encoding them so gives the bytes that were sent.
    """
    scheme, _, token = authorization.strip().partition(" ")
    known = scheme.lower() in ("token", "bearer")
    return token.strip().encode("latin-1", "replace") if known else b""


def find_key(keys: Iterable[Key], token: bytes) -> Key | None:
    """Find the key whose secret this is: the whole of it, as bytes, in constant time.

    Raise AuthenticationFailed for one that expired or was revoked.
    """
    given = digest(token)
    for key in keys:
        if any(hmac.compare_digest(given, known) for known in key.digests):
            if ended := key.ended(clock.now()):
                raise AuthenticationFailed(reason=f"key_{ended}", key=key.id)
            return key
    return None


def random_key(kind: KeyKind, id: str) -> str:
    """Make a key's secret: 256 random bits, with its kind and id to recognise it by."""
    prefix = {"secret": "rk", "publishable": "rp", "account": "ra"}[kind]
    return f"{prefix}_{id}_{secrets.token_urlsafe(32)}"


def made(data: Path, *, make: bool) -> dict[str, MadeKey]:
    """Read the made keys of a data folder; `make` creates them where there are none."""
    path = data / "keys.json"
    if not path.exists() and make:
        values = {id: random_key(kind, id) for id, (kind, _) in WANTED.items()}
        private_file(path, json.dumps(values, indent=2) + "\n")
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {id: _key(id, values[id]) for id in WANTED}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{path}: cannot be read; remove it to have new keys made"
        ) from None


def _key(id: str, value: str) -> MadeKey:
    if not value:
        raise ValueError(id)
    kind, servers = WANTED[id]
    return MadeKey(Key(id, kind, frozenset(servers), (digest(value.encode()),)), Secret(value))


def hashing_secret(data: Path, given: Secret | None) -> Secret:
    """Return what tokens and addresses are hashed with: `[relay] secret`, or a made one."""
    if given is not None:
        return given
    path = data / "secret"
    if not path.exists():
        private_file(path, secrets.token_urlsafe(32) + "\n")
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__})") from None
    if not value:
        raise ConfigurationError(f"{path}: is empty; remove it to have a new one made")
    return Secret(value)


def read_keys(tables: Mapping[str, Any], servers: Collection[str], file: str) -> tuple[Key, ...]:
    """Read the tables `[keys.NAME]` of a file; raise ConfigurationError.

    servers: their names in lower case.
    """
    found: list[Key] = []
    for name, table in tables.items():
        place = f"{file} [keys.{name}]"
        values = check(KeyTable(), table, place)
        names = values["servers"]
        for server in sorted(names - {"*"} - set(servers)):
            close = nearest(server, servers)
            raise ConfigurationError(f"{place} servers: no server {server}{close}")
        secrets = [*values["secrets"], *([values["secret"]] if values["secret"] else [])]
        if not secrets:
            raise ConfigurationError(f"{place} secret: Missing data for required field.")
        try:
            key = Key(name, values["kind"], names, digests(secrets))
        except ValidationError as error:
            raise ConfigurationError(f"{place} secret: {error.messages[0]}") from None
        for other in found:
            if set(key.digests) & set(other.digests):
                words = f"the same as that of keys.{other.id}"
                raise ConfigurationError(f"{place} secret: {words}")
        found.append(key)
    return tuple(found)
