"""Where a submission came from: what its headers and its page say, and nothing secret of it."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders

from relay.core import origin
from relay.core.origin import Origin
from relay.core.submission import Claim, Identity, Submission

SITE = "https://www.example.gov"
KEY = Identity("page", "publishable")


def came_from(headers: dict[str, str], *, has_page: bool = False, **fields: Any) -> Origin:
    sent = HTTPHeaders(headers)
    submission = Submission("contactform", fields, headers=sent, token_age=12.345)
    return origin.of(submission, KEY, Claim(1), ("bearer_token",), ("honeypot",), has_page=has_page)


@pytest.mark.parametrize(
    ("headers", "url", "page"),
    [
        ({}, None, ""),
        ({"Origin": SITE}, None, SITE),
        ({"Referer": f"{SITE}/contact"}, None, f"{SITE}/contact"),
        ({"Referer": f"{SITE}/contact?token=s3cret#top"}, None, f"{SITE}/contact"),
        ({"Referer": f"{SITE}/", "Origin": SITE}, f"{SITE}/form?a=b", f"{SITE}/form"),
        ({"Origin": SITE}, "https://elsewhere.example/form", SITE),
        ({"Origin": SITE}, f"{SITE}.evil.example/form", SITE),
        ({}, "https", ""),
        ({"Origin": SITE}, ["https://www.example.gov/form"], SITE),
        ({}, f"{SITE}/form?key=1", f"{SITE}/form"),
        ({}, "javascript:alert(1)", ""),
        ({}, "https://jane:secret@www.example.gov/form", f"{SITE}/form"),
        ({"Referer": "https://jane@www.example.gov/a/b"}, None, f"{SITE}/a/b"),
        ({}, f"{SITE}/\u202egro", ""),
        ({"Referer": f"{SITE}/{'a' * 999}"}, None, f"{SITE}/{'a' * (299 - len(SITE))}"),
        ({"Origin": "null"}, None, "null"),
    ],
)
def test_the_page_is_named_without_what_may_be_secret(
    headers: dict[str, str], url: Any, page: str
) -> None:
    assert came_from(headers, url=url).page == page


@pytest.mark.parametrize(
    ("headers", "has_page", "client"),
    [
        ({}, False, "application"),
        ({"Sec-Fetch-Mode": "navigate"}, False, "application"),
        ({}, True, "form"),
        ({"Origin": SITE}, False, "script"),
        ({"Referer": SITE}, False, "script"),
        ({"Origin": SITE, "Sec-Fetch-Mode": "cors"}, False, "script"),
        ({"Origin": SITE, "Sec-Fetch-Mode": "navigate"}, False, "form"),
        ({"Origin": SITE, "Sec-Fetch-Mode": "cors"}, True, "form"),
    ],
)
def test_a_form_a_script_and_an_application_are_told_apart(
    headers: dict[str, str], has_page: bool, client: str
) -> None:
    assert came_from(headers, has_page=has_page).client == client


def test_what_is_written_down_is_read_again() -> None:
    whence = came_from({"Referer": f"{SITE}/contact"})
    text = origin.dump(whence, {"subject": "subject", '"\ud800': "unused"}, 3)
    found = origin.load(text)
    assert found is not None
    assert found.fields == {"subject": "subject", '"\ud800': "unused"}
    assert (found.page, found.client, found.kind) == (f"{SITE}/contact", "script", "publishable")
    assert (found.authenticators, found.screens) == (("bearer_token",), ("honeypot",))
    assert (found.has_token, found.token_age, found.more) == (True, 12.3, 3)
    assert text.isascii()


def test_the_least_is_read_again_and_nothing_is_nothing() -> None:
    assert origin.load(origin.dump(Origin())) == Origin()
    assert origin.load(None) is origin.load("") is None
