"""Where in a template something stands, as a person and Postmark count."""

from collections.abc import Iterable, Sequence

from relay.core.errors import TemplateFault


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
        character += len(piece) if piece.isascii() else _units(piece)
    return [TemplateFault(message, *begins[place]) for place, message in wrong]


def _units(text: str) -> int:
    """Count UTF-16 units: characters beyond the Basic Multilingual Plane are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
