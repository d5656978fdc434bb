"""A schema as what loads a server's forms: what it says is looked up once, not for every form."""

from collections.abc import Mapping
from inspect import getattr_static
from types import FunctionType
from typing import Any, NamedTuple

from marshmallow import EXCLUDE, INCLUDE, RAISE, Schema, ValidationError, missing
from marshmallow.fields import Field

from relay.forms.email_form import EmailForm

# In the place of a default: the field itself says what it is where it was not given.
_ASKED = object()
_CODE: tuple[type, ...] = (FunctionType, property, staticmethod, classmethod)


class _Known(NamedTuple):
    """A field, its name in forms, where its value is put, and what it is where it is not given."""

    field: Field[Any]
    name: str
    key: str
    default: Any


class Loader:
    """Loads forms as `Schema.load` does: to the same values, with the same errors.

    The schema stays what it is when this is made. One whose author has a hand in loading, by
    processors or methods of their own, loads by itself.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._form = schema if isinstance(schema, EmailForm) else None
        self._fields = [_known(name, field) for name, field in schema.load_fields.items()]
        self._names = {known.name for known in self._fields}
        self.is_direct = _is_direct(schema, self._fields)

    def load(self, data: Mapping[str, Any]) -> Any:
        """Return what the schema makes of a form; raise ValidationError."""
        form, given = self._form, data
        if not self.is_direct or (form is None and not isinstance(data, Mapping)):
            return self._schema.load(data)
        if form is not None:
            try:
                given = form.given_in(data)
            except ValidationError as error:
                messages = error.normalized_messages()  # type: ignore[no-untyped-call]
                raise ValidationError(messages, data=data) from None
        values, errors = self._loaded(given)
        if form is not None:
            errors |= form.lacks(values, given)
        if errors:
            raise ValidationError(errors, data=data, valid_data=values)
        return values if form is None else form.form_of(values, data, given)

    def _loaded(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields' values and, by their names, what is wrong with them."""
        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for field, name, key, default in self._fields:
            value = given.get(name, missing)
            if value is missing and default is not _ASKED:
                value = default
            else:
                try:
                    value = field.deserialize(value, name, given)
                except ValidationError as error:
                    errors[name] = error.messages
                    value = error.valid_data or missing
            if value is not missing:
                values[key] = value
        unknown = self._schema.unknown
        for name in given if unknown != EXCLUDE else ():
            if name not in self._names:
                if unknown == INCLUDE:
                    values[name] = given[name]
                else:
                    errors[name] = [self._schema.error_messages["unknown"]]
        return values, errors


def _known(name: str, field: Field[Any]) -> _Known:
    is_own = any(
        getattr_static(field, method) is not getattr_static(Field, method)
        for method in ("deserialize", "_validate_missing")
    )
    is_asked = is_own or field.required or callable(field.load_default)
    return _Known(
        field,
        name if field.data_key is None else field.data_key,
        field.attribute or name,
        _ASKED if is_asked else field.load_default,
    )


def _is_direct(schema: Schema, fields: list[_Known]) -> bool:
    """Whether nobody but marshmallow and `EmailForm` has a hand in how a schema loads."""
    kind = type(schema)
    base = EmailForm if isinstance(schema, EmailForm) else Schema
    methods = {
        name
        for one in (Schema, base)
        for name, member in vars(one).items()
        if isinstance(member, _CODE) and not name.startswith("__")
    }
    names = {known.name for known in fields}
    return (
        all(getattr_static(kind, name) is getattr_static(base, name) for name in methods)
        and not methods & vars(schema).keys()
        and _processors(kind) == _processors(base)
        and schema.dict_class is dict
        and schema.unknown in (INCLUDE, EXCLUDE, RAISE)
        and not schema.many
        and schema.partial is None
        and len(names) == len(fields)
        and "_schema" not in names
        and not any("." in known.key for known in fields)
    )


def _processors(kind: type[Schema]) -> dict[str, Any]:
    return {tag: processors for tag, processors in kind._hooks.items() if processors}
