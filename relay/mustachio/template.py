"""Templates: parsed once, rendered with many models."""

from collections.abc import Sequence
from typing import Any

from relay.core.errors import TemplateSyntaxError
from relay.mustachio.compiling import Program, compile_tokens
from relay.mustachio.program import Missing, Output
from relay.mustachio.suggestion import suggest_model
from relay.mustachio.syntax import Token, outline


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
    return Template(found.tokens, compile_tokens(found.tokens))
