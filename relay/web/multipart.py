"""The parts of a multipart body, framed as RFC 2046 allows or as programs and people do."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from tornado.httputil import HTTPFile, HTTPInputError, parse_body_arguments

from relay.core.errors import MalformedBody

MAX_PARTS = 100
MAX_HEAD = 10 * 1024

_LINE_END = re.compile(rb"\r?\n")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CONTENT_TYPE = re.compile(rb"^content-type:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Part(NamedTuple):
    """A part as it was sent: the lines of its headers, and its content."""

    head: bytes
    content: bytes

    @property
    def content_type(self) -> str:
        found = _CONTENT_TYPE.search(self.head)
        return found[1].decode("latin-1").strip() if found else ""


def parts(boundary: str, body: bytes) -> Iterator[Part]:
    """Split a body, whose contents stay as they are; raise MalformedBody.

    There may be a preamble, an epilogue, and blanks behind a boundary. The last boundary may lack
    its dashes where nothing follows it. Lines may end in bare line feeds, if the first one does.
    """
    lines = list(_boundary_lines(boundary.encode(), body))
    _check_ends(lines, body)
    for line, following in pairwise(lines):
        start, end = line.end(), following.start()
        if start == end:
            continue
        blank = _BLANK_LINE.search(body, start, min(end, start + MAX_HEAD))
        if blank is None:
            raise malformed()
        yield Part(body[start : blank.start()], body[blank.end() : end - len(lines[0]["end"])])


def _boundary_lines(boundary: bytes, body: bytes) -> Iterator[re.Match[bytes]]:
    """Find the lines of a boundary; raise MalformedBody where one does not begin a line."""
    pattern = rb"--" + re.escape(boundary) + rb"(?P<last>--)?[ \t]*(?P<end>\r?\n|\Z)"
    before = b"\n"
    for number, line in enumerate(re.finditer(pattern, body)):
        if number > MAX_PARTS:
            raise malformed()
        if line.start() and not body.endswith(before, 0, line.start()):
            raise malformed()
        if number == 0:
            before = line["end"]
        yield line


def _check_ends(lines: list[re.Match[bytes]], body: bytes) -> None:
    """Raise MalformedBody for what is cut off, or has no beginning, or goes on behind its end."""
    if not lines or any(line["last"] for line in lines[:-1]):
        raise malformed()
    last = lines[-1]
    if not last["last"] and body[last.end() :].strip():
        raise malformed()
    if len(lines) == 1 and (not last["last"] or body[: last.start()].strip()):
        raise malformed()


def name_and_file(head: str) -> tuple[str, HTTPFile | None]:
    """Read a part's headers: the field's name, and a file without its content if it is one."""
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    lines = _LINE_END.sub(b"\r\n", head.encode())
    alone = b"--part\r\n" + lines + b"\r\n\r\n\r\n--part--"
    try:
        parse_body_arguments("multipart/form-data; boundary=part", alone, arguments, files)
    except HTTPInputError:
        raise malformed() from None
    for name, found in files.items():
        return name, found[0]
    return next(iter(arguments)), None


def malformed() -> MalformedBody:
    """Return the error of a body whose parts cannot be told."""
    return MalformedBody("malformed multipart body")
