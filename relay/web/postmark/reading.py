"""What Postmark's clients send: JSON with names in any case, nulls, numbers as strings."""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.core import text as texts
from relay.web import bodies
from relay.web.postmark.errors import PostmarkError

# Five hundred messages with a table of a thousand cells each, and more.
MAX_STRUCTURE = 1_000_000


def json_value(content_type: str, body: bytes, most: int = MAX_STRUCTURE) -> Any:
    """Read a body as JSON; raise MalformedBody or TooManyValues."""
    return bodies.json_value(body, most, bodies.json_charset(content_type))


class Fields:
    """An object's members, found without regard to case; null counts as absent.

    A member of another type than is asked for is refused with 403. Members that nobody asks for
    are ignored.
    """

    def __init__(self, value: object, name: str = "$") -> None:
        if not isinstance(value, Mapping):
            raise wrong_type(name)
        self._members = {str(name).lower(): member for name, member in value.items()}

    def changed(self, values: Mapping[str, Any]) -> "Fields":
        """Return an object with these members in the place of its own."""
        changed = Fields(values)
        changed._members = self._members | changed._members
        return changed

    def raw(self, name: str) -> Any:
        """Return a member as it came, or None."""
        return self._members.get(name.lower())

    def text(self, name: str) -> str | None:
        """Return a string; the empty one stays empty."""
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise wrong_type(name)
        return value

    def flag(self, name: str) -> bool | None:
        """Return true or false, also where they are written as strings."""
        value = self.raw(name)
        if isinstance(value, str):
            value = {"true": True, "false": False, "": None}.get(value.strip().lower(), value)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(name)
        return value

    def number(self, name: str) -> int | None:
        """Return an integer, also where it is written as a string of digits."""
        value = self.raw(name)
        if isinstance(value, str):
            digits = value.strip()
            if not digits:
                return None
            value = int(digits) if is_digits(digits) else value
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise wrong_type(name)
        return value

    def object(self, name: str) -> Mapping[str, Any] | None:
        """Return an object with its names as they came; an empty list counts as an empty object."""
        value = self.raw(name)
        if value == []:
            return {}
        if value is not None and not isinstance(value, Mapping):
            raise wrong_type(name)
        return value

    def items(self, name: str) -> Sequence[Any]:
        """Return a list; what is absent, or an empty object, is an empty one."""
        value = self.raw(name)
        if value is None or value in ("", {}):
            return []
        if not isinstance(value, list):
            raise wrong_type(name)
        return value


def wrong_type(name: str) -> PostmarkError:
    """Make the refusal of a member of the wrong type."""
    return PostmarkError(403, f"Invalid request field(s): '{name}'.")


def refused(words: str) -> PostmarkError:
    """Make the refusal of a member that cannot be used."""
    return PostmarkError(300, words)


def is_digits(text: str) -> bool:
    """Whether a text is a number of at most 18 ASCII digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 18


def line(text: str) -> str | None:
    """Return a text as one line, as every header can carry it; None for a text of several."""
    try:
        return texts.line(text)
    except ValueError:
        return None
