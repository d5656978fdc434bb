"""What may stand in a line or a body of text, how text becomes HTML, and which name was meant."""

import difflib
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any
from urllib.parse import urlsplit

from relay.core.invisible import visible

# What no database and no mail takes: C0 but for white space, and halves of surrogate pairs.
UNSTORABLE = "\x00-\x08\x0e-\x1f\ud800-\udfff"
_UNSTORABLE = re.compile(f"[{UNSTORABLE}]")
# And what people paste without seeing it: DEL, C1, and further characters that end a line.
_NOT_IN_A_TEXT = re.compile("[\x00-\x08\v\f\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LINE_ENDS = "\v\f\x85\u2028\u2029"
# White space and control characters of a line, which must not be broken: all but CR and LF.
_BLANK = re.compile("[\x00-\x09\v\f\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_WORD = re.compile(r"[^\s'\"<>(),;:]+")


def _readable(found: re.Match[str]) -> str:
    """Return what stands in a text in the place of a character that cannot stand there."""
    if found[0] in _LINE_ENDS:
        return "\n"
    return "\ufffd" if "\ud800" <= found[0] <= "\udfff" else ""


def _ascii(pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> dict[int, Any]:
    """Return the table by which `str.translate` does to ASCII what the pattern does to any text.

    It takes a fifth of the time, and most texts are ASCII.
    """
    found = {code: pattern.match(chr(code)) for code in range(128)}
    return {code: replace(match) or None for code, match in found.items() if match}


_ASCII_STORABLE = _ascii(_UNSTORABLE, _readable)
_ASCII_LINES = _ascii(_NOT_IN_A_TEXT, _readable)
_ASCII_LINE = _ascii(_BLANK, lambda found: " ")


def is_storable(text: str) -> bool:
    """Return whether every store and every mail can carry the text."""
    return not _UNSTORABLE.search(text)


def storable(text: str) -> str:
    """Return a text without what cannot be stored; half of a surrogate pair becomes U+FFFD."""
    if text.isascii():
        return text.translate(_ASCII_STORABLE)
    return _UNSTORABLE.sub(_readable, text)


def lines(text: str) -> str:
    """Return text of any number of lines: whatever ends one is a line break, other controls go."""
    return text.translate(_ASCII_LINES) if text.isascii() else _NOT_IN_A_TEXT.sub(_readable, text)


def line(text: str) -> str:
    """Return a single line, white space and control characters as blanks, and nothing invisible.

    Raise ValueError where it is broken: a line break is taken off its ends, not out of it.
    """
    shown = text.translate(_ASCII_LINE) if text.isascii() else _BLANK.sub(" ", visible(text))
    text = shown.strip()
    if "\n" in text or "\r" in text:
        raise ValueError("must be a single line")
    return text


def one_line(text: str, max: int = 2000) -> str:
    """Make one line of any text, without invisible characters and cut to a length."""
    return cut(" ".join(visible(_NOT_IN_A_LINE.sub(" ", text)).split()), max).strip()


def length(text: str) -> int:
    """Count UTF-16 units, as Postmark does: characters beyond the basic plane are two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, max: int) -> str:
    """Return what of a text fits into a length; no character is cut in two."""
    if length(text) <= max:
        return text
    return text.encode("utf-16-le", "surrogatepass")[: 2 * max].decode("utf-16-le", "ignore")


def each(change: Callable[[str], str], value: Any) -> Any:
    """Return a value of JSON with every text in it changed; names stay as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: each(change, member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [each(change, member) for member in value]
    return value


def shown(value: Any) -> Any:
    """Return a number or a boolean of JSON as the text that PHP shows of it, the rest as it is."""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return str(value) if isinstance(value, int | float) else value


def is_empty(value: Any) -> bool:
    """Return whether a value of JSON says nothing: a blank text, null, an empty list or object."""
    if isinstance(value, str):
        return is_blank(value)
    return value is None or (isinstance(value, Sized) and not value)


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it has blanks and invisible characters only."""
    # A letter or a digit is visible, and most texts begin with one.
    return not text[:1].isalnum() and not visible(text).strip()


def as_html(text: str) -> str:
    """Escape text for HTML; its newlines become `<br>`."""
    escaped = html.escape(text.replace("\r\n", "\n").replace("\r", "\n"))
    return escaped.replace("\n", "<br>\n")


def web_link(text: str | None) -> str:
    """Return an absolute http or https URL that is safe to link to; "" for anything else."""
    if not text or re.search(r"[\s\\]", text):
        return ""
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 0) >= 0
    except ValueError:  # a port or an IPv6 address that is none
        return ""
    return text if named and parts.scheme in ("http", "https") else ""


def without_addresses(words: str) -> str:
    """Take mail addresses out of words that somebody else wrote."""
    return _WORD.sub(lambda word: "(address)" if "@" in word[0].strip("@") else word[0], words)


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the nearest of the names, as the end of a sentence; empty if none is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
