"""How the fields of forms look as JSON Schema: what each kind of them takes."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields
from marshmallow.validate import Range

from relay.forms import fields as kinds

# A text of JSON may be a number or a boolean: it counts as what is shown of it.
TEXT = {"type": ["string", "number", "boolean"]}
_SEEN = r"[^\s\x00-\x1f\x7f-\xa0\xad]"
_HEADER = {**TEXT, "maxLength": 998}

# What fields that no form declares may hold, for templates.
_NAME = {"pattern": r"^[^\x00-\x08\x0e-\x1f]*$"}
_ANY = {"$ref": "#/components/schemas/Any"}
ANY: Mapping[str, Any] = {
    "anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "items": _ANY},
        {"type": "object", "propertyNames": _NAME, "additionalProperties": _ANY},
    ]
}
# The formats `mailbox` (RFC 5322: an address, perhaps with a display name), `mailbox-list` and
# `send-time` (ISO 8601, epoch seconds, or words such as "+5 minutes") are Relay's own.
SHAPES: Mapping[type[fields.Field[Any]], dict[str, Any]] = {
    fields.Boolean: {"enum": [True, False, 1, 0, "1", "0", "true", "false"]},
    kinds.MailAddress: {"type": "string", "format": "mailbox"},
    kinds.MailAddresses: {"type": "string", "format": "mailbox-list"},
    kinds.SendTime: {"type": "string", "format": "send-time"},
    kinds.Link: {"type": "string", "format": "uri"},
    kinds.Choice: {"type": "string"},
    kinds.Line: {**TEXT, "pattern": r"^[^\r\n]*$"},
    kinds.Text: TEXT,
    kinds.WholeNumber: {},
    kinds.TemplateReference: {
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": r"^\s*(0*[1-9][0-9]{0,17}|[A-Za-z][A-Za-z0-9._-]*)\s*$",
    },
    kinds.Headers: {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"Name": {"type": "string"}, "Value": _HEADER},
            "required": ["Name", "Value"],
            "propertyNames": _NAME,
            "additionalProperties": _ANY,
        },
    },
    kinds.Attachments: {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "Name": {"type": "string"},
                "Content": {"type": "string", "contentEncoding": "base64"},
                "ContentType": {"type": "string"},
                "ContentID": {"type": "string"},
            },
            "required": ["Name", "Content"],
            "propertyNames": _NAME,
            "additionalProperties": _ANY,
        },
    },
}

# A text that is required must show something: `false` is shown as nothing.
SAYS_SOMETHING: Mapping[str, Any] = {**TEXT, "pattern": _SEEN, "not": {"const": False}}

OTHERS: Mapping[str, Any] = {
    "propertyNames": {**_NAME, "maxLength": 100},
    "additionalProperties": _ANY,
}
# The same of a page's form, whose names stand in headers of a multipart body.
OTHERS_OF_A_FORM: Mapping[str, Any] = {
    "propertyNames": {"pattern": r"^[^\x00-\x1f\x7f\"\\]+$", "maxLength": 100},
    "additionalProperties": TEXT,
}


class Converter:
    """Makes JSON Schema of the schemas of forms, by apispec's own converter and the kinds above."""

    def __init__(self, spec: APISpec) -> None:
        self._converter = OpenAPIConverter(spec.openapi_version, lambda schema: "", spec)
        for kind in SHAPES:
            self._converter.map_to_openapi_type(kind, None, None)  # type: ignore[no-untyped-call]
        self._converter.add_attribute_function(_shape)  # type: ignore[no-untyped-call]

    def properties(self, schema: Schema, *, json: bool = True) -> dict[str, dict[str, Any]]:
        """Return what each field of a schema takes, by its name.

        json: in JSON, where what need not be given may be null, and there are lists; else in
        forms, where they stand in brackets.
        """
        made = {
            name: self._property(field, json=json)
            for name, field in schema.fields.items()
            if not isinstance(field, kinds.NotOffered)
        }
        return {name: one for name, one in made.items() if json or one.get("type") != "array"}

    def _property(self, field: fields.Field[Any], *, json: bool) -> dict[str, Any]:
        made: dict[str, Any] = self._converter.field2property(field)
        made.pop("default", None)
        if isinstance(field, kinds.Rows):
            row = {"type": "object", "properties": self.properties(field.row)}
            made |= {"type": "array", "items": row, "maxItems": field.most}
        if isinstance(field, kinds.WholeNumber):
            made |= _whole(field)
        is_cut = isinstance(field, kinds.HiddenLine)
        if "pattern" in made and isinstance(field, kinds.Line) and not is_cut:
            made["maxLength"] = field.max
        if not field.required:
            return _or_nothing(made, json=json)
        return {**made, **SAYS_SOMETHING} if made.get("type") == TEXT["type"] else made


def _shape(converter: Any, field: fields.Field[Any], **kwargs: Any) -> dict[str, Any]:
    """Return what apispec is to say of a field of a known kind."""
    return deepcopy(next((SHAPES[kind] for kind in type(field).__mro__ if kind in SHAPES), {}))


def _whole(field: kinds.WholeNumber) -> dict[str, Any]:
    """Return what a whole number may be: also its digits, as forms send them."""
    [range] = (one for one in field.validators if isinstance(one, Range))
    digits = 18 if range.max is None else len(str(range.max))
    sign = "" if range.min is not None and range.min >= 0 else "-?"
    bounds = {"minimum": range.min, "maximum": range.max}
    return {
        "type": ["integer", "string"],
        "pattern": rf"^\s*{sign}[0-9]{{1,{digits}}}\s*$",
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }


def _or_nothing(made: dict[str, Any], *, json: bool) -> dict[str, Any]:
    """Let what need not be given be blank: browsers send every field that they show. Or null."""
    nothing = [None, ""] if json else [""]
    if "enum" in made:
        words = [one for one in made["enum"] if one is not None]
        made["enum"] = list(dict.fromkeys([*words, *nothing]))
    if made.get("format") == "uri":
        link = {name: made.pop(name) for name in ("type", "format")}
        return {**made, "anyOf": [link, {"enum": nothing}]}
    if "pattern" in made:
        made["pattern"] = f"^$|{made['pattern']}"
    if json and "type" in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = list(dict.fromkeys([*types, "null"]))
    return made
