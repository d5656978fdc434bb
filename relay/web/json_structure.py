"""How much there is in JSON, counted in its bytes before anything is made of them.

An empty object is two bytes to send, and a hundred times that to read, to hold and to look at.
What stands in strings, such as the commas of a letter, costs nothing and does not count.
"""

from relay.core.errors import MalformedBody, TooManyValues

MAX_DEPTH = 32

# A body is counted in pieces, so that a thread that does it leaves the event loop its turns.
PIECE = 64 * 1024

_COUNTED = b"{[:,"
_BRACKETS = b"{[]}"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_ONE_KIND = bytes.maketrans(b"[]", b"{}")


class JsonStructure:
    """Counts what opens, names and separates outside of strings, as the pieces of a body come.

    most: how much of that there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self._brackets = b""
        self._in_string = False
        self._escape = b""

    def add(self, piece: bytes) -> None:
        """Count the next piece; raise TooManyValues or, for a nest of them, MalformedBody."""
        outside = self._outside(piece)
        self.count += len(outside) - len(outside.translate(None, _COUNTED))
        self._brackets += outside.translate(_ONE_KIND, _ALL_BUT_BRACKETS)
        if self.count > self._most:
            self.check_depth()
            raise TooManyValues

    def check_depth(self) -> None:
        """Raise MalformedBody for what is nested too deep, before a parser recurses into it."""
        nested = self._brackets
        for _ in range(MAX_DEPTH):
            if b"{}" not in nested:
                break
            nested = nested.replace(b"{}", b"")  # the innermost
        if b"{}" in nested or len(nested) > MAX_DEPTH:
            raise MalformedBody(f"nested deeper than {MAX_DEPTH}")

    def _outside(self, piece: bytes) -> bytes:
        """Return what of a piece stands outside of strings. One may reach into the next piece."""
        piece = self._escape + piece
        self._escape = b""
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"")
            if piece.endswith(b"\\"):
                piece, self._escape = piece[:-1], b"\\"
            piece = piece.replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = parts[self._in_string :: 2]
        self._in_string ^= len(parts) % 2 == 0
        return b"".join(outside)


def most_values(body: bytes) -> int:
    """Return how much there may be in JSON: what stands in strings counts, too."""
    return len(body) - len(body.translate(None, _COUNTED))


def check(body: bytes, most: int) -> None:
    """Raise TooManyValues, or MalformedBody for JSON that is nested too deep."""
    brackets = len(body) - len(body.translate(None, _BRACKETS))
    if brackets <= MAX_DEPTH and most_values(body) <= most:
        return
    structure = JsonStructure(most)
    for at in range(0, len(body), PIECE):
        structure.add(body[at : at + PIECE])
    structure.check_depth()
