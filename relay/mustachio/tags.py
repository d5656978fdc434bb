"""Tags: what is between double braces, told apart by how it begins, and paths into a model."""

import re
import unicodedata
from enum import IntEnum, auto
from typing import NamedTuple

# Segments may hold letters, combining marks, digits and connectors of the Basic Multilingual Plane:
# .NET's \w, which knows UTF-16 units only. Python's own \w has other members.
_WORD = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Nd", "Pc"})

# What nearly all paths are; the rest takes longer to read.
_COMMON = re.compile(r"[A-Za-z0-9_]++(?:\.[A-Za-z0-9_]++)*+")
_MISPLACED = re.compile(r"\.{3}|\.\.(?!/)|(?<!\.\.)/")
_ELEMENT = re.compile(r"\.\./|[^.]+")
PARENT = "../"


class Path(NamedTuple):
    """What a valid path asks for: so many levels up, then these keys down.

    elements: the keys and "../" in the order in which they were written.
    """

    elements: tuple[str, ...]
    up: int
    keys: tuple[str, ...]


def parse_path(text: str) -> Path | None:
    """Read a trimmed path, or None for one that is not valid."""
    if _COMMON.fullmatch(text):
        keys = tuple(text.split("."))
        return Path(keys, 0, keys)
    if _MISPLACED.search(text) or not all(map(_is_allowed, text)):
        return None
    return _resolved(tuple(_ELEMENT.findall(text)))


def _resolved(elements: tuple[str, ...]) -> Path:
    up = 0
    keys: list[str] = []
    for element in elements:
        if element != PARENT:
            keys.append(element)
        elif keys:
            keys.pop()
        else:
            up += 1
    return Path(elements, up, tuple(keys))


def _is_allowed(character: str) -> bool:
    return character in "./" or (character <= "\uffff" and unicodedata.category(character) in _WORD)


# With one group `split` gives text, tag, text, ..., text. No brace may stand inside a tag, so the
# possessive repeat ends at the next brace and every character is looked at twice at most.
TAG = re.compile(r"(\{\{[^{}]++\}\}|\{\{\{[^{}]++\}\}\})")

_PLACEHOLDER = re.compile(r"\{\{\{\s*@content\s*\}\}\}")

# What .NET trims; Python's own list has the four separators U+001C to U+001F too.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)

_BAD_PATH = "The path '{}' is not valid. Please see documentation for examples of valid paths."
_EACH_WITHOUT_PATH = (
    "The 'each' block being opened requires a model path to be specified in the form"
    " '{#each <name>}'."
)
_EACH_CLOSED_BADLY = "The syntax to close the 'each' block should be: '{/each}'."


class TagKind(IntEnum):
    """What a tag does. Integers, because other members of enumerations are slow to look up."""

    VALUE = auto()
    VERBATIM = auto()
    SECTION = auto()
    INVERTED = auto()
    CLOSE = auto()
    EACH = auto()
    EACH_CLOSE = auto()
    COMMENT = auto()
    PLACEHOLDER = auto()


class Tag(NamedTuple):
    """One tag, read alone.

    name: the path as written, trimmed; of an `each` that was not understood, the whole tag.
    levels: how many levels of the model it goes down, an item of a list being one.
    weight: how much work it is, for the limit of a layout.
    fault: what is wrong with it, or None.
    """

    kind: TagKind
    name: str
    path: Path
    levels: int
    weight: int
    fault: str | None


def read_tag(source: str, placeholders: bool) -> Tag:
    """Return what a tag is; `placeholders`: whether `{{{ @content }}}` is one, not a bad path."""
    kind, sigil = _KINDS.get(source[2], _VALUE)
    if kind in _BLOCKS and source.startswith("each", 3):
        return _each(source) if kind is TagKind.SECTION else _each_close(source)
    if placeholders and kind is TagKind.VERBATIM and _PLACEHOLDER.fullmatch(source):
        return _tag(TagKind.PLACEHOLDER, "")
    if kind is TagKind.COMMENT:
        return _tag(TagKind.COMMENT, "")
    return _tag(kind, source.strip("{}").lstrip(sigil).strip(_SPACE))


_VALUE = (TagKind.VALUE, "")
_KINDS = {
    "#": (TagKind.SECTION, "#"),
    "^": (TagKind.INVERTED, "^"),
    "/": (TagKind.CLOSE, "/"),
    "&": (TagKind.VERBATIM, "&"),
    "{": (TagKind.VERBATIM, "&"),
    "!": (TagKind.COMMENT, "!"),
}
_BLOCKS = (TagKind.SECTION, TagKind.CLOSE)


def _each(source: str) -> Tag:
    name = source.strip("{}").lstrip("#").strip(_SPACE).removeprefix("each")
    if name.startswith(" "):
        return _tag(TagKind.EACH, name.strip(_SPACE))
    return _tag(TagKind.EACH, "", _EACH_WITHOUT_PATH)


def _each_close(source: str) -> Tag:
    fault = None if source == "{{/each}}" else _EACH_CLOSED_BADLY
    return _tag(TagKind.EACH_CLOSE, "", fault)


_NOWHERE = Path((), 0, ())


def _tag(kind: TagKind, name: str, fault: str | None = None) -> Tag:
    path = parse_path(name)
    if path is None:
        return Tag(kind, name, _NOWHERE, 0, 1, _BAD_PATH.format(name))
    levels = len(path.keys) + 1 if kind is TagKind.EACH else len(path.keys)
    return Tag(kind, name, path, levels, 1 + len(path.elements), fault)
