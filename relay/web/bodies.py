"""Request bodies to fields: urlencoded, multipart, JSON; each refused rather than guessed at."""

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tornado.escape import parse_qs_bytes

from relay.core import clock, text
from relay.core.errors import InvalidSubmission, MalformedBody, UnsupportedMedia
from relay.core.immutable import freeze
from relay.core.submission import File, Submission
from relay.forms.brackets import TWICE, nest
from relay.web import json_structure, multipart
from relay.web.charsets import UNDECLARED, Charset, declared

# Names and values, in all that a form nests.
MAX_STRUCTURE = 3000
MAX_FIELDS = 200
MAX_NAME = 100
_USABLE_NAME = re.compile(f"[^{text.UNSTORABLE}]{{0,{MAX_NAME}}}")

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_ESCAPED = re.compile(rb"\\[bu]")
_WRAPPED = re.compile(r"email\[([^\[\]]+)\](?:\[\])?")
# The field of a form that names its charset: browsers fill it in.
_CHARSET_FIELD = "_charset_"
_NAMES_CHARSET = re.compile(rb'\bname="?_charset_(?=["\s;]|$)', re.IGNORECASE)


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
    media = media_of(content_type)
    charset = _charset(content_type, UNDECLARED)
    if media == JSON:
        return Body(_object_fields(json_object(body, MAX_STRUCTURE, charset)))
    if media == URLENCODED:
        return Body(_merged(_urlencoded(body, charset)), is_form=True)
    if media == MULTIPART:
        boundary = _parameter(content_type, "boundary")
        if not boundary:
            raise multipart.malformed()
        fields, files = _multipart(list(multipart.parts(boundary, body)), charset)
        return Body(_merged(fields), files, is_form=True)
    raise UnsupportedMedia


def media_of(content_type: str) -> str:
    """Return the media type that a Content-Type names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _parameter(content_type: str, wanted: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == wanted:
            return value.strip().strip('"')
    return ""


def _charset(content_type: str, default: Charset) -> Charset:
    """Return the charset that a body or a part declares, else the one that holds around it."""
    label = _parameter(content_type, "charset") if ";" in content_type else ""
    return declared(label) if label else default


def json_charset(content_type: str) -> Charset:
    """Return the charset that JSON declares, where it is read here; what declares another is UTF-8.

    For callers that are programs: some declare what they do not send.
    """
    try:
        return _charset(content_type, UNDECLARED)
    except UnsupportedMedia:
        return UNDECLARED


def _form_charset(labels: Iterable[bytes], default: Charset) -> Charset:
    """Return the charset that a form's field `_charset_` names, if it names one."""
    given = {label.strip().decode("latin-1") for label in labels} - {""}
    if len(given) > 1:
        raise _unusable(_CHARSET_FIELD, TWICE)
    return declared(given.pop()) if given else default


def _urlencoded(body: bytes, charset: Charset) -> list[tuple[str, str]]:
    try:
        arguments = parse_qs_bytes(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _too_many() from None
    charset = _form_charset(arguments.pop(_CHARSET_FIELD, ()), charset)
    # The bytes of a name come as Latin-1.
    named = [(_name(name.encode("latin-1"), charset), arguments[name]) for name in arguments]
    return [(name, _value(name, value, charset)) for name, values in named for value in values]


def _multipart(
    parts: list[multipart.Part], charset: Charset
) -> tuple[list[tuple[str, str]], tuple[File, ...]]:
    labels = [part.content for part in parts if _NAMES_CHARSET.search(part.head)]
    charset = _form_charset(labels, charset)
    fields: list[tuple[str, str]] = []
    files: list[File] = []
    for part in parts:
        name, file = multipart.name_and_file(_name(part.head, charset))
        if file is not None:
            _check_name(name)
            files.append(File(_bare(name), file.filename, file.content_type, part.content))
        elif name != _CHARSET_FIELD:
            fields.append((name, _value(name, part.content, _charset(part.content_type, charset))))
    return fields, tuple(files)


def _bare(name: str) -> str:
    """Take the `email` wrapper off the name of a file's field: `email[photo]` is `photo`."""
    found = _WRAPPED.fullmatch(name)
    return found[1] if found else name


def _name(name: bytes, charset: Charset) -> str:
    try:
        return name.decode(charset.codec)
    except ValueError:
        raise MalformedBody(f"a field's name: {charset.fault}") from None


def _value(name: str, value: bytes, charset: Charset) -> str:
    try:
        return text.storable(value.decode(charset.codec))
    except ValueError:
        _check_name(name)
        raise MalformedBody(f"{text.one_line(name)}: {charset.fault}") from None


def json_object(body: bytes, most: int, charset: Charset = UNDECLARED) -> dict[str, Any]:
    """Read a JSON object; raise MalformedBody or TooManyValues."""
    value = json_value(body, most, charset)
    if not isinstance(value, dict):
        raise MalformedBody("the JSON must be an object")
    return value


def json_value(body: bytes, most: int, charset: Charset = UNDECLARED) -> Any:
    """Read any JSON; raise MalformedBody, or TooManyValues for more than `most`.

    What JSON does not have, such as NaN, is refused. A byte order mark is skipped. Its texts can be
    stored; names are as they came.
    """
    json_structure.check(body, most)
    try:
        content = body.decode(charset.codec).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise MalformedBody(charset.fault) from None
    try:
        value = _decode(content)
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
    bare = dict(value)
    del bare["email"]
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
            beside = fields.setdefault(name, value)
            if beside is not value and not _same(beside, value):
                raise _unusable(name, TWICE)
    for name, value in fields.items():
        if not _USABLE_NAME.fullmatch(name):
            raise _unusable_name()
        if not isinstance(value, str) and not has_storable_names(value):
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
    if not _USABLE_NAME.fullmatch(name):
        raise _unusable_name()


def _unusable_name() -> MalformedBody:
    return MalformedBody(f"a field's name is unusable or over {MAX_NAME} characters")


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
    bare = content.removeprefix(BOM_UTF8).strip() if media is None else content
    media = media or (JSON if bare.startswith(b"{") else URLENCODED)
    brought = {"authorization": f"token {key}"} if key else {}
    sent = {"content-type": media, **brought, **{k.lower(): v for k, v in (headers or {}).items()}}
    body = parse(media, bare)
    return Submission(
        server,
        freeze(body.fields),
        session=session,
        headers=sent,
        files=body.files,
        body=content,
        received_at=clock.now(),
    )
