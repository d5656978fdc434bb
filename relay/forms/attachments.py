"""Files that come with a form: few enough, small enough, and what their names say."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.core.errors import InvalidSubmission
from relay.core.file_types import FILE_TYPES, file_name, named_as_image
from relay.core.message import Attachment
from relay.core.server import AttachmentRules
from relay.core.submission import File, Submission

# The field that files of a JSON body stand in.
FIELD = "attachments"

# What people write themselves may well be called like a file.
WRITTEN = frozenset(
    {"subject", "message", "body", "TextBody", "HtmlBody", "name", "url", "contact"}
)

_BLANKS = re.compile(r"[ \t\r\n]+")
# How the HTML part names a file that it shows.
_CONTENT_ID = re.compile(r"(?:cid:)?([!-;=?-~]{1,200})")


def read(submission: Submission, rules: AttachmentRules | None) -> tuple[Attachment, ...]:
    """Read the files of a submission, in order; raise InvalidSubmission, which names the field.

    They are the parts of a multipart body and what its field `attachments` has, as Postmark names
    it. Without rules there may be no part; that the field is refused then, is the form's to say.
    """
    if rules is None:
        if not submission.files:
            return ()
        words = ["files are not taken here"]
        refused = {file.field_name: words for file in submission.files}
        raise InvalidSubmission(refused, reason="attachments")
    _check_names(submission, rules)
    parts = [(file, None) for file in submission.files]
    named = list(_named(submission.fields.get(FIELD)))
    return _checked([*parts, *named], rules)


def _check_names(submission: Submission, rules: AttachmentRules) -> None:
    """Refuse a file of which nothing came but its name: its form is not sent as multipart.

    A script that makes text of a form's data sends `[object File]` in its place.
    """
    media = submission.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        return
    words = ["only the name of a file came; send the form as multipart/form-data"]
    texts = {name: value for name, value in submission.fields.items() if isinstance(value, str)}
    kinds = "|".join(map(re.escape, sorted(rules.types)))
    name_alone = re.compile(rf"\[object File\]|[^\r\n/@]{{1,255}}\.(?:{kinds})", re.IGNORECASE)
    refused = {
        name: words
        for name, value in texts.items()
        if name not in WRITTEN and name_alone.fullmatch(value)
    }
    if refused:
        raise InvalidSubmission(refused, reason="attachments")


def _checked(
    files: Sequence[tuple[File, str | None]], rules: AttachmentRules
) -> tuple[Attachment, ...]:
    problems: dict[str, list[str]] = {}
    attachments = []
    for number, (file, content_id) in enumerate(files, 1):
        name = named_as_image(file_name(file.name), file.content, rules.types)
        problem = _problem(name, file.content, rules)
        if problem:
            problems.setdefault(file.field_name, []).append(f"file {number} {problem}")
            continue
        content = base64.b64encode(file.content).decode("ascii")
        media = FILE_TYPES[_extension(name)].media
        attachments.append(Attachment(name, media, content, content_id))
    if files and len(files) > rules.max_files:
        problems[files[-1][0].field_name] = [f"more than {rules.max_files} files"]
    elif sum(len(file.content) for file, _ in files) > rules.max_bytes:
        problems[files[-1][0].field_name] = [f"more than {rules.max_bytes} bytes of files in all"]
    if problems:
        raise InvalidSubmission(problems, reason="attachments")
    return tuple(attachments)


def _problem(name: str, content: bytes, rules: AttachmentRules) -> str:
    """Say why a file cannot be taken; "" where it can. Its name is the writer's: not repeated."""
    extension = _extension(name)
    if extension not in rules.types:
        return f"is none of the kinds that are taken here: {', '.join(sorted(rules.types))}"
    if not content:
        return "is empty"
    if len(content) > rules.max_file_bytes:
        return f"has more than {rules.max_file_bytes} bytes"
    if not FILE_TYPES[extension].holds(content):
        return f"is not what its name says: its content is no {extension}"
    return ""


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _named(given: Any) -> Iterator[tuple[File, str | None]]:
    """Read the field `attachments`: objects with Name, Content and perhaps ContentID."""
    if not given:
        return
    # Brackets whose numbers do not count from 0 make no list.
    if isinstance(given, Mapping) and all(isinstance(one, Mapping) for one in given.values()):
        given = tuple(given.values())
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise _malformed("must be a list of objects with Name and Content")
    for number, one in enumerate(given, 1):
        if not isinstance(one, Mapping):
            raise _malformed("must be a list of objects with Name and Content")
        name, content = one.get("Name"), one.get("Content")
        if not isinstance(name, str) or not isinstance(content, str):
            raise _malformed(f"file {number} must have Name and Content")
        try:
            decoded = base64.b64decode(_BLANKS.sub("", content), validate=True)
        except (binascii.Error, ValueError):
            raise _malformed(f"file {number}: its Content is not base64") from None
        yield File(FIELD, name, "", decoded), _content_id(one.get("ContentID"), number)


def _content_id(given: Any, number: int) -> str | None:
    if given is None or given == "":
        return None
    found = _CONTENT_ID.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise _malformed(f"file {number}: its ContentID is none")
    return f"cid:{found[1]}"


def _malformed(words: str) -> InvalidSubmission:
    return InvalidSubmission({FIELD: [words]}, reason="attachments")
