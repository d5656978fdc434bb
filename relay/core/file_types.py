"""The kinds of file that forms can take, those that nobody delivers, and what a file is called.

A file's kind is told by its extension and by its first bytes, which must agree; what the sender
calls its type is not believed.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple
from urllib.parse import quote

from relay.core.office_documents import is_office_document

# The endings of files that no provider delivers, least of all Postmark.
# fmt: off
FORBIDDEN = frozenset({
    "bat", "bin", "chm", "com", "cpl", "crt", "exe", "hlp", "hta", "inf", "ins", "isp", "jse",
    "lnk", "mdb", "msc", "msi", "msp", "mst", "pcd", "pif", "reg", "scr", "sct", "shs", "vba",
    "vbe", "vbs", "wsf", "wsh", "wsl",
})
# fmt: on

# What no text has: control characters besides tabs and the ends of lines and pages.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class FileType(NamedTuple):
    """A kind of file: the type it is sent as, and whether bytes are of it."""

    media: str
    holds: Callable[[bytes], bool]


def _starts(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(beginnings)


def _is_pdf(content: bytes) -> bool:
    """Return whether bytes are a PDF: its readers look for its beginning in the first 1,024."""
    return b"%PDF-" in content[:1024]


def _is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS


def _office(part: bytes, kind: str) -> FileType:
    """Describe a kind of Office document by its usual main part, and the type of that."""
    media = f"application/vnd.openxmlformats-officedocument.{kind}"
    return FileType(media, lambda content: is_office_document(content, part, f"{media}.main+xml"))


def _open_document(kind: bytes) -> Callable[[bytes], bool]:
    """Know an OpenDocument file by its type, which stands unpacked at its beginning."""
    named = b"mimetypeapplication/vnd.oasis.opendocument." + kind + b"PK"
    return lambda content: content[:4] == b"PK\x03\x04" and content[30:].startswith(named)


def _is_text(content: bytes) -> bool:
    """Return whether bytes are text, as UTF-8, UTF-16 with its mark, or a Windows code page."""
    begins_pdf = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-")
    if begins_pdf or any(kind.holds(content) for name, kind in _BINARY.items() if name != "pdf"):
        return False
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ["utf-16"] if marked else ["utf-8", "cp1252"]:
        try:
            return not _NO_TEXT.search(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    return False


_OPEN = "application/vnd.oasis.opendocument"
_BINARY: Mapping[str, FileType] = {
    "pdf": FileType("application/pdf", _is_pdf),
    "png": FileType("image/png", _starts(b"\x89PNG\r\n\x1a\n")),
    "jpg": FileType("image/jpeg", _starts(b"\xff\xd8\xff")),
    "jpeg": FileType("image/jpeg", _starts(b"\xff\xd8\xff")),
    "gif": FileType("image/gif", _starts(b"GIF87a", b"GIF89a")),
    "webp": FileType("image/webp", _is_webp),
    "heic": FileType("image/heic", _is_heic),
    "docx": _office(b"word/document.xml", "wordprocessingml.document"),
    "xlsx": _office(b"xl/workbook.xml", "spreadsheetml.sheet"),
    "pptx": _office(b"ppt/presentation.xml", "presentationml.presentation"),
    "odt": FileType(f"{_OPEN}.text", _open_document(b"text")),
    "ods": FileType(f"{_OPEN}.spreadsheet", _open_document(b"spreadsheet")),
}
# Every kind that forms can take, by extension.
FILE_TYPES: Mapping[str, FileType] = {
    **_BINARY,
    "txt": FileType("text/plain", _is_text),
    "csv": FileType("text/csv", _is_text),
}

_IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "heic")
_IMAGE_ENDINGS = {*_IMAGES, "jfif", "jpe", "jif", "jfi", "pjpeg", "pjp", "heif"}


def named_as_image(name: str, content: bytes, types: Collection[str]) -> str:
    """Return the name of an image with the ending of the kind that it is, of these types.

    Programs convert images and keep their names; JPEG has more endings than anybody knows. What is
    no such image keeps its name.
    """
    stem, _, ending = name.rpartition(".")
    if ending.lower() not in _IMAGE_ENDINGS:
        return name
    endings = [one for one in _IMAGES if one in types and FILE_TYPES[one].holds(content)]
    return name if not endings or ending.lower() in endings else file_name(f"{stem}.{endings[0]}")


def is_forbidden(name: str) -> bool:
    """Return whether, by its name, a file is of a kind that providers refuse."""
    # Windows drops what stands behind: `virus.exe. ` is started as `virus.exe`.
    return name.rstrip(" .").rpartition(".")[2].lower() in FORBIDDEN


UNKNOWN_MEDIA = "application/octet-stream"
# What file systems take, in bytes of UTF-8.
MAX_FILE_NAME = 200

_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,80}"  # noqa: S105 - RFC 6838's grammar
_MEDIA = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})[ \t]*(?:;|\Z)")
# The parameters that tell how to read the content; a name or a boundary is not the caller's.
_PARAMETER = re.compile(
    rf";[ \t]*(charset|format|delsp|method)=(?:\"({_TOKEN})\"|({_TOKEN}))[ \t]*(?=;|\Z)",
    re.IGNORECASE,
)
# What no file name in quotes may have: a reader might take `;` for the end of it.
_NOT_QUOTED = re.compile(r"[^A-Za-z0-9 !#$%&'()+,.=@\[\]^_`{}~-]")
# Control and direction characters, line ends, lone surrogates, and what parts a path.
_NOT_IN_A_FILE_NAME = re.compile(
    '[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff/\\\\:*?"<>|]'
)

_AROUND_A_FILE_NAME = re.compile(r"\A[\s.]+|[\s.]+\Z")


def media_type(given: str) -> str:
    """Return an attachment's content type as a header may have it.

    Of its parameters those are kept that tell how to read the content. What is no content type, or
    would be read as further parts, is `application/octet-stream`.
    """
    found = _MEDIA.match(given)
    if found is None or found[1].lower().startswith(("multipart/", "message/")):
        return UNKNOWN_MEDIA
    named: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(given):
        named.setdefault(name.lower(), quoted or plain)
    return "".join([found[1], *(f'; {name}="{value}"' for name, value in named.items())])


def file_name(given: str) -> str:
    """Return an attachment's name as a file may have it: no path, nothing that hides its end."""
    last = re.split(r"[/\\]", given.rstrip("/\\"))[-1]
    name = _AROUND_A_FILE_NAME.sub("", _NOT_IN_A_FILE_NAME.sub("_", last))
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > MAX_FILE_NAME // 10:
        stem, dot, ending = name, "", ""
    kept = MAX_FILE_NAME - len(f"{dot}{ending}".encode())
    stem = _AROUND_A_FILE_NAME.sub("", stem.encode()[:kept].decode("utf-8", "ignore"))
    return f"{stem}{dot}{ending}" or "attachment"


def disposition(kind: str, name: str) -> str:
    """Write a Content-Disposition: `attachment` or `inline`, with a file's name (RFC 6266)."""
    name = file_name(name)
    if name == _ascii_name(name):
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename*=utf-8''{quote(name, safe='')}"


def named_media_type(given: str, name: str) -> str:
    """Return an attachment's content type, with an ASCII name where its own one is none.

    It is for readers who do not know the `filename*` of a disposition (RFC 2231). It does not stand
    there beside that, because some readers would take it for the name.
    """
    name = file_name(name)
    fallback = _ascii_name(name)
    return media_type(given) + ("" if name == fallback else f'; name="{fallback}"')


def _ascii_name(name: str) -> str:
    """Return what a file name has in ASCII: letters lose their accents, others are `_`."""
    letters = (one for one in unicodedata.normalize("NFD", name) if not unicodedata.combining(one))
    return _NOT_QUOTED.sub("_", "".join(letters))
