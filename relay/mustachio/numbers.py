"""Numbers as .NET writes them: the shortest digits that read back as the same number."""

import math

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
