"""The nearest of the names there are, for whoever mistyped one."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest the nearest of the names, as the end of a sentence; empty if none is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
