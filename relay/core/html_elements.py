"""What in a text is HTML: its elements, apart from what people write between angle brackets.

`Write to Jane <jane@example.gov>`, `<https://example.gov>` and `Dear <name>` are text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Elements that have no end, or that people leave open.
_OPEN_ENDED = _names(
    "a area b base basefont bgsound blockquote body br center col colgroup dd div dl dt em embed"
    " font frame h1 h2 h3 h4 h5 h6 head hr html i img input isindex keygen li link meta nextid nobr"
    " ol optgroup option p param pre rb rp rt rtc s script small source spacer span strike strong"
    " style sub sup table tbody td tfoot th thead tr track u ul wbr"
)
# Without attributes and without an end anywhere, these are words: `at <time> in <address>`.
_CLOSED = _names(
    "abbr acronym address applet article aside audio bdi bdo big blink button canvas caption cite"
    " code data datalist del details dfn dialog dir fieldset figcaption figure footer form frameset"
    " header hgroup iframe ins kbd label layer legend listing main map mark marquee math menu"
    " menuitem meter multicol nav noembed noframes noscript object output picture plaintext"
    " progress q ruby samp search section select slot summary svg template textarea time title tt"
    " var video xml xmp"
)
# Office's names: `o:p`, `v:shape`, `st1:place`.
_OFFICE = re.compile(r"[a-z][a-z0-9]?[0-9]?:[a-z]\w*", re.ASCII)
# Nobody sees what stands in these.
_UNSEEN = frozenset({"script", "style", "template", "title", "xml"})
# In these every name is an element's.
_FOREIGN = frozenset({"math", "svg"})

# What elements mean that few mail programs know.
_MEANINGS: Mapping[str, str] = {
    **dict.fromkeys(
        _names(
            "address article aside caption center details dialog fieldset figcaption figure footer"
            " form header hgroup layer legend main marquee nav optgroup option search section"
            " summary"
        ),
        "div",
    ),
    **dict.fromkeys(["dir", "menu"], "ul"),
    **dict.fromkeys(["listing", "xmp"], "pre"),
    **dict.fromkeys(["kbd", "samp", "tt", "var"], "code"),
    "acronym": "abbr",
    "ins": "u",
    "strike": "s",
}

# Between the brackets of a tag stand values in quotes, whose brackets do not count, or whatever has
# no bracket. Long values have none, nor are there many, so that no text is read again and again.
_VALUE = r"""(?:"(?:[^"<]*+|[^"]{0,1000}+)"|'(?:[^'<]*+|[^']{0,1000}+)')"""
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<[!?][^<>]*+>"
    r"|<(?P<end>/?)(?P<name>[a-z][^\s/<>\"']*+)"
    rf"""(?P<attributes>[^<>"']*+(?:{_VALUE}[^<>"']*+){{0,40}}+(?=>)|[^<>]*+)>""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"""([^\s"'<>/=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>][^\s>]*+)))?+"""
)
_END = re.compile(r"</([a-z][a-z0-9]*+)(?:[\s/][^<>]*+)?>", re.IGNORECASE)


class Tag(NamedTuple):
    """A tag of a known element, under the name that mail programs know.

    attributes: as they are written.
    """

    name: str
    is_end: bool
    attributes: str

    def attribute(self, name: str) -> str | None:
        """Return an attribute's value as it is written, entities included; None without one."""
        for given, *values in _ATTRIBUTE.findall(self.attributes):
            if given.lower() == name:
                return "".join(values)
        return None


def is_html(text: str) -> bool:
    """Return whether a text has any element at all."""
    return any(isinstance(token, Tag) for token in tokens(text))


def tokens(markup: str) -> Iterator[str | Tag]:
    """Split HTML into tags and the text between them, in which `<` is a character.

    Comments are left out, and what nobody sees: scripts, styles, titles.
    """
    ends = {end[1].lower(): end.start() for end in _END.finditer(markup)}
    foreign = ""
    begin = position = 0
    while match := _TOKEN.search(markup, position):
        position = match.end()
        name, is_end = (match["name"] or "").lower(), bool(match["end"])
        if name and not foreign and not _is_element(name, match, ends):
            continue
        yield markup[begin : match.start()]
        begin = position
        if name in _FOREIGN:
            foreign = "" if is_end or match["attributes"].endswith("/") else name
        elif name in _UNSEEN and not is_end:
            begin = position = _end_of(name, markup, position)
        if name:
            yield Tag(_MEANINGS.get(name, name), is_end, match["attributes"])
    yield markup[begin:]


def _is_element(name: str, match: re.Match[str], ends: Mapping[str, int]) -> bool:
    if name in _CLOSED:
        return ends.get(name, -1) >= match.start() or bool(match["attributes"].strip(" /"))
    return name in _OPEN_ENDED or bool(_OFFICE.fullmatch(name))


def _end_of(name: str, markup: str, position: int) -> int:
    """Return where an element ends: where all ends, if nothing closes it."""
    ends = (end.end() for end in _END.finditer(markup, position) if end[1].lower() == name)
    return next(ends, len(markup))
