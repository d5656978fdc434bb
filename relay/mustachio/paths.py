"""Paths into a model: which are valid, and what they ask for."""

import re
import unicodedata
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
    if _MISPLACED.search(text) or not all(map(_allowed, text)):
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


def _allowed(character: str) -> bool:
    return character in "./" or (character <= "\uffff" and unicodedata.category(character) in _WORD)
