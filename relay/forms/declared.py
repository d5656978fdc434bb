"""Fields that a server's settings declare, for forms that need no plugin of their own.

`[servers.NAME.fields]` has a table for each field, or only its kind:

    permit = { required = true, max = 20, label = "Permit number" }
    visitors = "integer"
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, validate

from relay.core.addresses import Address
from relay.core.html_text import as_text
from relay.core.text import as_html, nearest
from relay.forms.email_form import ALIASES, CONTROL_FIELDS, EmailForm, reference_of
from relay.forms.fields import (
    Choice,
    Html,
    Line,
    Link,
    MailAddress,
    MailAddresses,
    Text,
    WholeNumber,
)

# The fields that all forms have.
SHARED = EmailForm._declared_fields.keys()
# What the settings cannot give another meaning.
_FIXED = CONTROL_FIELDS | {"headers", "attachments", "to_address", "cc", "bcc", "rows", "reference"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeclaredField:
    """A field as the settings have it. `max` is in characters; of an integer, its greatest."""

    name: str
    label: str
    kind: str = "line"
    required: bool = False
    max: int | None = None
    min: int | None = None
    choices: tuple[str, ...] = ()
    alias: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether it is one of the fields that all forms share."""
        return self.name in SHARED

    def field(self) -> fields.Field[Any]:
        """Make the field that a form is validated by."""
        options: dict[str, Any] = {"required": True} if self.required else {"load_default": None}
        options["metadata"] = {"description": self.label}
        if not self.is_shared:
            return FIELD_KINDS[self.kind](self, options)
        shared = copy.deepcopy(EmailForm._declared_fields[self.name])
        if self.required:
            shared.required, shared.load_default = True, missing
        return shared

    def row(self, value: Any, *, markup: bool) -> dict[str, Any]:
        """Return what a list of labels and values shows of it."""
        if isinstance(value, bool):
            return {"label": self.label, "yes": value, "no": not value}
        is_text = markup and self.kind != "html"
        return {"label": self.label, "value": as_html(str(value)) if is_text else value}


def _length(field: DeclaredField) -> validate.Length:
    return validate.Length(max=field.max)


FIELD_KINDS: Mapping[str, Callable[[DeclaredField, dict[str, Any]], fields.Field[Any]]] = {
    "line": lambda field, options: Line(max=field.max or 1000, **options),
    "text": lambda field, options: Text(validate=_length(field), **options),
    "html": lambda field, options: Html(validate=_length(field), **options),
    "address": lambda field, options: MailAddress(max=255, **options),
    "link": lambda field, options: Link(**options),
    "integer": lambda field, options: WholeNumber(min=field.min, max=field.max, **options),
    "choice": lambda field, options: Choice(field.choices, **options),
    "yes_no": lambda field, options: fields.Boolean(**options),
}


class _FieldTable(Schema):
    kind = fields.String(validate=validate.OneOf(FIELD_KINDS, error="must be one of: {choices}"))
    required = fields.Boolean()
    max = fields.Integer(strict=True, validate=validate.Range(min=1))
    min = fields.Integer(strict=True)
    choices = fields.List(fields.String(), validate=validate.Length(min=1))
    alias = fields.Raw()
    label = fields.String(validate=validate.Length(min=1))


def declared(name: str, table: Any) -> DeclaredField:
    """Read what the settings say of a field; raise ValidationError."""
    table = {"kind": table} if isinstance(table, str) else table
    if not isinstance(table, Mapping):
        raise ValidationError('must be a table, or a kind such as "line"')
    for key in table:
        if key not in _FieldTable().fields:
            raise ValidationError({key: [f"is no key here{nearest(key, _FieldTable().fields)}"]})
    kind = table.get("kind", "line")
    if isinstance(kind, str) and kind not in FIELD_KINDS and nearest(kind, FIELD_KINDS):
        raise ValidationError({"kind": [f"there is no kind {kind}{nearest(kind, FIELD_KINDS)}"]})
    values = _FieldTable().load(table)
    _check(name, values)
    values["alias"] = _aliases(values.get("alias", ()))
    values["choices"] = tuple(values.get("choices", ()))
    values.setdefault("label", name.replace("_", " ").strip().capitalize())
    return DeclaredField(name, **values)


def _check(name: str, values: Mapping[str, Any]) -> None:
    kind = values.get("kind", "line")
    if not _NAME.fullmatch(name):
        raise ValidationError("a field's name has letters, digits and _ only, so templates read it")
    if name in _FIXED or name in ALIASES:
        raise ValidationError("is Relay's own; take another name")
    if name in SHARED and values.keys() & {"kind", "max", "min", "choices"}:
        raise ValidationError("all forms have it; only required, alias and label can be said of it")
    if (kind == "choice") != ("choices" in values):
        raise ValidationError({"choices": ['go with kind = "choice", and it needs them']})
    if "max" in values and kind not in ("line", "text", "html", "integer"):
        raise ValidationError({"max": [f"is not for kind {kind}"]})
    if "min" in values and kind != "integer":
        raise ValidationError({"min": ["is for kind integer alone"]})


def _aliases(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        raise ValidationError({"alias": ["must be a name, or a list of names"]})
    return tuple(names)


# What a template may use without a declaration.
_USABLE = ("from_address", "sender", "subject", "message")


# What a template file may use besides.
OWN_WORDS = ("body", "rows", "reference")


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

    def faults(self, used: object, own: Iterable[str] = ("reference",)) -> Iterator[str]:
        """Say which names of a template's suggested model no field has, with the nearest.

        own: names that are filled in without a field.
        """
        known = [*(field.name for field in self.fields), *_USABLE, *own]
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
