"""Values of a model: what a path finds in them, which count as false, how they print.

Only mappings, sequences, strings, numbers, booleans and None exist for a template. Anything else is
treated as None: no attribute of it is read and no method called. That is why the types are asked
here and never `isinstance`, which reads a value's `__class__`.
"""

from collections.abc import Mapping, Sequence, Sized
from typing import Any, cast

from relay.mustachio.numbers import printed_float, printed_integer

# Of these and no subclass of them, so that no method of the model's own is called.
BASIC = frozenset({dict, list, tuple, str, int, float, bool, type(None)})


def member(value: object, key: str) -> Any:
    """Look a key up in any value: None in all but mappings."""
    if issubclass(type(value), Mapping):
        return cast("Mapping[str, object]", value).get(key)
    return None


def truth(value: object) -> bool:
    """Return whether a section shows: not for null, false, zero, and what is empty."""
    kind = type(value)
    if kind in BASIC:
        return bool(value)
    if issubclass(kind, int | float):
        return printed(value) not in _ZERO
    if issubclass(kind, str | Mapping) or is_list(value):
        return len(cast("Sized", value)) > 0
    return False


def is_list(value: object) -> bool:
    """Return whether `each` can go through a value."""
    kind = type(value)
    return issubclass(kind, Sequence) and not issubclass(kind, _NOT_LISTS)


def printed(value: object) -> str:
    """Write a value out as .NET does in its invariant culture; objects and lists print nothing."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(cast("str", value))
    if kind is bool:
        return "True" if value else "False"
    if issubclass(kind, int):
        return printed_integer(cast("int", value))
    if issubclass(kind, float):
        return printed_float(cast("float", value))
    return ""


_ZERO = {"0", "-0"}
_NOT_LISTS = (str, bytes, bytearray, memoryview)
