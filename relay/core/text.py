"""What may stand in a line or a body of text, how text becomes HTML, and which name was meant."""

import difflib
import html
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

# C0 without tab, newline and return. Surrogates cannot be stored anywhere.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
# What ends or hides a line: C0, DEL, C1 and the two Unicode separators.
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Direction overrides and zero-width characters: they make a line look like another one.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_WORD = re.compile(r"[^\s'\"<>(),;:]+")


def is_storable(text: str) -> bool:
    """Return whether every store and every mail can carry the text."""
    return not _UNSTORABLE.search(text)


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it has blanks and invisible characters only."""
    return not _INVISIBLE.sub("", text).strip()


def line(text: str) -> str:
    """Return a single line without invisible characters; raise ValueError if it is not one line."""
    if _NOT_IN_A_LINE.search(text):
        raise ValueError("must be a single line without control characters")
    return _INVISIBLE.sub("", text).strip()


def one_line(text: str, max: int = 2000) -> str:
    """Make one line of any text, without invisible characters and cut to a length."""
    return " ".join(_INVISIBLE.sub("", _NOT_IN_A_LINE.sub(" ", text)).split())[:max].strip()


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
