"""What callers prove themselves by, as the settings have it: long enough, and nobody else's."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from relay.config.schema import KeyTable
from relay.config.validation import check
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret, digest
from relay.core.server import Key
from relay.core.suggest import nearest

MIN_CHARACTERS = 32


def keys(tables: Mapping[str, Any], servers: Collection[str], file: str) -> tuple[Key, ...]:
    """Read the tables `[keys.NAME]` of a file; raise ConfigurationError.

    servers: their names in lower case.
    """
    found: list[Key] = []
    for name, table in tables.items():
        place = f"{file} [keys.{name}]"
        values = check(KeyTable(), table, place)
        names = frozenset(server.lower() for server in values["servers"])
        for server in sorted(names - {"*"} - set(servers)):
            close = nearest(server, servers)
            raise ConfigurationError(f"{place} servers: no server {server}{close}")
        secrets = [*values["secrets"], *([values["secret"]] if values["secret"] else [])]
        if not secrets:
            raise ConfigurationError(f"{place} secret: Missing data for required field.")
        key = Key(name, values["kind"], names, digests(secrets, f"{place} secret"))
        for other in found:
            if set(key.digests) & set(other.digests):
                words = f"the same as that of keys.{other.id}"
                raise ConfigurationError(f"{place} secret: {words}")
        found.append(key)
    return tuple(found)


def digests(secrets: Sequence[Secret], place: str) -> tuple[bytes, ...]:
    """Digest the secrets that stand at a place; raise ConfigurationError for a short one."""
    if any(len(secret.reveal()) < MIN_CHARACTERS for secret in secrets):
        raise ConfigurationError(f"{place}: one has fewer than {MIN_CHARACTERS} characters")
    return tuple(digest(secret.reveal().encode()) for secret in secrets)
