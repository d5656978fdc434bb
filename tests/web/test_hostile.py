"""Malformed and hostile requests: the right refusal, nothing stored, no token spent."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

from relay.site import Site
from relay.web import base, connections
from tests.conftest import FORM, Outbox, Post
from tests.support.keys import APPLICATION_KEY, PAGE_KEY

JSON = "application/json"
FORM_MEDIA = "application/x-www-form-urlencoded"
DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
MANY_PARTS = PART * 101 + b"--b--\r\n"
LONE_CR = PART.replace(b'"a"', b'"a"\rBcc: evil@example.com') + b"--b--\r\n"
NAMELESS = PART.replace(b'; name="a"', b"") + b"--b--\r\n"

MALFORMED: list[tuple[str, str, bytes, int]] = [
    ("not JSON", JSON, b"{", 400),
    ("trailing junk", JSON, b"{} x", 400),
    ("an array", JSON, b"[]", 400),
    ("a string", JSON, b'"x"', 400),
    ("null", JSON, b"null", 400),
    ("deep nesting", JSON, DEEP, 400),
    ("very deep nesting", JSON, b"[" * 100_000, 400),
    ("a huge integer", JSON, b'{"a": ' + b"9" * 5000 + b"}", 400),
    ("a float beyond all", JSON, b'{"a": 1e400}', 400),
    ("NaN", JSON, b'{"a": NaN}', 400),
    ("Infinity", JSON, b'{"a": -Infinity}', 400),
    ("a name twice", JSON, b'{"subject": "x", "subject": "y"}', 400),
    ("a lone surrogate in a name", JSON, b'{"\\ud800": "x"}', 400),
    ("a NUL in a name", JSON, b'{"a\\u0000b": "x"}', 400),
    ("an escape character in a name", JSON, b'{"message": {"a\\u001bb": 1}}', 400),
    ("bad UTF-8", JSON, b'{"subject": "\xff"}', 400),
    ("UTF-16", JSON, '{"subject": "x"}'.encode("utf-16"), 400),
    ("two byte order marks", JSON, b"\xef\xbb\xbf\xef\xbb\xbf{}", 400),
    ("bad UTF-8 in a form", FORM_MEDIA, b"subject=%ff", 400),
    ("a NUL in a name of a form", FORM_MEDIA, b"a%00b=message", 400),
    ("a name twice in a form", FORM_MEDIA, b"subject=a&subject=b", 400),
    ("brackets against bare", FORM_MEDIA, b"email[subject]=a&subject=b", 400),
    ("a value and a group", FORM_MEDIA, b"a=1&a[b]=2", 400),
    ("too many fields", FORM_MEDIA, b"&".join(b"a%d=1" % n for n in range(201)), 400),
    ("too many fields in JSON", JSON, json.dumps({f"a{n}": 1 for n in range(201)}).encode(), 400),
    ("a long name", FORM_MEDIA, b"a" * 101 + b"=1", 400),
    ("multipart without a boundary", "multipart/form-data", b"x", 400),
    ("broken multipart", "multipart/form-data; boundary=b", b"--b\r\nnonsense", 400),
    ("over a hundred parts", "multipart/form-data; boundary=b", MANY_PARTS, 400),
    ("a part with a lone CR", "multipart/form-data; boundary=b", LONE_CR, 400),
    ("a part without a name", "multipart/form-data; boundary=b", NAMELESS, 400),
    ("another media type", "text/xml", b"<a/>", 415),
    ("no media type", "", b"subject=x", 415),
    ("another charset", FORM_MEDIA + "; charset=utf-16", b"subject=%e9", 415),
    ("a large body", FORM_MEDIA, b"message=" + b"x" * 300_000, 413),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("media", "body", "status"),
    [case[1:] for case in MALFORMED],
    ids=[case[0] for case in MALFORMED],
)
async def test_a_malformed_body_is_refused(
    post: Post,
    outbox: Outbox,
    events: list[dict[str, Any]],
    media: str | None,
    body: bytes,
    status: int,
) -> None:
    for path in ("/rest/email/default", "/rest/email_session/contactform", "/emails"):
        reply = await post(path, body=body, media=media)
        assert reply.status == status
        assert reply.json.keys() == {"status", "response"}
        assert reply.json["status"] == "error"
    assert outbox.rows() == []
    assert {event["event"] for event in events} == {"submission.refused"}


WRONG_TYPES: list[dict[str, Any]] = [
    {"to_address": ["desk@example.gov"]},
    {"to_address": {"a": "desk@example.gov"}},
    {"to_address": 7},
    {"to_address": True},
    {"subject": ["x"]},
    {"message": {"a": 1}},
    {"useHtml": "perhaps"},
    {"useHtml": [1]},
    {"useHtml": 2},
    {"template_id": 1.5},
    {"template_id": True},
    {"template_id": [1]},
    {"template_id": "no such alias!"},
    {"headers": "X-Form: 1"},
    {"headers": [1]},
    {"headers": [{"Name": "X-Form"}]},
    {"headers": {"X-Form": [1]}},
    {"headers": [{"Name": "X-Form\r\nBcc", "Value": "x"}]},
    {"headers": [{"Name": "X-Form", "Value": "x\r\nBcc: evil@example.com"}]},
    {"subject": "x\r\nBcc: evil@example.com"},
    {"subject": "x\nBcc: evil@example.com"},
    {"name": "x\r\nBcc: evil@example.com"},
    {"sender": "x\r\nBcc: evil@example.com"},
    {"tag": "x\ny"},
    {"from_address": "a@example.com\r\nBcc: evil@example.com"},
    {"from_address": '"x\r\nBcc: evil@example.com" <a@example.com>'},
    {"reply_to": "a@example.com\nBcc: evil@example.com"},
    {"cc": "desk@example.gov\nevil@example.com"},
    {"to_address": "v@example.gov NOTIFY=NEVER"},
    {"to_address": ", ".join(f"a{n}@example.gov" for n in range(51))},
    {"subject": "x" * 2001},
]


@pytest.mark.gen_test
@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=[str(case)[:60] for case in WRONG_TYPES])
async def test_a_wrong_value_is_refused_by_its_name_and_leaves_the_token(
    post: Post,
    outbox: Outbox,
    new_token: Callable[[], Awaitable[int]],
    wrong: dict[str, Any],
) -> None:
    content = {**FORM, **wrong, "token_session": await new_token()}
    reply = await post("/rest/email_session/contactform", content=content, key=PAGE_KEY)
    assert (reply.status, reply.words.partition(":")[0]) == (400, next(iter(wrong)))
    assert outbox.rows() == []
    assert outbox.unspent_tokens() == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/emails", "/rest/email/contactform", "/rest/email_token/create"])
async def test_another_method_is_405_and_names_the_right_ones(
    post: Post, outbox: Outbox, path: str, method: str
) -> None:
    reply = await post(path, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST, OPTIONS")
    if method != "HEAD":
        assert reply.json == {"status": "error", "response": "method not allowed"}
    assert outbox.unspent_tokens() == 0


@pytest.mark.gen_test
async def test_another_content_encoding_is_415(post: Post, outbox: Outbox) -> None:
    headers = {"Content-Encoding": "gzip"}
    reply = await post("/rest/email/contactform", FORM, headers=headers)
    assert reply.status == 415
    assert outbox.rows() == []


async def _raw(server: HTTPServer, request: bytes) -> bytes:
    port = next(iter(server._sockets.values())).getsockname()[1]
    stream = await TCPClient().connect("127.0.0.1", port)
    try:
        await stream.write(request)
        return await stream.read_until_regex(rb"\r\n\r\n.*\}")
    except StreamClosedError:
        return b""
    finally:
        stream.close()


HEAD = (
    b"POST /rest/email/contactform HTTP/1.1\r\nHost: relay\r\n"
    b"Authorization: token " + APPLICATION_KEY.encode() + b"\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


@pytest.mark.gen_test
async def test_a_chunked_body_over_the_limit_is_413_with_a_body(
    post: Post, http_server: HTTPServer, outbox: Outbox
) -> None:
    chunk = b"20000\r\n" + b"x" * 0x20000 + b"\r\n"
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3 + b"0\r\n\r\n"
    answer = await _raw(http_server, request)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'{"status": "error", "response": "body too large"}' in answer
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("length", [b"50000000", b"9" * 18, b"9" * 19, b"9" * 5000, b"0" * 5000])
async def test_a_body_declared_far_over_the_limit_is_refused_before_it_is_read(
    post: Post, http_server: HTTPServer, outbox: Outbox, length: bytes
) -> None:
    # Where no page is to be found in it, as in a form's of a server with `return_to`.
    head = HEAD.replace(b"x-www-form-urlencoded", b"json")
    answer = await _raw(http_server, head + b"Content-Length: " + length + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"body too large"' in answer
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"X-Nul: a\x00b",
        b"Host: other",
        b"X-Folded: a\r\n b",
        b"Content-Length: 5, 6",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding : chunked",
        b"X-Long: " + b"x" * 70_000,
    ],
    ids=lambda header: str(header)[:50],
)
async def test_a_smuggled_request_gets_nowhere(
    post: Post, http_server: HTTPServer, outbox: Outbox, header: bytes
) -> None:
    answer = await asyncio.wait_for(_raw(http_server, HEAD + header + b"\r\n\r\nhello"), 10)
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
    assert b"from_address" not in answer  # no form was read
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_client_that_leaves_during_its_upload_holds_nothing_up(
    site: Site, post: Post, http_server: HTTPServer, outbox: Outbox
) -> None:
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    stream = await TCPClient().connect("127.0.0.1", port)
    await stream.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")
    await stream.read_until(b"100 (Continue)")
    await stream.write(b"to_address")
    stream.close()
    await asyncio.wait_for(site.requests.none_running(), 5)
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_body_that_never_ends_is_cut_off(
    post: Post, http_server: HTTPServer, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "AWAITED_SECONDS", 0.1)
    monkeypatch.setattr(base, "BODY_SECONDS", 0.1)
    answer = await asyncio.wait_for(_raw(http_server, HEAD + b"Content-Length: 9\r\n\r\nab"), 5)
    assert answer == b""
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_path_that_is_no_text_is_refused_and_breaks_nothing(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/rest/email/%ff", "/rest/email_session/%c3%28", "/rest/email_cancel/%80"):
        assert (await post(path, {"a": "b"})).status == 400
    assert [one for one in caplog.records if one.name == "tornado.application"] == []
