"""From tokens to a program."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.mustachio.program import (
    Level,
    Node,
    Piece,
    each_node,
    section_node,
    texts_node,
    values_node,
)
from relay.mustachio.syntax import CLOSE, Token
from relay.mustachio.tags import Tag, TagKind


@dataclass(frozen=True)
class Program:
    """Nodes to run one after the other, and the slots they need.

    Of each slot: the slot before it, and the key that leads from there to it.
    """

    nodes: Sequence[Node]
    parents: Sequence[int]
    keys: Sequence[str]

    def name(self, slot: int, keys: Iterable[str]) -> str:
        """Return the path of a value from the root, without the levels that are lists' items."""
        path = [*keys][::-1]
        while slot:
            path.append(self.keys[slot])
            slot = self.parents[slot]
        return ".".join(filter(None, reversed(path))) or "."


def compile_tokens(tokens: Iterable[Token]) -> Program:
    """Compile tokens whose blocks are all closed."""
    return _Compiler().compile(tokens)


class _Block:
    """A block whose close has not come: its opener, and the nodes of its body so far.

    start: the slot from which its levels go down. slot: where its own paths start.
    """

    __slots__ = ("levels", "nodes", "opener", "slot", "start")

    def __init__(self, opener: Tag, start: int, levels: Sequence[Level], slot: int) -> None:
        self.opener = opener
        self.start = start
        self.levels = levels
        self.slot = slot
        self.nodes: list[Node] = []


class _Compiler:
    def __init__(self) -> None:
        self.parents = [0]
        self.keys = [""]
        self.block = _Block(CLOSE, 0, (), 0)
        self.open: list[_Block] = []
        self.texts: list[str] = []
        self.pieces: list[Piece] = []

    def compile(self, tokens: Iterable[Token]) -> Program:
        for token in tokens:
            if isinstance(token, str):
                self.texts.append(token)
            elif token.kind is TagKind.VALUE or token.kind is TagKind.VERBATIM:
                self._value(token)
            elif token is CLOSE:
                self._close()
            else:
                self._open(token)
        self._flush()
        return Program(self.block.nodes, self.parents, self.keys)

    def _value(self, tag: Tag) -> None:
        # Several texts are not joined: those of a layout's content may stand in many places.
        if len(self.texts) > 1:
            self._flush()
        text = self.texts.pop() if self.texts else ""
        slot = self._ancestor(tag.path.up)
        self.pieces.append((text, slot, tag.path.keys, tag.kind is TagKind.VERBATIM))

    def _open(self, tag: Tag) -> None:
        if self.texts or self.pieces:
            self._flush()
        start = slot = self._ancestor(tag.path.up)
        levels: list[Level] = []
        for key in tag.path.keys:
            slot = self._slot(slot, key)
            levels.append((key, slot))
        if tag.kind is TagKind.EACH:
            slot = self._slot(slot, "")
        self.open.append(self.block)
        self.block = _Block(tag, start, levels, slot)

    def _close(self) -> None:
        if self.texts or self.pieces:
            self._flush()
        block, self.block = self.block, self.open.pop()
        opener = block.opener
        if opener.kind is TagKind.EACH:
            node = each_node(block.start, block.levels, block.slot, block.nodes, opener.name)
        else:
            shown = opener.kind is TagKind.SECTION
            node = section_node(block.start, block.levels, block.nodes, shown)
        self.block.nodes.append(node)

    def _flush(self) -> None:
        """End a run of values: a block begins or ends here."""
        if self.pieces:
            self.block.nodes.append(values_node(tuple(self.pieces)))
            self.pieces.clear()
        if self.texts:
            self.block.nodes.append(texts_node(tuple(self.texts)))
            self.texts.clear()

    def _slot(self, parent: int, key: str) -> int:
        self.parents.append(parent)
        self.keys.append(key)
        return len(self.parents) - 1

    def _ancestor(self, up: int) -> int:
        slot = self.block.slot
        for _ in range(up):
            if slot == 0:
                break
            slot = self.parents[slot]
        return slot
