"""Further kinds of field: whole numbers, links, rows of a table."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from relay.core import text
from relay.forms.fields import Line

# Neither blanks, underscores nor other scripts' digits, all of which int() would take.
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class WholeNumber(fields.Field[int]):
    """An integer, or its digits as a form sends them; nothing is rounded or guessed at."""

    def __init__(self, *, min: int | None = None, max: int | None = None, **options: Any) -> None:
        super().__init__(validate=validate.Range(min, max), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        digits = str(value).strip() if isinstance(value, str | int) else ""
        if not _INTEGER.fullmatch(digits):
            raise ValidationError("must be a whole number")
        return int(digits)


class Link(Line):
    """An absolute http or https URL that names no user: such a link misleads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max=2000, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        line = super()._deserialize(value, attr, data, **kwargs)
        if line and not text.web_link(line):
            raise ValidationError("must be a link: https://...")
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
