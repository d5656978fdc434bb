"""The model that a template seems to expect, for a first try."""

from collections.abc import Iterable
from typing import Any

from relay.mustachio.syntax import CLOSE, Token
from relay.mustachio.tags import PARENT, TagKind


class _Usage:
    """What is known of one key: its parent, the keys below it, how tags use it."""

    __slots__ = ("below", "key", "parent", "uses")

    def __init__(self, key: str, parent: "_Usage | None") -> None:
        self.key = key
        self.parent = parent
        self.below: dict[str, _Usage] = {}
        self.uses: set[TagKind] = set()

    def reached(self, elements: Iterable[str]) -> "_Usage":
        """Follow a path from here, noting keys that are new. Past the root it stays there."""
        usage = self
        for element in elements:
            if element == PARENT:
                usage = usage.parent or usage
            else:
                found = usage.below.get(element)
                if found is None:
                    found = usage.below[element] = _Usage(element, usage)
                usage = found
        return usage


_SCALAR = {TagKind.VALUE}


def suggest_model(tokens: Iterable[Token]) -> Any:
    """Make a model in which every path of the tokens finds something."""
    usage = root = _Usage("", None)
    scopes: list[_Usage] = []
    for token in tokens:
        if isinstance(token, str):
            continue
        if token is CLOSE:
            usage = scopes.pop()
            continue
        used = usage.reached(token.path.elements)
        if token.kind is TagKind.VALUE or token.kind is TagKind.VERBATIM:
            used.uses.add(TagKind.VALUE)
        else:
            used.uses.add(TagKind.EACH if token.kind is TagKind.EACH else TagKind.SECTION)
            scopes.append(usage)
            usage = used
    return _model(root)


def _model(root: _Usage) -> Any:
    """Build the model level by level, not by recursion, which a deep path would exhaust."""
    top: dict[str, Any] = {}
    waiting = [(top, "", root)]
    while waiting:
        place, key, usage = waiting.pop()
        members: dict[str, Any] = dict.fromkeys(usage.below)
        place[key] = _shape(usage, members)
        if usage.uses != _SCALAR:
            waiting.extend((members, name, below) for name, below in usage.below.items())
    return top[""]


def _shape(usage: _Usage, members: dict[str, Any]) -> Any:
    if usage.uses == _SCALAR:
        return f"{usage.key}_Value"
    if TagKind.EACH not in usage.uses:
        return members
    return [members] if members else [f"{usage.key}_{number}" for number in (1, 2, 3)]
