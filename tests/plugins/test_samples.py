"""What callers of the eight servers post today, over real HTTP with the example settings."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from relay.testing import FormServer, Refused, Screened
from tests.conftest import Outbox, Post
from tests.plugins.conftest import EXAMPLES

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"
CONTACT = {
    "useHtml": "1",
    "to_address": "desk@example.gov",
    "name": "Boston Resident",
    "from_address": "resident@example.com",
    "subject": "I have a great idea.",
    "message": "Why <b>are</b> the roads grey?\nMake them green.",
    "url": "https://www.example.gov/somepage",
    "browser": "Mozilla/5.0",
    "contact": "",
}
SANITATION = {
    "to_address": "resident@example.com",
    "from_address": "Sanitation <noreply@example.gov>",
    "subject": "Sanitation Confirmation",
    "message": "<p>We are <b>pleased</b> to confirm your pickup</p>",
    "type": "confirmation",
}
REGISTRY = {
    "to_address": "resident@example.com",
    "from_address": "marriage@example.gov",
    "subject": "TEST Marriage Intention Application",
    "message": "Thank you for your application.",
    "sender": "Registry",
    "template_id": "23904341",
    "name": "Boston Resident",
}
LINK = {
    "to_address": "owner@example.com",
    "name": "An Owner",
    "from_address": "noreply@example.gov",
    "url": "https://www.example.gov/listing-request",
    "message": "https://www.example.gov/form/listing?token=abc",
    "subject": "Your requested link",
    "useHtml": "1",
    "sender": "Metrolist Listing",
}
UNRELATED = {"hidden_name": "MetroList", "token": "qDfBKuYCJud", "current_page": "1"}
LISTED = {
    **{name: LINK[name] for name in ("to_address", "name", "from_address", "url", "subject")},
    "property_name": "Elm Court",
    "useHtml": "1",
}


def wrapped(fields: dict[str, str]) -> dict[str, str]:
    return {f"email[{name}]": value for name, value in fields.items()}


def multipart(fields: dict[str, str]) -> bytes:
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--x--\r\n".encode()


def as_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


SAMPLES: list[tuple[str, str, bytes, str]] = [
    ("contactform", URLENCODED, urlencode(wrapped(CONTACT)).encode(), "Contact Form"),
    ("contactform", MULTIPART, multipart(wrapped({**CONTACT, "useHtml": "0"})), "Contact Form"),
    ("sanitation", "application/json", as_json(SANITATION), "confirmation"),
    (
        *("sanitation", "application/json"),
        as_json({**SANITATION, "type": "reminder1", "senddatetime": "+5 minutes"}),
        "reminder1",
    ),
    ("registry", URLENCODED, urlencode(wrapped(REGISTRY)).encode(), "Marriage Intention"),
    (
        *("MetrolistInitiationForm", MULTIPART, multipart({**wrapped(LINK), **UNRELATED})),
        "metrolist form initiation",
    ),
    (
        *("MetrolistInitiationForm", "application/json", as_json({**wrapped(LINK), **UNRELATED})),
        "metrolist form initiation",
    ),
    ("MetrolistListingConfirmation", MULTIPART, multipart(LISTED), "metrolist confirmation"),
    ("MetrolistListingNotification", MULTIPART, multipart(LISTED), "metrolist notification"),
    ("commissions", URLENCODED, urlencode(wrapped(CONTACT)).encode(), ""),
    ("default", "application/json", as_json({"email": SANITATION}), ""),
    ("a-name-without-a-server", "application/json", as_json(SANITATION), ""),
]


@pytest.fixture
def settings_toml() -> str:
    key = '[keys.application]\nsecret = { env = "APPLICATION_KEY" }\nservers = ["*"]\n'
    return f"{EXAMPLES}\n{key}"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("server", "media", "body", "tag"),
    SAMPLES,
    ids=[f"{number} {sample[0]}" for number, sample in enumerate(SAMPLES)],
)
async def test_a_sample_submission_is_taken(
    post: Post, outbox: Outbox, server: str, media: str, body: bytes, tag: str
) -> None:
    reply = await post(f"/rest/email/{server}", body=body, media=media)
    later = b"senddatetime" in body
    words = "Message scheduled" if later else "Message sent"
    assert (reply.status, reply.words) == (200, words)
    row = outbox.last()
    assert row["state"] == ("scheduled" if later else "sent")
    assert row["document"].get("tag", "") == tag


@pytest.mark.gen_test
async def test_a_page_posts_with_its_token(
    post: Post, new_token: Callable[[], Awaitable[int]], outbox: Outbox
) -> None:
    form = wrapped({**CONTACT, "token_session": str(await new_token())})
    reply = await post("/rest/email_session/contactform", form)
    assert (reply.status, reply.words) == (200, "Message sent")
    assert outbox.unspent_tokens() == 0
    assert (await post("/rest/email_session/contactform", form)).status == 403


@pytest.mark.gen_test
async def test_sanitation_answers_a_form_415(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/sanitation", SANITATION)
    assert (reply.status, reply.words) == (415, "sanitation takes application/json only")
    assert (await post("/rest/email/sanitation", SANITATION, key=None)).status == 401
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_the_group_takes_no_forms(post: Post) -> None:
    reply = await post("/rest/email/metrolist", content=SANITATION)
    assert (reply.status, reply.words) == (404, "unknown server")


HOSTILE: list[Any] = [
    *(0, 1, -1, 7.5, 10**30, True, False, None, "", " ", [], {}, [None], [[]], [{}], {"": {}}),
    *([1, "a", {"b": [2]}], {"a": {"b": {"c": []}}}, {"0": "x"}, {"relist_unit": "1"}, ["x"] * 600),
    *("x" * 200_000, "a\r\nBcc: evil@example.com", "a\x7fb", "\u202e\u200b", "\U0001f600" * 3000),
    *("<" * 3000, "<b>" * 3000, "&" * 20_000, "{{x}}", "{{#x}}", "javascript:alert(1)", "1_000"),
    *("https://[", "https://a:b/", "http://\u2025/", "%00", "٣", "nan", "1e400", "../../x", "new"),
]
EVERY_FIELD = {
    "contactform": {**CONTACT, "phone": "555"},
    "default": SANITATION,
    "registry": REGISTRY,
    "commissions": SANITATION,
    "sanitation": {**SANITATION, "TextBody": "x", "HtmlBody": "x", "useHtml": 0},
    "metrolistinitiationform": LINK,
    "metrolistlistingconfirmation": {
        **dict.fromkeys(("select_development", "current_units", "units"), ""),
        **dict.fromkeys(("update_my_contact_information", "update_building_information"), "1"),
        **dict.fromkeys(("update_unit_information", "add_additional_units"), "1"),
        **LISTED,
    },
    "metrolistlistingnotification": {
        **dict.fromkeys(("completed", "select_development", "select_contact", "contact_name"), ""),
        **dict.fromkeys(("contactsfid", "developmentsfid", "city", "neighborhood"), ""),
        **dict.fromkeys(("zip_code", "website_link", "street_address", "contact_email"), ""),
        **dict.fromkeys(("update_my_contact_information", "add_additional_units"), "1"),
        **LISTED,
    },
}


@pytest.mark.parametrize("templated", [False, True], ids=["parts", "template"])
@pytest.mark.parametrize("name", EVERY_FIELD)
def test_hostile_values_are_refused_or_mailed_and_nothing_else(
    form_server: Callable[..., FormServer], name: str, templated: bool
) -> None:
    server = form_server(name, EXAMPLES)
    fields = {**EVERY_FIELD[name], **({"template_id": "welcome"} if templated else {})}
    server.post(fields)
    statuses = set()
    for field in fields:
        for value in HOSTILE:
            try:
                server.post({**fields, field: value})
            except Refused as refused:
                statuses.add(refused.status)
            except Screened:
                assert field == "contact"
    assert statuses == {400}


@pytest.mark.parametrize("name", EVERY_FIELD)
def test_half_a_surrogate_pair_is_replaced_or_refused_by_the_name_of_its_field(
    form_server: Callable[..., FormServer], name: str
) -> None:
    server, words = form_server(name, EXAMPLES), []
    for field in EVERY_FIELD[name]:
        body = json.dumps({**EVERY_FIELD[name], field: "\ud800"})
        try:
            assert "\ud800" not in repr(server.post(body))
        except Screened:
            assert field == "contact"
        except Refused as refused:
            words.append(refused.words.partition(":")[0] == field)
    assert words
    assert all(words)
