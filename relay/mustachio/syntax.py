"""Blocks: pair what opens with what closes, and collect everything that is wrong."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from relay.core.errors import TemplateFault
from relay.core.text import length
from relay.mustachio.tags import TAG, Tag, TagKind, read_tag

# Blocks inside each other, each dotted segment of their paths counted. The renderer uses one Python
# frame a block, and the interpreter allows 1,000.
MAX_DEPTH = 500

# Tags and their paths' segments, of a layout with its content in every place. The densest template
# of 256 KB has about half as many; a layout can repeat its content and so multiply it.
MAX_WEIGHT = 250_000

Token = str | Tag

_UNCLOSED = (
    "A scope block to the following path was opened but not closed: '{}',"
    " please close it using the appropriate syntax."
)
_MISMATCHED = "It appears that open and closing elements are mismatched."
_EACH_NOT_OPEN = (
    "An 'each' block is being closed, but no corresponding opening element"
    " ('{#each <name>}') was detected."
)
_TOO_DEEP = f"Blocks and paths may not go more than {MAX_DEPTH} levels deep."
_TOO_LARGE = f"A layout and its content may not have more than {MAX_WEIGHT} tags together."

CLOSE = read_tag("{{/}}", placeholders=False)


@dataclass(frozen=True)
class Outline:
    """A template's text and tags in order; every block ends with CLOSE if there are no faults.

    depth: the most levels that any of it goes down. weight: its tags and their paths' segments.
    """

    tokens: list[Token]
    faults: list[TemplateFault]
    depth: int
    weight: int


# An open block: the name that closes it (None: `{{/each}}` does), its place, the depth around it.
_Scope = tuple[str | None, int, int]


def outline(source: str, content: str | None = None) -> Outline:
    """Read a template; `content` is the body that `{{{ @content }}}` stands for."""
    return _Reader(source, content).read()


class _Reader:
    """One pass over a template's pieces: text at even places, tags at odd ones."""

    def __init__(self, source: str, content: str | None) -> None:
        self.pieces: list[str] = TAG.split(source)
        self.content = content
        self.inner: Outline | None = None
        self.tokens: list[Token] = []
        self.scopes: list[_Scope] = []
        self.wrong: list[tuple[int, str]] = []
        self.depth = self.deepest = self.weight = 0
        self.too_large = False

    def read(self) -> Outline:
        known: dict[str, Tag] = {}
        pieces, append = self.pieces, self.tokens.append
        for place in range(1, len(pieces), 2):
            source = pieces[place]
            tag = known.get(source)
            if tag is None:
                tag = known[source] = read_tag(source, self.content is not None)
            if pieces[place - 1]:
                append(pieces[place - 1])
            self.weight += tag.weight
            _ACTIONS[tag.kind](self, tag, place)
        if pieces[-1]:
            append(pieces[-1])
        return self._finish()

    def _finish(self) -> Outline:
        for name, place, _ in self.scopes:
            path = (self.pieces[place] if name is None else name).strip("{#}")
            self.wrong.append((place, _UNCLOSED.format(path.removeprefix("each "))))
        faults = located(self.pieces, self.wrong)
        if self.inner is not None:
            faults.extend(self.inner.faults)
        return Outline(self.tokens, faults, self.deepest, self.weight)

    def _reach(self, depth: int, place: int) -> None:
        """Note a depth; going over the limit is reported once, where it first happens."""
        if self.deepest <= MAX_DEPTH < depth:
            self.wrong.append((place, _TOO_DEEP))
        self.deepest = depth

    def _value(self, tag: Tag, place: int) -> None:
        self.tokens.append(tag)
        if tag.fault is not None:
            self.wrong.append((place, tag.fault))
        if self.depth + tag.levels > self.deepest:
            self._reach(self.depth + tag.levels, place)

    def _section(self, tag: Tag, place: int) -> None:
        """Open a block, or turn to the other half of the one on the same path."""
        opener = place
        if self.scopes and self.scopes[-1][0] == tag.name:
            opener = self.scopes[-1][1]
            self._close(tag, place)
        self._value(tag, place)
        self._enter(tag, opener, tag.name)

    def _each(self, tag: Tag, place: int) -> None:
        self._value(tag, place)
        self._enter(tag, place, None)

    def _enter(self, tag: Tag, opener: int, name: str | None) -> None:
        self.scopes.append((name, opener, self.depth))
        self.depth += tag.levels or 1
        if self.depth > self.deepest:
            self._reach(self.depth, opener)

    def _close(self, tag: Tag, place: int) -> None:
        if self.scopes and self.scopes[-1][0] == tag.name:
            self.depth = self.scopes.pop()[2]
            self.tokens.append(CLOSE)
            if tag.fault is not None:
                self.wrong.append((place, tag.fault))
        else:
            self.wrong.append((place, _MISMATCHED))

    def _each_close(self, tag: Tag, place: int) -> None:
        if tag.fault is not None:
            self.wrong.append((place, tag.fault))
        elif self.scopes and self.scopes[-1][0] is None:
            self.depth = self.scopes.pop()[2]
            self.tokens.append(CLOSE)
        else:
            self.wrong.append((place, _EACH_NOT_OPEN))

    def _insert(self, tag: Tag, place: int) -> None:
        """Put the content's tokens in the place of a placeholder."""
        if self.inner is None:
            self.inner = outline(self.content or "")
        self.weight += self.inner.weight
        if self.weight <= MAX_WEIGHT:
            self.tokens.extend(self.inner.tokens)
        elif not self.too_large:
            self.too_large = True
            self.wrong.append((place, _TOO_LARGE))
        self._reach(max(self.deepest, self.depth + self.inner.depth), place)

    def _skip(self, tag: Tag, place: int) -> None:
        """Leave a comment out."""


_ACTIONS: dict[TagKind, Callable[[_Reader, Tag, int], None]] = {
    TagKind.VALUE: _Reader._value,
    TagKind.VERBATIM: _Reader._value,
    TagKind.SECTION: _Reader._section,
    TagKind.INVERTED: _Reader._section,
    TagKind.CLOSE: _Reader._close,
    TagKind.EACH: _Reader._each,
    TagKind.EACH_CLOSE: _Reader._each_close,
    TagKind.COMMENT: _Reader._skip,
    TagKind.PLACEHOLDER: _Reader._insert,
}


def located(pieces: Sequence[str], wrong: Iterable[tuple[int, str]]) -> list[TemplateFault]:
    """Return each (index of a piece, message) the line and character at which the piece begins.

    The pieces together are the template. All are found in one pass, in the order of `wrong`.
    """
    wrong = list(wrong)
    wanted = {place for place, _ in wrong}
    begins: dict[int, tuple[int, int]] = {}
    line = character = 1
    for place in range(max(wanted, default=-1) + 1):
        if place in wanted:
            begins[place] = line, character
        piece = pieces[place]
        if "\n" in piece:
            line += piece.count("\n")
            character = 1
            piece = piece[piece.rindex("\n") + 1 :]
        character += length(piece)
    return [TemplateFault(message, *begins[place]) for place, message in wrong]
