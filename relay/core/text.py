"""What may stand in a line or a body of text, how text becomes HTML, and which name was meant."""

import difflib
import html
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import nh3

# C0 without tab, newline and return. Surrogates cannot be stored anywhere.
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
# What ends or hides a line: C0, DEL, C1 and the two Unicode separators.
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Direction overrides and zero-width characters: they make a line look like another one.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_WORD = re.compile(r"[^\s'\"<>(),;:]+")

_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "div", "dl", "dt", "em", "h1", "h2"),
    *("h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "small", "span", "strong"),
    *("sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
_SPAN = {"colspan", "rowspan"}
_USERINFO = re.compile(r"[a-z]+:[\\/]*[^\\/?#]*@")
_AROUND_URLS = "".join(map(chr, range(33)))

# A form's HTML is cleaned on the event loop, and a parser's work grows with the square of these:
# deep nesting, open elements carried over from block to block, attributes of one tag, bare `&`.
MAX_HTML = 100_000
MAX_TAGS = 2_500
MAX_ENTITIES = 10_000
MAX_ROUNDS = 3
# What is still open when a block ends is opened again in the next one: of elements with different
# attributes all of them, without attributes (which would be dropped anyway) three of a kind.
_CARRIED_OVER = re.compile(
    r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\t\n\f\r /][^>]*+(?:>|\Z)",
    re.IGNORECASE,
)


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Drop a web link that carries a user name: `https://example.gov@evil.example` misleads."""
    if (tag, name) != ("a", "href"):
        return value
    # Browsers drop tabs and newlines inside a URL, and control characters and blanks around it,
    # before they read it.
    url = re.sub(r"[\t\r\n]", "", value).strip(_AROUND_URLS).lower()
    if url.startswith(("mailto:", "tel:")) or not _USERINFO.match(url):
        return value
    return None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"*": set(), "a": {"href", "title"}, "td": _SPAN, "th": _SPAN},
    url_schemes={"http", "https", "mailto", "tel"},
    url_relative="deny",
    attribute_filter=_attribute,
)


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


def clean_html(markup: str) -> str:
    """Keep the harmless part of HTML: no scripts, styles, images, or links that mislead.

    Raise ValueError for HTML that is too much for one mail: over 100,000 characters, or 2,500 tags
    (a mail of that size is cut off by readers), or 10,000 entities.
    """
    if len(markup) > MAX_HTML:
        raise ValueError(f"has more than {MAX_HTML} characters of HTML")
    if markup.count("<") > MAX_TAGS or markup.count("&") > MAX_ENTITIES:
        raise ValueError(f"has more than {MAX_TAGS} tags or {MAX_ENTITIES} entities")
    cleaned = _CLEANER.clean(_CARRIED_OVER.sub(r"<\1>", markup))
    # What is left may nest otherwise when it is read again: a link in a table in a link.
    for _ in range(MAX_ROUNDS):
        before, cleaned = cleaned, _CLEANER.clean(cleaned)
        if cleaned == before:
            break
    return cleaned


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


def as_text(markup: str) -> str:
    """Return the words of HTML, for a text part that nobody supplied."""
    spaced = re.sub(r"(?i)</t[dh]\s*>(?!\s*</tr)", " ", markup)
    spaced = re.sub(r"(?i)<br\s*/?>|</(?:p|div|tr|li|d[dt]|pre|h[1-6])\s*>", "\n", spaced)
    return html.unescape(nh3.clean(spaced, tags=set())).strip()


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the nearest of the names, as the end of a sentence; empty if none is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
