"""Files that come with a form: few enough, small enough, and what their names say they are.

A file's kind is told by its extension and by its first bytes, which must agree; what the sender
calls its type is not believed.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from relay.errors import InvalidSubmission
from relay.message import Attachment, AttachmentRules, File, Submission
from relay.mime import file_name

# The field that files of a JSON body stand in.
FIELD = "attachments"

_BLANKS = re.compile(r"[ \t\r\n]+")
# How the HTML part names a file that it shows.
_CONTENT_ID = re.compile(r"(?:cid:)?([!-;=?-~]{1,200})")
# What no text has: control characters besides tabs and the ends of lines and pages.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class Kind(NamedTuple):
    """A kind of file: the type it is sent as, and whether bytes are of it."""

    media: str
    holds: Callable[[bytes], bool]


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(beginnings)


def _is_pdf(content: bytes) -> bool:
    return content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-")


def _is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS


def _office(folder: bytes) -> Callable[[bytes], bool]:
    """Know a zipped Office document, without macros, by the names in it: they are not packed."""

    def holds(content: bytes) -> bool:
        named = b"[Content_Types].xml" in content and folder in content
        return content[:4] == b"PK\x03\x04" and named and b"vbaproject" not in content.lower()

    return holds


def _open_document(kind: bytes) -> Callable[[bytes], bool]:
    """Know an OpenDocument file by its type, which stands unpacked at its beginning."""
    named = b"mimetypeapplication/vnd.oasis.opendocument." + kind + b"PK"
    return lambda content: content[:4] == b"PK\x03\x04" and content[30:].startswith(named)


def _is_text(content: bytes) -> bool:
    """Tell whether bytes are text, as UTF-8, UTF-16 with its mark, or a Windows code page."""
    if any(kind.holds(content) for kind in _BINARY.values()):
        return False
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if marked else ["utf-8", "cp1252"]:
        try:
            return not _NO_TEXT.search(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    return False


_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_BINARY: Mapping[str, Kind] = {
    "pdf": Kind("application/pdf", _is_pdf),
    "png": Kind("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    "jpg": Kind("image/jpeg", _starts(b"\xff\xd8\xff")),
    "jpeg": Kind("image/jpeg", _starts(b"\xff\xd8\xff")),
    "gif": Kind("image/gif", _starts(b"GIF87a", b"GIF89a")),
    "webp": Kind("image/webp", _is_webp),
    "heic": Kind("image/heic", _is_heic),
    "docx": Kind(f"{_OFFICE}.wordprocessingml.document", _office(b"word/document.xml")),
    "xlsx": Kind(f"{_OFFICE}.spreadsheetml.sheet", _office(b"xl/workbook.xml")),
    "odt": Kind(f"{_OPEN}.text", _open_document(b"text")),
    "ods": Kind(f"{_OPEN}.spreadsheet", _open_document(b"spreadsheet")),
}
# Every kind that forms can take, by extension.
KINDS: Mapping[str, Kind] = {
    **_BINARY,
    "txt": Kind("text/plain", _is_text),
    "csv": Kind("text/csv", _is_text),
}


def read(submission: Submission, rules: AttachmentRules | None) -> tuple[Attachment, ...]:
    """Read the files of a submission, in order; raise InvalidSubmission, which names the field.

    They are the parts of a multipart body and what its field `attachments` has, as Postmark names
    it. Without rules there may be no part; that the field is refused then, is the form's to say.
    """
    if rules is None:
        words = ["files are not taken here"]
        raise_for = {file.field_name: words for file in submission.files}
        if raise_for:
            raise InvalidSubmission(raise_for, reason="attachments")
        return ()
    parts = [(file, None) for file in submission.files]
    named = list(_named(submission.fields.get(FIELD)))
    return _checked([*parts, *named], rules)


def _checked(
    files: Sequence[tuple[File, str | None]], rules: AttachmentRules
) -> tuple[Attachment, ...]:
    problems: dict[str, list[str]] = {}
    attachments = []
    for number, (file, content_id) in enumerate(files, 1):
        name = file_name(file.name)
        problem = _problem(name, file.content, rules)
        if problem:
            problems.setdefault(file.field_name, []).append(f"file {number} {problem}")
            continue
        content = base64.b64encode(file.content).decode("ascii")
        media = KINDS[_extension(name)].media
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
    if not KINDS[extension].holds(content):
        return f"is not what its name says: its content is no {extension}"
    return ""


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _named(given: Any) -> Iterator[tuple[File, str | None]]:
    """Read the field `attachments`: objects with Name, Content and perhaps ContentID."""
    if not given:
        return
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
