"""How a mistake in a table of settings becomes one line that names the place."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from relay.core.errors import ConfigurationError
from relay.core.secret import resolve
from relay.core.suggest import nearest


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
