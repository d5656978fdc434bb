"""What a file is called in a mail or a page: its media type, its name, how both are written."""

import re
from urllib.parse import quote

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
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
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
    if _PLAIN_FILE_NAME.fullmatch(name):
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename*=utf-8''{quote(name, safe='')}"
