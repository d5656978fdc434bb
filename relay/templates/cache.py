"""Templates that were read once, kept for the next message."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from relay.templates.parts import Compiled

# A version of a template, and of the layout it stands in. A version never changes, so what was
# read of it stays true for ever, and what is no longer used is pushed out by what is.
Key = tuple[str, int, int, int | None, int | None]

MAX_ENTRIES = 1_000
MAX_CHARACTERS = 8_000_000


class Cache:
    """The templates that were used last, within limits; for any thread."""

    def __init__(self, entries: int = MAX_ENTRIES, characters: int = MAX_CHARACTERS) -> None:
        self._entries = entries
        self._characters = characters
        self._kept: OrderedDict[Key, tuple[Compiled, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, key: Key, read: Callable[[], tuple[Compiled, int]]) -> Compiled:
        """Return what is kept under a key, or read it: with how many characters it had."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept[0]
        compiled, size = read()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = compiled, size
                self._size += size
            while self._kept and (len(self._kept) > self._entries or self._size > self._characters):
                _, (_, dropped) = self._kept.popitem(last=False)
                self._size -= dropped
        return compiled
