"""Programs: a template's tokens compiled to calls that write to an output.

Which value a path starts from is known when the template is compiled: every level that a block goes
down gets a slot of its own, `../` is the slot before it, and a loop refills the slot of its item.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from relay.core.errors import TemplateRenderError
from relay.mustachio.values import escape_html, is_list, is_true, member, printed

# The language itself knows no limits; a daemon needs them.
# Characters of one rendered part: Postmark takes bodies of 5 MB.
MAX_OUTPUT = 5 * 1024 * 1024

# Names of values that the model lacked, of one part.
MAX_MISSING = 100

# Tags rendered, every turn of a loop counted: under a second of work. Nested loops that print
# nothing never reach the limit of output.
MAX_STEPS = 1_000_000

_TOO_LONG = f"The rendered text has more than {MAX_OUTPUT} characters."
_TOO_MUCH = f"Rendering takes more than {MAX_STEPS} steps."


# The values that were to be printed and are not there, in order: a slot, and the keys below it.
Missing = dict[tuple[int, Sequence[str]], None]


class Output:
    """One rendering: what was written, the slots' values, and what may still be spent.

    room: characters left. steps: tags left. missing: slots and keys that had no value to print,
    or None where nobody asks.
    """

    __slots__ = ("escaping", "missing", "parts", "room", "slots", "steps")

    def __init__(self, model: object, slots: int, escaping: bool, missing: Missing | None) -> None:
        self.missing = missing
        self.parts: list[str] = []
        self.slots: list[Any] = [None] * slots
        self.slots[0] = model
        self.escaping = escaping
        self.room = MAX_OUTPUT
        self.steps = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Take steps off the allowance. Raise TemplateRenderError when there are none left."""
        self.steps -= steps
        if self.steps < 0:
            raise TemplateRenderError(_TOO_MUCH)


# Nodes are partial calls of the functions below: closures do the same, but every variable that one
# keeps is an object more for the garbage collector, which doubles the time of a large template.
Node = Callable[[Output], None]

# A key to follow, and the slot that takes what it finds.
Level = tuple[str, int]

# Text, and after it the value of some keys below a slot; whether it is printed as it is.
Piece = tuple[str, int, Sequence[str], bool]

_NOT_A_LIST = (
    "'{}' is used like an array by the template, but is a scalar value or object in your model."
)


def texts_node(texts: Sequence[str]) -> Node:
    """Write texts."""
    return partial(_write_texts, texts, sum(map(len, texts)))


def values_node(pieces: Sequence[Piece]) -> Node:
    """Write texts and values in turn."""
    return partial(_write_values, pieces, sum(1 + len(keys) for _, _, keys, _ in pieces))


def section_node(slot: int, levels: Sequence[Level], body: Sequence[Node], shown: bool) -> Node:
    """Fill the levels' slots; run the body once if the truth of the last value is `shown`."""
    return partial(_run_section, slot, levels, body, shown)


def each_node(
    slot: int, levels: Sequence[Level], item: int, body: Sequence[Node], path: str
) -> Node:
    """Fill the levels' slots; run the body for each element, which goes into the slot `item`."""
    return partial(_run_each, slot, levels, item, body, path)


def _write_texts(texts: Sequence[str], length: int, output: Output) -> None:
    output.room -= length
    if output.room < 0:
        raise TemplateRenderError(_TOO_LONG)
    output.parts.extend(texts)


def _write_values(pieces: Sequence[Piece], cost: int, output: Output) -> None:
    output.spend(cost)
    slots, room, escaping = output.slots, output.room, output.escaping
    append = output.parts.append
    for text, slot, keys, verbatim in pieces:
        value = slots[slot]
        for key in keys:
            value = value.get(key) if type(value) is dict else member(value, key)
        append(text)
        room -= len(text)
        if value is not None:
            shown = value if type(value) is str else printed(value)
            if escaping and not verbatim:
                shown = escape_html(shown)
            append(shown)
            room -= len(shown)
        elif output.missing is not None and len(output.missing) < MAX_MISSING:
            output.missing[slot, keys] = None
        if room < 0:
            raise TemplateRenderError(_TOO_LONG)
    output.room = room


def _descend(slot: int, levels: Sequence[Level], output: Output) -> Any:
    """Follow a block's path and keep every level's value for the paths inside the block."""
    output.spend(1 + len(levels))
    slots = output.slots
    value = slots[slot]
    for key, below in levels:
        value = slots[below] = value.get(key) if type(value) is dict else member(value, key)
    return value


def _run_section(
    slot: int, levels: Sequence[Level], body: Sequence[Node], shown: bool, output: Output
) -> None:
    if is_true(_descend(slot, levels, output)) is shown:
        for node in body:
            node(output)


def _run_each(
    slot: int, levels: Sequence[Level], item: int, body: Sequence[Node], path: str, output: Output
) -> None:
    value = _descend(slot, levels, output)
    if not is_true(value):
        return
    if not is_list(value):
        raise TemplateRenderError(_NOT_A_LIST.format(path), path=path)
    for element in value:
        output.spend(1)
        output.slots[item] = element
        for node in body:
            node(output)
