"""What is refused before the body is read: limits, large bodies without a key, what is not kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.core.rate_limit import Caller, RateLimiter
from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import APPLICATION_KEY, PAGE_KEY, key

TOML = (
    SETTINGS
    + key("files", "files", "uploads")
    + """
[servers.files]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Files <files@example.gov>"
recipients = ["@example.gov"]
attachments = true

[servers.uploads]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Uploads <uploads@example.gov>"
recipients = ["@example.gov"]
session_key = "optional"
attachments = true
"""
)
FILES_KEY = "files-key-files-key-files-key-files"
REMOTE = {"X-Forwarded-For": "192.0.2.1"}  # not believed, but no longer local
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
THANKS = "https://www.example.gov/thanks?lang=en&relay=error&relay_reason="
LARGE = json.dumps({**FORM, "message": "x" * 300_000}).encode()


@pytest.fixture
def settings_toml() -> str:
    return TOML


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"FILES_KEY": FILES_KEY}


@pytest.fixture
def spent(site: Site) -> None:
    """An address that has posted as often as it may."""
    limiter = RateLimiter(1)
    limiter.take(Caller("127.0.0.1", local=False))
    site.configuration = replace(site.configuration, post_limiter=limiter)


@pytest.mark.gen_test
@pytest.mark.usefixtures("spent")
async def test_who_posts_too_often_is_told_so_whatever_the_body_is(
    post: Post, outbox: Outbox
) -> None:
    bodies: list[tuple[str, bytes]] = [
        ("application/json", b'{"a":[' + b"{}," * 80_000 + b"1]}"),
        ("application/json", b"{"),
        ("application/json", LARGE),
        (URLENCODED, b"a=1&" * 50_000),
        ("text/xml", b"<a/>"),
        (MULTIPART, b"--b\r\nnonsense"),
    ]
    for path in (
        "/rest/email/default",
        "/rest/email_session/default",
        "/rest/email_cancel/default",
    ):
        for media, body in bodies:
            reply = await post(path, body=body, media=media, headers=REMOTE)
            assert (reply.status, 50 < int(reply.headers["Retry-After"]) <= 60) == (429, True)
    assert outbox.rows() == []


def page_form(**more: str) -> dict[str, Any]:
    return {**FORM, "return_to": "thanks", **more}


@pytest.mark.gen_test
@pytest.mark.usefixtures("spent")
async def test_a_visitor_without_javascript_who_posts_too_often_comes_back_to_the_page(
    post: Post, outbox: Outbox
) -> None:
    for path in ("/rest/email_session/contactform", "/rest/email/contactform", "/emails"):
        reply = await post(path, page_form(), headers=REMOTE)
        assert (reply.status, reply.headers["Location"]) == (303, f"{THANKS}too_many")
    part = b'--b\r\nContent-Disposition: form-data; name="return_to"\r\n\r\nthanks\r\n--b--\r\n'
    reply = await post("/rest/email/contactform", body=part, media=MULTIPART, headers=REMOTE)
    assert (reply.status, reply.headers["Location"]) == (303, f"{THANKS}too_many")
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.usefixtures("spent")
async def test_only_a_form_that_names_its_page_comes_back_to_it(post: Post) -> None:
    path = "/rest/email/contactform"
    for reply in (
        await post(path, FORM, headers=REMOTE),
        await post(path, content=page_form(), headers=REMOTE),
        await post("/rest/email/default", page_form(), headers=REMOTE),
        await post(path, page_form(message="x" * 300_000), headers=REMOTE),
    ):
        assert reply.status == 429


@pytest.mark.gen_test
async def test_a_visitor_without_javascript_comes_back_while_there_is_no_room(
    post: Post, site: Site
) -> None:
    site.stopping = True
    reply = await post("/rest/email/contactform", page_form())
    assert (reply.status, reply.headers["Location"]) == (303, f"{THANKS}unavailable")
    assert (await post("/rest/email/contactform", FORM)).status == 503


@pytest.mark.gen_test
async def test_no_files_are_read_from_those_who_bring_no_key_in_a_header(
    post: Post, outbox: Outbox
) -> None:
    strangers: list[tuple[str, str | None]] = [
        ("/rest/email/files", None),
        ("/rest/email/files", "somebody-elses-key-somebody-elses-key"),
        ("/rest/email/files", APPLICATION_KEY),
        ("/rest/email/files", PAGE_KEY),
        ("/rest/email_session/files", "somebody-elses-key-somebody-elses-key"),
        ("/rest/email_session/uploads", "somebody-elses-key-somebody-elses-key"),
        ("/rest/email/uploads", None),
    ]
    for path, given in strangers:
        for body in (LARGE, LARGE[:-1], b"x" * 2_000_000):
            reply = await post(path, body=body, media="application/json", key=given)
            assert (reply.status, reply.words) == (401, "could not authenticate")
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_files_are_read_from_those_who_may_bring_them(post: Post, outbox: Outbox) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5E"
    file = {
        "Name": "a.png",
        "ContentType": "image/png",
        "Content": png + "rkJggg==" + " " * 300_000,
    }
    content = {**FORM, "attachments": [file]}
    assert (await post("/rest/email/files", content=content, key=FILES_KEY)).status == 200
    # These bring their key, if any, and their token in the body.
    for path in ("/rest/email_session/files", "/rest/email_session/uploads"):
        reply = await post(path, content=content, key=None)
        assert reply.words in ("could not authenticate", "invalid token")
    assert len(outbox.rows()) == 1


TEST = {"X-Postmark-Server-Token": "POSTMARK_API_TEST"}


@pytest.mark.gen_test
async def test_with_everybodys_token_little_is_read(post: Post) -> None:
    mail = {"From": "a@example.com", "To": "b@example.com", "Subject": "x", "TextBody": "x" * 1000}
    numbers: Callable[[int], bytes] = lambda count: b"[" + b"0," * count + b"0]"  # noqa: E731
    for path, body, status in (
        ("/email/batch", json.dumps([mail] * 200).encode(), 200),
        ("/email", json.dumps({**mail, "TextBody": "x" * 250_000}).encode(), 200),
        ("/email/batch", json.dumps([mail] * 300).encode(), 413),
        ("/email", json.dumps({**mail, "TextBody": "x" * 270_000}).encode(), 413),
        ("/email/batch", numbers(5_000_000), 413),
        ("/email/batch", numbers(100_000), 413),
        ("/email/withTemplate", b"{" + b'"a":{},' * 20_000 + b'"a":1}', 413),
        ("/email/batchWithTemplates", b'{"Messages":' + numbers(20_000) + b"}", 413),
    ):
        reply = await post(path, body=body, media="application/json", headers=TEST)
        assert reply.status == status, body[:50]
