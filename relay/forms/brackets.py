"""Field names with brackets, as PHP reads them: `email[headers][0][Name]=...`."""

import re
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 8
TWICE = "given twice with different values"

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def nest(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Build nested dicts from names with brackets; `a[]` counts on from the highest number.

    A name that stands twice with the same value counts once. Two different values for one name, a
    name that is a value here and a group there, or one with too many brackets raise ValueError
    with the name's first part and what is wrong with it as its arguments. Dicts keyed 0, 1, 2, ...
    come out as lists.
    """
    tree: dict[str, Any] = {}
    for name, value in pairs:
        first, group, last = _opened(tree, name) if "[" in name else (name, tree, name)
        if last in group and group[last] != value:
            raise ValueError(first, TWICE)
        group[last] = value
    for name, value in tree.items():
        if isinstance(value, _Group):
            tree[name] = _lists(value)
    return tree


def _path(name: str) -> list[str]:
    """Split `a[b][]` into its parts; brackets that do not close are part of the name."""
    first, bracket, rest = name.partition("[")
    if not bracket or not first or not rest.endswith("]"):
        return [name]
    parts = [first, *rest[:-1].split("][")]
    bare = "".join(parts)
    if "[" in bare or "]" in bare:
        return [name]
    if len(parts) > MAX_DEPTH:
        raise ValueError(first, f"has brackets deeper than {MAX_DEPTH}")
    return parts


class _Group(dict[str, Any]):
    """Made of brackets; a dict that is somebody's value is left as it is."""


def _opened(tree: dict[str, Any], name: str) -> tuple[str, dict[str, Any], str]:
    """Return a name's first part, the group that it stands in, and its name there."""
    first, *rest = _path(name)
    if not rest:
        return first, tree, first
    *groups, last = first, *rest
    for group in groups:
        tree = tree.setdefault(group or _next(tree), _Group())
        if not isinstance(tree, _Group):
            raise ValueError(first, TWICE)  # noqa: TRY004 - the name clashes, no caller erred
    return first, tree, last or _next(tree)


def _next(group: Iterable[str]) -> str:
    numbers = (int(name) for name in group if _NUMBER.fullmatch(name))
    return str(max(numbers, default=-1) + 1)


def _lists(group: _Group) -> Any:
    members = [_lists(one) if isinstance(one, _Group) else one for one in group.values()]
    if list(group) == [str(index) for index in range(len(group))]:
        return members
    return dict(zip(group, members, strict=True))
