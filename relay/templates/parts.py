"""A stored template's parts: which it has, in which layout, read and kept to render."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from relay.core.errors import TemplateInvalid, TemplateSyntaxError
from relay.mustachio import Template, parse
from relay.templates.rules import NAMES, PARTS, Content

# Postmark's place for a link to unsubscribe, which plain templates do not have. As a comment of
# the same length it prints nothing, and what comes after it keeps its place.
_UNSUBSCRIBE = re.compile(r"(?<!\{)\{\{\{(\s*pm:unsubscribe(?:_url)?(?:\s[^{}]*)?)\}\}\}(?!\})")


class Compiled(NamedTuple):
    """A template's parts, read; None for those it does not have."""

    html: Template | None
    text: Template | None
    subject: Template | None


def read_part(source: str, layout: str | None = None) -> Template:
    """Read one part in its layout; raise TemplateSyntaxError."""
    source = _UNSUBSCRIBE.sub(r"{{!\1 }}", source)
    if not layout:
        return parse(source)
    return parse(_UNSUBSCRIBE.sub(r"{{!\1 }}", layout), source)


def readers(content: Content, layout: Content | None) -> dict[str, Callable[[], Template]]:
    """Return for each part that there is how to read it, in its layout.

    A subject never has a layout; a part that the layout does not have stands alone.
    """
    frames = {"html": layout.html, "text": layout.text} if layout is not None else {}
    return {
        part: partial(read_part, source, frames.get(part))
        for part in PARTS
        if (source := getattr(content, part))
    }


def compiled(content: Content, layout: Content | None) -> Compiled:
    """Read all parts that there are; raise TemplateSyntaxError."""
    read = {part: reader() for part, reader in readers(content, layout).items()}
    return Compiled(read.get("html"), read.get("text"), read.get("subject"))


def layout_readers(content: Content) -> dict[str, Callable[[], Template]]:
    """Return for each part of a layout how to read it, with nothing in the place of the content."""
    return {
        part: partial(read_part, "", source) for part in PARTS if (source := getattr(content, part))
    }


def check_parts(content: Content, layout: Content | None, is_layout: bool) -> None:
    """Raise TemplateInvalid, with line and character, unless all parts can be read."""
    parts = layout_readers(content) if is_layout else readers(content, layout)
    for part, reader in parts.items():
        try:
            reader()
        except TemplateSyntaxError as error:
            raise TemplateInvalid(f"The '{NAMES[part]}' is not valid: {error}") from error


# A version of a template, and of the layout it stands in. A version never changes, so what was
# read of it stays true for ever, and what is no longer used is pushed out by what is.
VersionKey = tuple[str, int, int, int | None, int | None]

MAX_ENTRIES = 1_000
MAX_CHARACTERS = 8_000_000


class Cache:
    """The templates that were used last, within limits; for any thread."""

    def __init__(self, entries: int = MAX_ENTRIES, characters: int = MAX_CHARACTERS) -> None:
        self._entries = entries
        self._characters = characters
        self._kept: OrderedDict[VersionKey, tuple[Compiled, int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, key: VersionKey, read: Callable[[], tuple[Compiled, int]]) -> Compiled:
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
