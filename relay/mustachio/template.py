"""Templates: parsed and compiled once, rendered with many models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.core.errors import TemplateSyntaxError
from relay.mustachio.program import (
    Level,
    Missing,
    Node,
    Output,
    Piece,
    each_node,
    section_node,
    texts_node,
    values_node,
)
from relay.mustachio.syntax import CLOSE, Token, outline
from relay.mustachio.tags import PARENT, Tag, TagKind


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


class Template:
    """A template that parsed. It holds no state of a rendering: threads may share it."""

    def __init__(self, tokens: Sequence[Token], program: Program) -> None:
        self._tokens = tokens
        self._program = program

    def render(
        self, model: object, escape: bool = True, *, missing: dict[str, None] | None = None
    ) -> str:
        """Fill a model in.

        model: mappings, sequences, strings, numbers, booleans and None, usually a mapping; anything
        else in it counts as None. escape: whether `{{value}}` is escaped for HTML.
        missing: takes the paths, from the root, of values that were to be printed and that the
        model lacks (or has as null), in the order of the template; a hundred of them at most.

        Raise TemplateRenderError when `each` meets something that is not a list, or when the result
        or the work would go beyond the limits.
        """
        program = self._program
        lacking: Missing | None = None if missing is None else {}
        output = Output(model, len(program.parents), escape, lacking)
        for node in program.nodes:
            node(output)
        if missing is not None:
            missing.update((program.name(slot, keys), None) for slot, keys in output.missing or ())
        return "".join(output.parts)

    @property
    def suggested_model(self) -> Any:
        """Make a model that has every path of the template: a mapping, unless the root is used.

        Values are "<name>_Value", lists have one element with its keys or three strings, and what
        is only a condition is {}.
        """
        return suggest_model(self._tokens)


def parse(source: str, content: str | None = None) -> Template:
    """Parse a template; `content` is the body to put into a layout's `{{{ @content }}}`.

    Raise TemplateSyntaxError with everything that is wrong with it, and with its content.
    """
    found = outline(source, content)
    if found.faults:
        raise TemplateSyntaxError(found.faults)
    return Template(found.tokens, _Compiler().compile(found.tokens))


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
