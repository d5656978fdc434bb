"""How a table of settings is read and checked: the kinds of value, as marshmallow fields.

A mistake becomes one line that names the place.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields

from relay.core.errors import ConfigurationError
from relay.core.message import FINAL_STATES
from relay.core.secret import Secret, resolve
from relay.core.text import nearest


class Parsed(fields.String):
    """A string that a function reads; its ValueError is what the operator is told."""

    def __init__(self, read: Callable[[str], Any], **options: Any) -> None:
        super().__init__(**options)
        self.read = read

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.read(super()._deserialize(value, attr, data, **kwargs))
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Names(fields.List[Any]):
    """A list of strings; from an environment variable, separated by commas."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return super()._deserialize(value, attr, data, **kwargs)


class SecretReference(fields.Field[Secret]):
    """A secret: `{ env = "NAME" }` or `{ file = "path" }`, never the value itself."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        if not isinstance(value, Secret):  # references are resolved before the schema runs
            raise ValidationError(
                'a secret stands elsewhere: write { env = "NAME" } or { file = "path" }'
            )
        return value


# States whose contents are cleared in time. What failed stays until a person has seen it, unless
# the settings name it.
KEEP_DAYS: Mapping[str, float] = {"sent": 30, "screened": 30, "cancelled": 30, "suppressed": 30}


class Days(fields.Field[dict[str, float]]):
    """Days by final state; one number is for all that are cleared anyway. 0 is for ever."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        given = value if isinstance(value, dict) else dict.fromkeys(KEEP_DAYS, value)
        unknown = sorted(given.keys() - set(FINAL_STATES))
        if unknown:
            raise ValidationError(f"no final state {unknown[0]}: {', '.join(FINAL_STATES)}")
        for days in given.values():
            number = isinstance(days, int | float) and not isinstance(days, bool)
            if not number or not 0 <= days <= 36_500:
                raise ValidationError("a number of days, or a table of them by state")
        return {**KEEP_DAYS, **given}


def origin(value: str) -> str:
    """Check an origin as browsers send it: scheme, host, port if it is not the scheme's own."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or value != value.lower():
        raise ValueError('an origin looks like "https://www.example.gov"')
    if value != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError("an origin has no path: only scheme, host and port")
    return value


def url(value: str) -> str:
    """Check an absolute http or https URL."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError('a URL looks like "https://relay.example.gov/base"')
    return value


def base_url(value: str) -> str:
    """Check a URL that paths are added to: it ends without a slash."""
    return url(value).rstrip("/")


def optional(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let an empty string stand for "none"."""
    return lambda value: read(value) if value else None


def listen_address(value: str) -> tuple[str, int]:
    """Read `host:port`; an IPv6 host stands in brackets."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError('an address to listen on looks like "127.0.0.1:8026"')
    return host.strip("[]"), int(port)


def check(schema: Schema, table: Any, place: str, also: Iterable[str] = ()) -> dict[str, Any]:
    """Load a table by its schema; raise ConfigurationError for the first thing that is wrong.

    also: names that stand in the same table and are checked elsewhere, for the suggestion.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{place} must be a table")
    try:
        loaded: dict[str, Any] = schema.load(table)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        name, words = next(_first(messages))
        if name in table and name not in schema.fields:
            words = "is not a setting here" + nearest(name, [*schema.fields, *also])
        raise ConfigurationError(f"{place} {name}: {words}") from None
    return loaded


def _first(messages: Any, name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in messages.items():
        path = f"{name}.{key}" if name else str(key)
        yield from _first(value, path) if isinstance(value, Mapping) else [(path, value[0])]


def no_others(place: str, table: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse tables that nothing reads."""
    for name in table:
        if name not in names:
            raise ConfigurationError(f"{place} [{name}]: no such table{nearest(name, names)}")


def table_of(content: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    """Return the table of a name; an empty one if it is not there."""
    table = content.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{place} [{name}] must be a table")
    return table


def resolved(value: Any, environment: Mapping[str, str], path: Path, place: str = "") -> Any:
    """Put a Secret wherever a reference to one stands."""
    if isinstance(value, list):
        return [resolved(member, environment, path, place) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)) in ("env", "file"):
        try:
            return resolve(value, environment, path.parent)
        except ValueError as error:
            raise ConfigurationError(f"{path.name} [{place}]: {error}") from None
    return {
        name: resolved(member, environment, path, f"{place}.{name}" if place else name)
        for name, member in value.items()
    }
