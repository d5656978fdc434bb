"""`receipt` of a server's table: whether and how writers are told what became of their messages."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from relay.core.errors import TemplateSyntaxError
from relay.core.server import ReceiptTerms
from relay.mustachio import parse

_FILE = validate.Regexp(r"[A-Za-z0-9_-]+\Z", error="a template file's name without its ending")
_LIMIT = validate.Range(1, 1000)


class _Line(fields.Field[str]):
    """A template of one line."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 200:
            raise ValidationError("one line of up to 200 characters")
        try:
            parse(value)
        except TemplateSyntaxError as error:
            raise ValidationError(error.errors[0].message) from None
        return value


class _Zone(fields.Field[tzinfo]):
    """A time zone by its name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tzinfo:
        if value == "UTC":
            return UTC  # also where this machine knows no other
        try:
            return ZoneInfo(value)
        except (TypeError, ValueError, OSError, KeyError):
            raise ValidationError('no such time zone: write "America/New_York", say') from None


class ReceiptTable(Schema):
    """`[servers.NAME.receipt]`"""

    class Meta:
        unknown = RAISE

    template = fields.String(load_default="receipt", validate=_FILE)
    subject = _Line(load_default="We received your message ({{reference}})")
    failure_template = fields.String(load_default="not-delivered", validate=_FILE)
    failure_subject = _Line(load_default="Your message was not delivered ({{reference}})")
    office = fields.String(load_default="")
    form_name = fields.String(load_default="")
    time_zone = _Zone(load_default=UTC)
    per_address_per_hour = fields.Integer(load_default=10, validate=_LIMIT)
    per_address_per_day = fields.Integer(load_default=20, validate=_LIMIT)


class ReceiptField(fields.Field[ReceiptTerms | None]):
    """`true`, `false`, or the table."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> ReceiptTerms | None:
        if value is False:
            return None
        if value is not True and not isinstance(value, Mapping):
            raise ValidationError("true, false, or a table")
        return ReceiptTerms(**ReceiptTable().load({} if value is True else value))
