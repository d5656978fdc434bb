"""How multipart bodies may be framed, what is refused, and that contents stay as they are."""

import pytest

from relay.core.errors import MalformedBody
from relay.web.bodies import parse

MEDIA = "multipart/form-data; boundary=B"
HEAD = b'Content-Disposition: form-data; name="%s"'
FILE = HEAD % b"f" + b'; filename="f.bin"\r\nContent-Type: application/octet-stream'


def framed(*parts: tuple[bytes, bytes], line_end: bytes = b"\r\n", last: bytes = b"--B--") -> bytes:
    """Frame parts, each of a head and a content."""
    lines = [line for head, content in parts for line in (b"--B", head, b"", content)]
    return line_end.join([*lines, last])


A = (HEAD % b"a", b"1")
B = (HEAD % b"b", b"2")
GOOD = framed(A, B)


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        GOOD + b"\r\n",
        b"\r\n" + GOOD,
        b"\n" + GOOD,
        b"\r\n\r\n" + GOOD + b"\r\n\r\n",
        b"This is a message in MIME format.\r\n" + GOOD,
        b"Two lines,\r\nand a blank one.\r\n\r\n" + GOOD,
        b"preamble\n" + GOOD,
        GOOD + b"\r\nepilogue, --B, to ignore",
        framed(A, B, last=b"--B\r\n"),
        framed(A, B, last=b"--B"),
        framed(A, B, last=b"--B \t\r\n\r\n"),
        framed(A, B, last=b"--B--  \r\n"),
        framed(A, B, line_end=b"\n"),
        framed(A, B, line_end=b"\n", last=b"--B--\n"),
        framed(A, B, line_end=b"\n", last=b"--B\n"),
        b"\npreamble\n\n" + framed(A, B, line_end=b"\n"),
        framed(A, B).replace(b"--B\r\n", b"--B  \r\n"),
        framed((A[0] + b"\nContent-Type: text/plain", A[1]), B),
        framed((b"content-type: text/plain\r\n" + A[0], A[1]), B),
        b"--B\r\n" + GOOD,
    ],
)
def test_a_body_is_read_however_it_is_framed(body: bytes) -> None:
    assert parse(MEDIA, body).fields == {"a": "1", "b": "2"}


@pytest.mark.parametrize("last", [b"--B--", b"--B\r\n", b"--B"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\r\n",
        b"\r",
        b"a\nb\r\nc\rd",
        b"\n\n\r\n\r\n",
        b"--",
        b"--B of no boundary\n--Bc\r\n--b--\r\n",
        b"a line\n--BB\nContent-Disposition: x\n\n",
        bytes(range(256)),
        b"\xef\xbb\xbfx \t",
    ],
)
def test_the_content_of_a_file_stays_as_it_is(content: bytes, line_end: bytes, last: bytes) -> None:
    body = framed(A, (FILE, content), B, line_end=line_end, last=last)
    parsed = parse(MEDIA, body)
    assert [file.content for file in parsed.files] == [content]
    assert parsed.fields == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "body",
    [
        framed(A, B, last=b""),
        framed(A, B, last=b"--"),
        framed(A, B, last=b"--B-"),
        framed(A, B, last=b"--B-\r\n"),
        framed(A, B, last=b"--B\r\nContent-Dispo"),
        framed(A, B, last=b"--B\r\n" + HEAD % b"c" + b"\r\n\r\ncut of"),
        framed(A, (FILE, b"cut of"), last=b""),
        framed(A, B, line_end=b"\n", last=b""),
        GOOD[:-5],
        b"--B",
        b"--B\r\n",
        b"text\r\n--B--",
        b"text" + GOOD,
        GOOD.replace(b"1\r\n--B", b"1\n--B"),
        GOOD.replace(b"1\r\n--B", b"1--B"),
        GOOD.replace(b"1\r\n--B", b"1\r--B"),
        GOOD.replace(b"\r\n", b"\r"),
        GOOD + b"\r\n" + GOOD,
        GOOD + b"\r\n--B\r\n",
        framed(*[(HEAD % b"a", b"1")] * 101),
        framed(*[(HEAD % b"a", b"1")] * 101, line_end=b"\n"),
        framed((HEAD % b"a" + b"\nX: " + b"y" * 11_000, b"1"), line_end=b"\n"),
        framed((b"", b"1")),
        framed((b"Content-Type: text/plain", b"1"), line_end=b"\n"),
    ],
)
def test_what_is_cut_off_or_ambiguous_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody) as raised:
        parse(MEDIA, body)
    assert str(raised.value) == "malformed multipart body"


@pytest.mark.parametrize(
    "body", [b"--B--", b"--B--\r\n", b"\r\n--B--\r\n", b"--B\r\n--B--", b"--B--\n"]
)
def test_a_form_of_no_fields_is_empty(body: bytes) -> None:
    assert parse(MEDIA, body).fields == {}
