"""Request bodies to fields: urlencoded, multipart, JSON; each refused rather than guessed at."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tornado.escape import parse_qs_bytes
from tornado.httputil import HTTPFile, HTTPInputError, parse_body_arguments

from relay.brackets import nest
from relay.errors import InvalidSubmission, MalformedBody, UnsupportedMedia
from relay.text import storable

MAX_DEPTH = 32
MAX_FIELDS = 200
MAX_NAME = 100

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# Possessive, and without its end too: what a string that never closes costs is one pass.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}


@dataclass(frozen=True, slots=True)
class Body:
    """A body's fields, the names of the fields that carry a file, and whether a form sent it."""

    fields: dict[str, Any]
    files: tuple[str, ...] = ()
    is_form: bool = False


def parse(content_type: str, body: bytes) -> Body:
    """Read a body; raise UnsupportedMedia, MalformedBody or InvalidSubmission.

    No body and no Content-Type is an empty submission. The fields of an `email` object stand
    beside the bare ones; a field given twice with different values is refused.
    """
    if not body:
        return Body({})
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if _charset(parameters) not in _CHARSETS:
        raise UnsupportedMedia("charset must be utf-8")
    if media == "application/json":
        return Body(_merged(_members(_json(body))))
    if media == URLENCODED:
        return Body(_merged(_pairs(_urlencoded(body))), is_form=True)
    if media == MULTIPART:
        arguments, files = _multipart(parameters, body)
        return Body(_merged(_pairs(arguments)), tuple(map(_text, files)), is_form=True)
    raise UnsupportedMedia


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def _urlencoded(body: bytes) -> Mapping[str, list[bytes]]:
    try:
        return parse_qs_bytes(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise MalformedBody(f"more than {MAX_FIELDS} fields") from None


def _multipart(
    parameters: str, body: bytes
) -> tuple[Mapping[str, list[bytes]], Mapping[str, list[HTTPFile]]]:
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    try:
        parse_body_arguments(f"{MULTIPART};{parameters}", body, arguments, files)
    except HTTPInputError:
        raise MalformedBody("malformed multipart body") from None
    return arguments, files


def _pairs(arguments: Mapping[str, Iterable[bytes]]) -> Iterable[tuple[str, str]]:
    for name, values in arguments.items():
        for value in values:
            yield _text(name), _utf8(value)


def _text(name: str) -> str:
    """Read a field's name as UTF-8: Tornado gives its bytes as Latin-1."""
    return _utf8(name.encode("latin-1"))


def _utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("not UTF-8") from None


def _json(body: bytes) -> dict[str, Any]:
    _check_depth(body)
    try:
        value = json.loads(
            _utf8(body),
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):  # ValueError: also an integer of thousands of digits
        raise MalformedBody("malformed JSON") from None
    if not isinstance(value, dict):
        raise MalformedBody("the JSON must be an object")
    return value


def _check_depth(body: bytes) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for character in _STRING.sub(b"", body):
        if character in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedBody(f"nested deeper than {MAX_DEPTH}")
        elif character in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _members(value: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Resolve brackets in the names of an object, and of its `email` object."""
    for name, member in value.items():
        if name == "email" and isinstance(member, dict):
            yield from ((f"email[{inner}", deep) for inner, deep in _inner(member))
        else:
            yield name, member


def _inner(members: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, member in members.items():
        first, bracket, rest = name.partition("[")
        yield f"{first}]{bracket}{rest}", member


def _merged(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nest bracketed names, then put the `email` group's fields beside the bare ones."""
    try:
        fields = nest(pairs)
    except ValueError as error:
        raise _twice(str(error)) from None
    email = fields.get("email")
    if isinstance(email, dict):
        del fields["email"]
        for name, value in email.items():
            if not _same(fields.setdefault(name, value), value):
                raise _twice(name)
    _check(fields)
    return fields


def _same(one: Any, other: Any) -> bool:
    scalars = isinstance(one, str | int) and isinstance(other, str | int)
    return one == other or (scalars and str(one) == str(other))


def _twice(name: str) -> InvalidSubmission:
    return InvalidSubmission({name[:MAX_NAME]: ["given twice with different values"]})


def _check(fields: Mapping[str, Any]) -> None:
    if len(fields) > MAX_FIELDS:
        raise MalformedBody(f"more than {MAX_FIELDS} fields")
    for name, value in fields.items():
        if len(name) > MAX_NAME or not storable(name):
            raise MalformedBody(f"a field's name is unusable or over {MAX_NAME} characters")
        if not _storable(value):
            raise InvalidSubmission({name: ["has a control character or broken Unicode"]})


def _storable(value: Any) -> bool:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return all(storable(name) and _storable(member) for name, member in value.items())
    if isinstance(value, list):
        return all(map(_storable, value))
    return True
