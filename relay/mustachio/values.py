"""Values of a model: what a path finds in them, which count as false, how .NET writes them.

Only mappings, sequences, strings, numbers, booleans and None exist for a template. Anything else is
treated as None: no attribute of it is read and no method called. That is why the types are asked
here and never `isinstance`, which reads a value's `__class__`.
"""

import math
import re
from collections.abc import Mapping, Sequence, Sized
from typing import Any, cast

# Of these and no subclass of them, so that no method of the model's own is called.
BASIC = frozenset({dict, list, tuple, str, int, float, bool, type(None)})


def member(value: object, key: str) -> Any:
    """Look a key up in any value: None in all but mappings."""
    if issubclass(type(value), Mapping):
        return cast("Mapping[str, object]", value).get(key)
    return None


def is_true(value: object) -> bool:
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


# Over so many digits before the point, or as many as the number needs, .NET turns to exponents.
_WHOLE_DIGITS = 15
_LEADING_ZEROS = 3


def printed_integer(value: int) -> str:
    """Write an integer; one with more digits than Python is willing to write is infinite."""
    try:
        return int.__repr__(value)
    except ValueError:
        return "Infinity" if int.__gt__(value, 0) else "-Infinity"


def printed_float(value: float) -> str:
    """Write a float: 2.0 -> 2, 1e21 -> 1E+21, 1e-7 -> 1E-07."""
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if math.isinf(value):
        return f"{sign}Infinity"
    digits, scale = _digits(value)
    if scale > max(len(digits), _WHOLE_DIGITS) or scale < -_LEADING_ZEROS:
        fraction = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{fraction}E{scale - 1:+03d}"
    if scale <= 0:
        return f"{sign}0.{'0' * -scale}{digits}" if digits != "0" else f"{sign}0"
    whole, fraction = digits[:scale].ljust(scale, "0"), digits[scale:]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _digits(value: float) -> tuple[str, int]:
    """Return the significant digits, and how many of them stand before the point."""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    scale = len(digits) - len(fraction) + int(exponent or 0)
    return digits.rstrip("0") or "0", scale


# Latin-1's upper half and everything beyond the Basic Multilingual Plane become decimal references;
# a surrogate without its other half is no character at all.
_FOREIGN = re.compile("[\xa0-\xff\U00010000-\U0010ffff\ud800-\udfff]")


def escape_html(text: str) -> str:
    """Escape a value for HTML, in text or in a quoted attribute."""
    # A test costs a third of a replacement, and most values need none.
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if '"' in text:
        text = text.replace('"', "&quot;")
    if "'" in text:
        text = text.replace("'", "&#39;")
    return text if text.isascii() else _FOREIGN.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"&#{code};"
