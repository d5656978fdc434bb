"""Request bodies to fields: urlencoded, multipart, JSON; each refused rather than guessed at."""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tornado.escape import parse_qs_bytes
from tornado.httputil import HTTPFile, HTTPInputError, parse_body_arguments

from relay.core import text
from relay.core.errors import InvalidSubmission, MalformedBody, UnsupportedMedia
from relay.core.immutable import freeze
from relay.core.submission import File, Submission
from relay.forms.brackets import TWICE, nest
from relay.web import json_structure

# Names and values, in all that a form nests.
MAX_STRUCTURE = 3000
MAX_FIELDS = 200
MAX_NAME = 100

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_ESCAPED = re.compile(rb"\\[bu]")
_WRAPPED = re.compile(r"email\[([^\[\]]+)\](?:\[\])?")
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}


@dataclass(frozen=True, slots=True)
class Body:
    """A body's fields, the files beside them, and whether a form sent it."""

    fields: dict[str, Any]
    files: tuple[File, ...] = ()
    is_form: bool = False


def parse(content_type: str, body: bytes) -> Body:
    """Read a body; raise UnsupportedMedia, MalformedBody or InvalidSubmission.

    No body and no Content-Type is an empty submission. The fields of an `email` object stand
    beside the bare ones; a field given twice with different values is refused.
    """
    if not body:
        return Body({})
    media, parameters = media_of(content_type), content_type.partition(";")[2]
    if _charset(parameters) not in _CHARSETS:
        raise UnsupportedMedia("charset must be utf-8")
    if media == JSON:
        return Body(_object_fields(json_object(body, MAX_STRUCTURE)))
    if media == URLENCODED:
        return Body(_merged(_values(_urlencoded(body))), is_form=True)
    if media == MULTIPART:
        arguments, files = _multipart(parameters, body)
        return Body(_merged(_values(arguments)), tuple(_files(files)), is_form=True)
    raise UnsupportedMedia


def media_of(content_type: str) -> str:
    """Return the media type that a Content-Type names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def _urlencoded(body: bytes) -> Mapping[str, list[bytes]]:
    try:
        arguments = parse_qs_bytes(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _too_many() from None
    # Tornado gives a name's bytes as Latin-1, but those of a multipart body as what they say.
    return {_utf8(name.encode("latin-1")): values for name, values in arguments.items()}


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


def _files(files: Mapping[str, list[HTTPFile]]) -> Iterator[File]:
    for name, parts in files.items():
        _check_name(name)
        for part in parts:
            yield File(_bare(name), part.filename, part.content_type, part.body)


def _bare(name: str) -> str:
    """Take the `email` wrapper off the name of a file's field: `email[photo]` is `photo`."""
    found = _WRAPPED.fullmatch(name)
    return found[1] if found else name


def _values(arguments: Mapping[str, Iterable[bytes]]) -> list[tuple[str, str]]:
    return [
        (name, text.storable(_utf8(value)))
        for name, values in arguments.items()
        for value in values
    ]


def _utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("not UTF-8") from None


def json_object(body: bytes, most: int) -> dict[str, Any]:
    """Read a JSON object; raise MalformedBody or TooManyValues."""
    value = json_value(body, most)
    if not isinstance(value, dict):
        raise MalformedBody("the JSON must be an object")
    return value


def json_value(body: bytes, most: int) -> Any:
    """Read any JSON; raise MalformedBody, or TooManyValues for more than `most`.

    What JSON does not have, such as NaN, is refused. Its texts can be stored; names are as they
    came.
    """
    json_structure.check(body, most)
    try:
        value = _decode(_utf8(body))
    except (ValueError, RecursionError):  # ValueError: also an integer of thousands of digits
        raise MalformedBody("malformed JSON") from None
    # What cannot be stored is only ever written as an escape.
    return text.each(text.storable, value) if _ESCAPED.search(body) else value


def text_bytes(value: Any) -> int:
    """Count the bytes of all texts in a body's fields, but for the files among them."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(text_bytes(name) + text_bytes(value[name]) for name in value)
    return sum(map(text_bytes, value)) if isinstance(value, list) else 8


def json_text(value: Any) -> str:
    """Write JSON in ASCII, so that no reader can mistake its encoding."""
    return _encode(value)


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


# Made once: json.loads and json.dumps would make one for every request.
_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
).decode
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _object_fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object, and those of its `email` object beside them."""
    wrapped = value.get("email")
    if not isinstance(wrapped, dict):
        return _merged(value.items())
    bare = {name: member for name, member in value.items() if name != "email"}
    return _merged(bare.items(), wrapped.items())


def _merged(
    pairs: Collection[tuple[str, Any]], wrapped: Collection[tuple[str, Any]] = ()
) -> dict[str, Any]:
    """Nest bracketed names, then put the `email` group's fields beside the bare ones."""
    if len(pairs) + len(wrapped) > MAX_FIELDS:
        raise _too_many()
    fields, groups = _nested(pairs), [_nested(wrapped)]
    if isinstance(fields.get("email"), dict):
        groups.append(fields.pop("email"))
    for group in groups:
        for name, value in group.items():
            if not _same(fields.setdefault(name, value), value):
                raise _unusable(name, TWICE)
    for name, value in fields.items():
        _check_name(name)
        if not has_storable_names(value):
            raise _unusable(name, "has a name with a control character or broken Unicode")
    return fields


def _nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    try:
        return nest(pairs)
    except ValueError as error:
        raise _unusable(*error.args) from None


def _same(one: Any, other: Any) -> bool:
    scalars = isinstance(one, str | int) and isinstance(other, str | int)
    return one == other or (scalars and str(one) == str(other))


def _unusable(name: str, words: str) -> InvalidSubmission:
    _check_name(name)
    return InvalidSubmission({name: [words]})


def _too_many() -> MalformedBody:
    return MalformedBody(f"more than {MAX_FIELDS} fields")


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME or not text.is_storable(name):
        raise MalformedBody(f"a field's name is unusable or over {MAX_NAME} characters")


def has_storable_names(value: Any) -> bool:
    """Whether every name in a body's fields can be stored, as every text in them can."""
    if isinstance(value, dict):
        return all(text.is_storable(name) for name in value) and all(
            map(has_storable_names, value.values())
        )
    return all(map(has_storable_names, value)) if isinstance(value, list) else True


def submission_of(
    server: str,
    content: bytes,
    *,
    media: str | None = None,
    key: str = "",
    session: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Submission:
    """Make the submission that a request would; raise SubmissionError for a body that is none.

    media: the Content-Type; without it, JSON where the body is an object, else urlencoded. key:
    what comes in the authorization header.
    """
    content = content.strip() if media is None else content
    media = media or (JSON if content.startswith(b"{") else URLENCODED)
    brought = {"authorization": f"token {key}"} if key else {}
    sent = {"content-type": media, **brought, **{k.lower(): v for k, v in (headers or {}).items()}}
    body = parse(media, content)
    return Submission(server, freeze(body.fields), session=session, headers=sent, files=body.files)
