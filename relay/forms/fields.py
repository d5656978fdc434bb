"""The kinds of field a form can have, as marshmallow fields.

`Text` is many lines, `Line` is one; both stay the text they are, without control characters.
`Html` is HTML and is cleaned. Everything a form does not declare as `Html` is text.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from relay.core import addresses, clock, text
from relay.core.addresses import Address
from relay.core.html_cleaning import clean_html
from relay.core.html_text import as_text
from relay.core.message import Attachment
from relay.forms.send_time import ScheduleError, scheduled_time

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]*", re.ASCII)
_DIGITS = re.compile(r"(?=0*[1-9])[0-9]{1,18}", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,76}", re.ASCII)

# Domains that are read only where settings name them, in what is loaded just now.
_DOMAINS: ContextVar[frozenset[str]] = ContextVar("domains", default=addresses.NO_DOMAINS)


@contextmanager
def naming(domains: frozenset[str]) -> Iterator[None]:
    """Take addresses of special-use domains in what is loaded meanwhile, where these name them."""
    token = _DOMAINS.set(domains)
    try:
        yield
    finally:
        _DOMAINS.reset(token)


def _written(value: Any) -> str:
    """Return a number of JSON, or what a form sends in its place, as text; "" for anything else.

    JSON makes no difference between 3 and 3.0.
    """
    shown = "" if isinstance(value, bool) else text.shown(value)
    return shown.strip() if isinstance(shown, str) else ""


class Text(fields.String):
    """Text of any number of lines; a number or a boolean of JSON counts as what is shown of it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if type(value) is not str:
            value = super()._deserialize(text.shown(value), attr, data, **kwargs)
        try:
            words = self._cleaned(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        # A letter in front is read, in HTML too.
        if self.required and not words[:1].isalnum() and text.is_blank(self._read(words)):
            raise self.make_error("required")
        return words

    def _validate(self, value: Any) -> None:
        if self.validators:
            super()._validate(value)

    def _cleaned(self, given: str) -> str:
        """Return what is kept of a text; raise ValueError for one that cannot be taken."""
        return text.lines(given)

    def _read(self, words: str) -> str:
        """Return what a reader sees of it."""
        return words


class Line(Text):
    """A single line: subjects, names, tags. Invisible characters are taken out.

    max: in UTF-16 units, which is what providers count: an emoji is two.
    """

    def __init__(self, *, max: int = 1000, **options: Any) -> None:
        super().__init__(**options)
        self.max = max

    def _cleaned(self, given: str) -> str:
        return text.line(given)

    def _validate(self, value: Any) -> None:
        if self.validators:
            super()._validate(value)
        if 2 * len(value) > self.max and text.length(value) > self.max:
            raise ValidationError(f"Longer than maximum length {self.max}.")


class HiddenLine(Line):
    """A line that a page fills in unseen: cut where it is too long, as no writer could mend it."""

    def _cleaned(self, given: str) -> str:
        return text.cut(text.line(given), self.max).strip()

    def cuts(self, given: Any) -> bool:
        """Return whether only a part of what was given is kept."""
        return isinstance(given, str) and text.length(text.line(given)) > self.max


class Html(Text):
    """HTML from outside: scripts, styles, images and misleading links are taken out."""

    def _cleaned(self, given: str) -> str:
        return clean_html(text.lines(given))

    def _read(self, words: str) -> str:
        return as_text(words)


class Choice(Line):
    """One of some words."""

    def __init__(self, choices: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        words = "must be one of: {choices}"
        self.validators = [validate.OneOf(tuple(choices), error=words)]


class MailAddress(Line):
    """One address, with or without a display name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        line = super()._deserialize(value, attr, data, **kwargs)
        try:
            return addresses.parse(line, _DOMAINS.get())
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def _validate(self, value: Address) -> None:
        super()._validate(str(value))


class MailAddresses(Line):
    """Addresses separated by commas: a tuple of them, 50 at most."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max=20_000, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        line = super()._deserialize(value, attr, data, **kwargs)
        super()._validate(line)
        try:
            parsed = addresses.parse_list(line, _DOMAINS.get())
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not parsed:
            raise ValidationError("names no address")
        return parsed

    def _validate(self, value: tuple[Address, ...]) -> None:
        """Leave the parsed addresses alone: the line was validated before."""


class TemplateReference(fields.Field[int | str]):
    """A provider's template: all digits is its number, anything else its alias."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int | str:
        name = _written(value)
        if not (_DIGITS.fullmatch(name) or _ALIAS.fullmatch(name)):
            raise ValidationError("must be a template's number or alias")
        return int(name) if _DIGITS.fullmatch(name) else name


class Headers(fields.Field[tuple[tuple[str, str], ...]]):
    """Mail headers, as `[{"Name": ..., "Value": ...}]` or as an object of names and values."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return tuple(self._pair(name, content) for name, content in self._pairs(value))
        except (KeyError, TypeError, ValueError):
            raise ValidationError("must be a list of objects with Name and Value") from None

    @staticmethod
    def _pairs(value: Any) -> Any:
        if isinstance(value, Mapping) and not all(
            isinstance(one, Mapping) for one in value.values()
        ):
            return value.items()
        # Brackets whose numbers do not count from 0 make no list.
        headers = value.values() if isinstance(value, Mapping) else value
        return [(header["Name"], header["Value"]) for header in headers]

    @staticmethod
    def _pair(name: Any, given: Any) -> tuple[str, str]:
        content = text.shown(given)
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError
        if not isinstance(content, str) or len(content) > 998:
            raise ValueError
        return name, text.line(content)


class Attachments(fields.Field[tuple[Attachment, ...]]):
    """Files, read and checked by the host; anything else is refused: there they are not taken."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, tuple) and all(isinstance(one, Attachment) for one in value):
            return value
        raise ValidationError("attachments are not taken here")


class SendTime(fields.Field[float | None]):
    """When to send: epoch seconds, ISO 8601 or words; None for this very moment.

    Dates and times of day that name no zone are UTC.
    """

    def __init__(self, *, clock: Callable[[], float] = clock.now, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float | None:
        now = self.clock()
        try:
            at = scheduled_time(value, now)
        except ScheduleError as error:
            raise ValidationError(str(error)) from None
        return at if at > now else None


class NotOffered(fields.Field[None]):
    """A field of the contract that is refused rather than ignored; `reason` says why."""

    def __init__(self, reason: str, **options: Any) -> None:
        super().__init__(**options)
        self.reason = reason

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> None:
        raise ValidationError(self.reason)


# Neither blanks, underscores nor other scripts' digits, all of which int() would take.
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class WholeNumber(fields.Field[int]):
    """An integer, or its digits as a form sends them; nothing is rounded or guessed at."""

    def __init__(self, *, min: int | None = None, max: int | None = None, **options: Any) -> None:
        super().__init__(validate=validate.Range(min, max), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        digits = _written(value)
        if not _INTEGER.fullmatch(digits):
            raise ValidationError("must be a whole number")
        return int(digits)


class Link(Line):
    """An absolute http or https URL that names no user: such a link misleads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max=2000, **options)

    def _cleaned(self, given: str) -> str:
        line = super()._cleaned(given)
        if line and not text.web_link(line):
            raise ValueError("must be a link: https://...")
        return line


class Rows(fields.Field[tuple[dict[str, Any], ...]]):
    """Rows of a table: a list of objects, or an object of numbered ones, as brackets make it.

    row: the schema of each. What is blank in a row was not given.
    """

    def __init__(self, row: Schema, *, max: int = 500, **options: Any) -> None:
        super().__init__(**options)
        self.row = row
        self.most = max

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        rows = list(value.values()) if isinstance(value, Mapping) else value
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise ValidationError("must be a list of rows")
        if len(rows) > self.most:
            raise ValidationError(f"has more than {self.most} rows")
        return tuple(self._row(number, row) for number, row in enumerate(rows, 1))

    def _row(self, number: int, row: Any) -> dict[str, Any]:
        if not isinstance(row, Mapping):
            raise ValidationError(f"row {number} must be an object")
        given = {name: value for name, value in row.items() if value not in (None, "")}
        try:
            loaded: dict[str, Any] = self.row.load(given)
        except ValidationError as error:
            name, words = next(iter(error.normalized_messages().items()))  # type: ignore[no-untyped-call]
            raise ValidationError(f"row {number}, {name}: {words[0]}") from None
        return loaded
