"""Fields that a server's settings declare, for forms that need no plugin of their own.

`[servers.NAME.fields]` has a table for each field, or only its kind:

    permit = { required = true, max = 20, label = "Permit number" }
    visitors = "integer"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields

from relay.core.addresses import Address
from relay.core.suggest import nearest
from relay.core.text import as_text
from relay.forms.base_message import reference_of
from relay.forms.email_form import ALIASES, CONTROL_FIELDS, EmailForm
from relay.forms.field import SHARED, DeclaredField, declared
from relay.forms.fields import MailAddresses

# What a template may use without a declaration.
_USABLE = ("from_address", "sender", "subject", "message")


class DeclaredFields(fields.Field["Declaration"]):
    """The setting `fields`: the declared fields in the order in which they stand."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> "Declaration":
        if not isinstance(value, Mapping) or not value:
            raise ValidationError("must be a table with a key for each field")
        found = []
        for name, table in value.items():
            try:
                found.append(declared(name, table))
            except ValidationError as error:
                raise ValidationError({name: error.messages}) from None
        _check_aliases(found)
        return Declaration(tuple(found))


@dataclass(frozen=True, slots=True)
class Declaration:
    """A form's declared fields: its schema, and what a message is made of."""

    fields: tuple[DeclaredField, ...]

    def form(self, *, subject_required: bool = True, to: Any = None, **options: Any) -> EmailForm:
        """Make the schema of a form with these fields.

        to: the recipients of a form that names none. options: EmailForm's.
        """
        kind = _MappedForm if subject_required else _FormWithoutSubject
        made = {field.name: field.field() for field in self.fields}
        if to is not None:
            made["to_address"] = MailAddresses(load_default=to)
        aliases = {alias: field.name for field in self.fields for alias in field.alias}
        return kind.from_dict(made, name="MappedForm")(aliases=aliases, **options)  # type: ignore[return-value,call-arg]

    def words(
        self, form: Mapping[str, Any], body: str | None, *, markup: bool = False
    ) -> dict[str, Any]:
        """Return what a template may use: each field's value, `body`, `rows` of labels and values.

        body: the message's own part. markup: for an HTML part: texts of rows are HTML there, and
        fields of the kind html stay so.
        """
        words: dict[str, Any] = {name: _printable(form[name]) for name in _USABLE}
        rows = []
        for field in self.fields:
            value = _printable(form[field.name])
            if field.kind == "html" and value and not markup:
                value = as_text(value)
            words[field.name] = value
            if value is not None and value != "":
                rows.append(field.row(value, markup=markup))
        listed = any(field.name == "message" for field in self.fields)
        own = {"body": None if listed else body, "rows": rows, "reference": reference_of(form)}
        return {**words, **own}

    def values(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """Return the declared fields' values under their names, for a stored template's model."""
        own = (field.name for field in self.fields if not field.is_shared)
        return {name: _printable(form[name]) for name in own}

    def faults(self, used: object) -> Iterator[str]:
        """Say which names of a template's suggested model no field has, with the nearest."""
        known = [*(field.name for field in self.fields), *_USABLE, "reference"]
        for name in used if isinstance(used, Mapping) else ():
            if name not in known:
                yield f"there is no field {name}{nearest(name, known)}"


class _MappedForm(EmailForm):
    message_required = False


class _FormWithoutSubject(_MappedForm):
    subject_required = False


def _printable(value: Any) -> Any:
    if isinstance(value, Address):
        return str(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def _check_aliases(found: list[DeclaredField]) -> None:
    taken = {*SHARED, *CONTROL_FIELDS, *ALIASES, *(field.name for field in found)}
    for field in found:
        for alias in field.alias:
            if alias in taken:
                raise ValidationError({field.name: {"alias": [f"{alias} is another field"]}})
            taken.add(alias)
