"""What a call's log line says of who made it, and the charsets that calls declare."""

from typing import Any

import pytest

from tests.web.postmark.conftest import BOTH_KEY, BULLETIN_KEY, NOTICES_KEY, Call

MAIL = {"From": "notices@example.gov", "To": "ann@example.com", "TextBody": "Hello."}


@pytest.mark.parametrize(
    ("method", "path", "token", "value", "key"),
    [
        ("POST", "/email", NOTICES_KEY, {**MAIL, "From": "x@evil.example.com"}, "notices"),
        ("POST", "/email", NOTICES_KEY, {**MAIL, "To": "no address"}, "notices"),
        ("POST", "/email", NOTICES_KEY, [], "notices"),
        ("POST", "/email/withTemplate", NOTICES_KEY, {**MAIL, "TemplateId": 1}, "notices"),
        ("GET", "/templates/99", BULLETIN_KEY, None, "bulletin"),
        ("GET", "/messages/outbound?count=0", BULLETIN_KEY, None, "bulletin"),
        ("POST", "/email", BOTH_KEY, MAIL, "both"),
        ("POST", "/email", "x" * 40, MAIL, None),
    ],
)
@pytest.mark.gen_test
async def test_a_refused_call_names_the_key(
    call: Call,
    events: list[dict[str, Any]],
    method: str,
    path: str,
    token: str,
    value: Any,
    key: str | None,
) -> None:
    await call(method, path, value, token=token)
    [line] = [event for event in events if event["event"] == "call.refused"]
    assert line.get("key") == key
    assert token not in str(line)


@pytest.mark.parametrize(
    ("declared", "codec", "status"),
    [
        ("", "utf-8", 200),
        ("; charset=UTF-8", "utf-8", 200),
        ("; charset=iso-8859-1", "latin-1", 200),
        ("; charset=windows-1252", "cp1252", 200),
        ('; charset="iso-8859-15"', "iso8859-15", 200),
        ("; charset=koi8-r; boundary=x", "ascii", 200),
        ("; charset=something", "utf-8", 200),
        ("; charset=utf-16", "utf-8", 200),
        ("", "latin-1", 422),
        ("; charset=utf-8", "latin-1", 422),
    ],
)
@pytest.mark.gen_test
async def test_a_call_is_read_in_the_charset_that_it_declares(
    call: Call, declared: str, codec: str, status: int
) -> None:
    words = "Caf\u00e9" if codec != "ascii" else "Cafe"
    body = f'{{"From": "notices@example.gov", "To": "a@example.com", "TextBody": "{words}"}}'
    headers = {"Content-Type": f"application/json{declared}"}
    reply = await call("POST", "/email", body=body.encode(codec), headers=headers)
    assert reply.status == status
    if status == 200:
        found = await call("GET", f"/messages/outbound/{reply.json['MessageID']}/details")
        assert found.json["TextBody"] == words
