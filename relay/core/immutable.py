"""Read-only values: what travels through plugins is changed by nobody on its way."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def freeze(value: Any) -> Any:
    """Make nested dicts and lists read-only: mappings and tuples of the same content."""
    if isinstance(value, dict):
        # Most of what comes is text: to ask for each would be a call for each.
        return MappingProxyType(
            {name: one if type(one) is str else freeze(one) for name, one in value.items()}
        )
    if isinstance(value, list):
        return tuple(freeze(member) for member in value)
    return value


def thaw(value: Any) -> Any:
    """Make plain dicts and lists of frozen values, for JSON."""
    if isinstance(value, Mapping):
        return {name: one if type(one) is str else thaw(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(member) for member in value]
    return value
