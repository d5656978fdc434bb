"""How a table of settings is read and checked: the kinds of value, as marshmallow fields.

A mistake becomes one line that names the place.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, validate

from relay.core.errors import ConfigurationError, TemplateSyntaxError
from relay.core.secret import Secret, digest, resolve
from relay.core.states import FINAL, State
from relay.core.text import nearest
from relay.core.urls import LOCAL
from relay.mustachio import parse

# States whose contents are cleared in time. What failed stays until a person has seen it, unless
# the settings name it.
KEEP_DAYS: Mapping[str, float] = dict.fromkeys(
    (State.SENT, State.SCREENED, State.CANCELLED, State.SUPPRESSED), 30
)
# How many of a kind of alert there must be before anybody is told: every robot that tries the door,
# and every page that stood open for too long, is worth nobody's sleep.
AT_LEAST: Mapping[str, int] = {"keys": 5, "tokens": 20, State.SCREENED: 50}

MIN_SECRET = 32

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)

AnyField = TypeVar("AnyField", bound=fields.Field[Any])


def setting(
    kind: AnyField,
    default: Any,
    meaning: str = "",
    *,
    shown: str | None = None,
    attribute: str | None = None,
) -> AnyField:
    """Declare a setting: its type, its default as it would stand in the file, what it means.

    default: `...` where it must be set. meaning: none in a table of `relay/config/schema.py`, where
    it stands below the setting. shown: what the reference says instead of the default. attribute:
    the name of the frozen value's field, where it is another.
    """
    kind.required = default is ...
    if not kind.required:
        kind.load_default = None if default is None else kind.deserialize(default)
    kind.attribute = attribute
    kind.metadata = {"description": meaning, "default": default, "shown": shown}
    return kind


def whole(least: int = 0, most: int | None = None) -> fields.Integer:
    """Take whole numbers of a range."""
    return fields.Integer(validate=validate.Range(least, most))


def number(least: float, most: float) -> fields.Float:
    """Take numbers of a range."""
    return fields.Float(validate=validate.Range(least, most))


def choice(*words: str, into: Callable[[str], Any] = str) -> fields.String:
    """Take one of some words; `into` makes the frozen value of it."""
    return fields.String(validate=validate.OneOf(words), post_load=into)


def several(
    kind: fields.Field[Any],
    *,
    least: int | None = None,
    most: int | None = None,
    into: Callable[[Any], Any] = tuple,
) -> fields.List[Any]:
    """Take a list; `into` makes the frozen value of it."""
    return fields.List(kind, validate=validate.Length(least, most), post_load=into)


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

    def __init__(self, kind: fields.Field[Any]) -> None:
        super().__init__(kind, post_load=tuple)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        return super()._deserialize(value, attr, data, **kwargs)


class Seconds(fields.Float):
    """A time in a larger unit; `unit` is its seconds, and limits are in the unit."""

    def __init__(self, unit: int, **options: Any) -> None:
        super().__init__(post_load=lambda value: value * unit, **options)


class SecretReference(fields.Field[Secret]):
    """A secret: `{ env = "NAME" }` or `{ file = "path" }`, never the value itself."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        if not isinstance(value, Secret):  # references are resolved before the schema runs
            raise ValidationError(
                'a secret stands elsewhere: write { env = "NAME" } or { file = "path" }'
            )
        return value


class SecretUrl(fields.Field[Secret]):
    """A URL that may hold a secret: as a string, or as a secret is given."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        if isinstance(value, str):
            return Secret(value)
        if not isinstance(value, Secret):
            raise ValidationError('write "https://...", { env = "NAME" } or { file = "path" }')
        return value


class DatabaseUrl(fields.Field[Secret]):
    """A database's URL; one with a password in it only as a secret is given."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:
        if isinstance(value, Secret):
            return value
        if not isinstance(value, str):
            raise ValidationError('write "sqlite:///path" or "postgresql://user@host/name"')
        with suppress(ValueError):
            if urlsplit(value).password is not None:
                raise ValidationError(
                    'a password stands elsewhere: write { env = "NAME" } or { file = "path" },'
                    " or set `database_password`"
                )
        return Secret(value)


def long_enough(secret: Secret) -> None:
    """Raise ValidationError for a secret that callers might guess."""
    if len(secret.reveal()) < MIN_SECRET:
        raise ValidationError(f"it has fewer than {MIN_SECRET} characters")


def digests(secrets: Iterable[Secret]) -> tuple[bytes, ...]:
    """Digest secrets that callers prove themselves by; raise ValidationError for a short one."""
    if any(len(secret.reveal()) < MIN_SECRET for secret in secrets):
        raise ValidationError(f"one has fewer than {MIN_SECRET} characters")
    return tuple(digest(secret.reveal().encode()) for secret in secrets)


class Days(fields.Field[Mapping[str, float]]):
    """Days by final state, read as seconds; one number is for all that are cleared anyway.

    0 is for ever: such a state is not among them.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        given = value if isinstance(value, Mapping) else dict.fromkeys(KEEP_DAYS, value)
        unknown = sorted(given.keys() - set(FINAL))
        if unknown:
            raise ValidationError(f"no final state {unknown[0]}: {', '.join(FINAL)}")
        for days in given.values():
            number = isinstance(days, int | float) and not isinstance(days, bool)
            if not number or not 0 <= days <= 36_500:
                raise ValidationError("a number of days, or a table of them by state")
        kept = {**KEEP_DAYS, **given}
        return MappingProxyType({state: days * 86400 for state, days in kept.items() if days})


class Counts(fields.Field[Mapping[str, int]]):
    """Numbers by the kind of alert; what is not named keeps its default."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValidationError("a table of numbers by kind")
        for name, count in value.items():
            if name not in AT_LEAST:
                raise ValidationError(f"no kind {name}: {', '.join(AT_LEAST)}")
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValidationError(f"{name}: a whole number above 0")
        return MappingProxyType({**AT_LEAST, **value})


class TrueOrTable(fields.Field[Any]):
    """`false` is None; a table, or `true` for its defaults, becomes a frozen value.

    make: what makes it of the table's values. words: what the operator is told of anything else.
    """

    def __init__(self, table: type[Schema], make: Callable[..., Any], words: str) -> None:
        super().__init__()
        self.table = table
        self.make = make
        self.words = words

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value is False:
            return None
        if value is not True and not isinstance(value, Mapping):
            raise ValidationError(self.words)
        return self.make(**self.table().load({} if value is True else value))


class TemplateLine(fields.Field[str]):
    """A template of one line."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
            raise ValidationError("one line of up to 200 characters")
        try:
            parse(value)
        except TemplateSyntaxError as error:
            raise ValidationError(error.errors[0].message) from None
        return value


class TimeZone(fields.Field[tzinfo]):
    """A time zone by its name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tzinfo:
        if value == "UTC":
            return UTC  # also where this machine knows no other
        try:
            return ZoneInfo(value)
        except (TypeError, ValueError, OSError, KeyError):
            raise ValidationError('no such time zone: write "America/New_York", say') from None


def clock(value: str) -> float | None:
    """Read a time of day, `07:00`, as seconds after midnight; an empty one is none."""
    found = _CLOCK.fullmatch(value)
    if value and found is None:
        raise ValueError('a time of day looks like "07:00"; "" is none')
    return int(found[1]) * 3600.0 + int(found[2]) * 60.0 if found else None


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


def issuer(value: str) -> str:
    """Check an identity provider's address: strangers must not be able to answer in its place."""
    parts = urlsplit(url(value))
    if parts.scheme != "https" and parts.hostname not in LOCAL:
        raise ValueError("an issuer begins with https://, unless it is on this machine")
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
