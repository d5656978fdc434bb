"""What is kept of HTML from outside: elements that say something, and links to where they say."""

import re

import nh3

from relay.core.html_elements import Tag, tokens

_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "h1"),
    *("h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "s", "small", "span"),
    *("strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
_SCHEMES = {"http", "https", "mailto", "tel"}
_USERINFO = re.compile(r"[a-z]+:[\\/]*[^\\/?#]*@")
_AROUND_URLS = "".join(map(chr, range(33)))

# A form's HTML is cleaned on the event loop, and a parser's work grows with the square of these:
# deep nesting, bare `&`.
MAX_HTML = 100_000
MAX_TAGS = 2_500
MAX_ENTITIES = 10_000
MAX_ROUNDS = 3


def is_safe_link(url: str) -> bool:
    """Return whether a link leads to where it says: to the web without a user name, mail or phone.

    `https://example.gov@evil.example` misleads.
    """
    # Browsers drop tabs and newlines inside a URL, and control characters and blanks around it,
    # before they read it.
    read = re.sub(r"[\t\r\n]", "", url).strip(_AROUND_URLS).lower()
    if read.partition(":")[0] not in _SCHEMES:
        return False
    return read.startswith(("mailto:", "tel:")) or not _USERINFO.match(read)


def _filter(tag: str, name: str, value: str) -> str | None:
    return value if (tag, name) != ("a", "href") or is_safe_link(value) else None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"*": set(), **_ATTRIBUTES},
    url_schemes=_SCHEMES,
    url_relative="deny",
    attribute_filter=_filter,
)


def clean_html(markup: str) -> str:
    """Keep the harmless part of HTML: no scripts, styles, images, or links that mislead.

    What is no element stays text; without any element, line breaks stay, too. Raise ValueError for
    HTML that is too much for one mail: over 100,000 characters, or 2,500 tags (a mail of that size
    is cut off by readers), or 10,000 entities.
    """
    if len(markup) > MAX_HTML:
        raise ValueError(f"has more than {MAX_HTML} characters of HTML")
    if markup.count("<") > MAX_TAGS or markup.count("&") > MAX_ENTITIES:
        raise ValueError(f"has more than {MAX_TAGS} tags or {MAX_ENTITIES} entities")
    cleaned = _CLEANER.clean(_plain(markup))
    # What is left may nest otherwise when it is read again: a link in a table in a link.
    for _ in range(MAX_ROUNDS):
        before, cleaned = cleaned, _CLEANER.clean(cleaned)
        if cleaned == before:
            break
    return cleaned


def _plain(markup: str) -> str:
    """Write HTML with the elements that are kept alone, and everything else as text."""
    found = list(tokens(markup))
    written = "".join(_written(one) for one in found)
    if any(isinstance(one, Tag) for one in found):
        return written
    return re.sub(r"\r\n?|\n", "<br>\n", written)


def _written(token: str | Tag) -> str:
    if isinstance(token, str):
        return token.replace("<", "&lt;")
    if token.name not in _TAGS:
        return ""
    if token.is_end:
        return f"</{token.name}>"
    given = {name: token.attribute(name) for name in _ATTRIBUTES.get(token.name, ())}
    values = (f' {name}="{_quoted(value)}"' for name, value in given.items() if value is not None)
    return f"<{token.name}{''.join(values)}>"


def _quoted(value: str) -> str:
    return value.replace('"', "&quot;").replace("<", "&lt;")
