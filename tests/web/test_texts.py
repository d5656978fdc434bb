"""What people paste and programs send, from the request into what is stored: texts and lines."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.site import Site
from tests.conftest import FORM, Outbox, Post, Reply
from tests.support.keys import APPLICATION_KEY
from tests.web.postmark.conftest import settled

API_KEY = "shop-key-shop-key-shop-key-shop-key-"
SETTINGS = """
[relay.limits]
posts_per_minute = 0

[keys.application]
secret.env = "APPLICATION_KEY"
servers = ["default", "contactform"]

[keys.shop]
secret.env = "API_KEY"
servers = ["shop"]

[servers.default]
plugins = ["bearer_token", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["*"]
headers = ["X-Form"]

[servers.contactform]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov"]

[servers.shop]
plugins = ["mailbox"]
sender = "Shop <shop@example.gov>"
"""

# What is posted, and what is left of it in a text of many lines.
TEXTS = {
    "a vertical tab": ("First\vsecond", "First\nsecond"),
    "a form feed": ("First\fsecond", "First\nsecond"),
    "a next line": ("First\x85second", "First\nsecond"),
    "a line separator": ("First\u2028second\u2029third", "First\nsecond\nthird"),
    "an end of text": ("pasted\x03 from Word", "pasted from Word"),
    "an escape": ("\x1b[31mred\x1b[0m", "[31mred[0m"),
    "a NUL": ("a\x00b", "ab"),
    "a backspace": ("a\bb", "ab"),
    "DEL and C1": ("a\x7fb\x9bc", "abc"),
    "half a pair": ("so long \ud83d", "so long \ufffd"),
    "the other half": ("\ude00 so long", "\ufffd so long"),
    "what is no damage": ("a\tb\r\nc 👨\u200d👩 \u202e", "a\tb\r\nc 👨\u200d👩 \u202e"),
}
# And in a line.
LINES = {
    "a tab": ("Permit\t2026", "Permit 2026"),
    "a line separator": ("Permit\u20282026", "Permit 2026"),
    "a paragraph separator": ("Permit\u20292026", "Permit 2026"),
    "a vertical tab": ("Permit\v2026", "Permit 2026"),
    "a next line": ("Permit\x852026", "Permit 2026"),
    "DEL": ("Permit\x7f2026", "Permit 2026"),
    "C1": ("Permit\x9b2026", "Permit 2026"),
    "a NUL": ("Permit\x002026", "Permit2026"),
    "half a pair": ("Permit \ud83d", "Permit \ufffd"),
    "line breaks around": ("\r\n Permit 2026\n\n", "Permit 2026"),
    "padding": ("Per\u200bmit\u202e 2026\ufeff", "Permit 2026"),
    "a Persian word": ("کتاب\u200cها", "کتاب\u200cها"),
    "a Kannada word": ("ಫೇಸ್\u200cಬುಕ್", "ಫೇಸ್\u200cಬುಕ್"),
    "a family": ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
    "a heart": ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
}
BROKEN = ["a\nb", "a\rb", "a\r\nBcc: evil@example.com", "\na\n\nb\n"]


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


@pytest.fixture
def environment() -> dict[str, str]:
    return {"APPLICATION_KEY": APPLICATION_KEY, "API_KEY": API_KEY}


@pytest.fixture
def send(post: Post, site: Site, outbox: Outbox) -> Callable[..., Any]:
    """Post fields to `default` as a form, as JSON, or to Postmark's API; return what is stored."""

    async def send_as(kind: str, fields: dict[str, Any]) -> Reply | dict[str, Any]:
        if kind == "api":
            headers = {"X-Postmark-Server-Token": API_KEY}
            reply = await post("/email", content=fields, key=None, headers=headers)
            await settled(site)
        elif kind == "form":
            reply = await post("/rest/email/default", {**FORM, **fields})
        else:
            reply = await post(f"/rest/email/{kind}", content={**FORM, **fields})
        return outbox.last()["document"] if reply.status == 200 else reply

    return send_as


@pytest.mark.gen_test(timeout=30)
async def test_texts_are_taken_without_what_nobody_sees(send: Callable[..., Any]) -> None:
    shop = {"From": "shop@example.gov", "To": "a@example.com", "Subject": "S"}
    for name, (given, kept) in TEXTS.items():
        assert (await send("default", {"message": given}))["text"] == kept, name
        if "pair" not in name and "half" not in name:
            assert (await send("form", {"message": given}))["text"] == kept, name
        stored = await send("default", {"template_id": "welcome", "note": given, "list": [given]})
        assert (stored["model"]["note"], stored["model"]["list"]) == (kept, [kept]), name
        stored = await send("api", {**shop, "TextBody": given, "HtmlBody": given})
        assert (stored["text"], stored["html"]) == (kept, kept), name


@pytest.mark.gen_test(timeout=30)
async def test_lines_have_blanks_for_what_nobody_sees(send: Callable[..., Any]) -> None:
    for name, (given, kept) in LINES.items():
        fields = {"subject": given, "tag": given, "sender": given, "headers": {"X-Form": given}}
        stored = await send("default", fields)
        assert [stored["subject"], stored["tag"], stored["sender"][1]] == [kept] * 3, name
        assert stored["headers"] == [["X-Form", kept]], name
        stored = await send("contactform", {"name": given, "phone": given})
        assert stored["reply_to"] == [["resident@example.com", kept]], name
        assert f"Phone: {kept}" in stored["text"], name
        shop = {"Subject": given, "Tag": given, "TextBody": "T", "Metadata": {"note": given}}
        shop |= {"From": f"{given.strip()} <shop@example.gov>", "To": " a@example.com\t\n"}
        shop |= {"Headers": [{"Name": "X-Form", "Value": given}]}
        stored = await send("api", shop)
        assert [stored["subject"], stored["tag"], stored["sender"][1]] == [kept] * 3, name
        assert stored["headers"] == [["X-Form", kept]], name
        assert stored["metadata"]["note"] == kept, name


@pytest.mark.gen_test(timeout=30)
async def test_a_line_that_is_broken_is_refused_by_the_name_of_its_field(
    send: Callable[..., Any], outbox: Outbox
) -> None:
    shop = {"From": "shop@example.gov", "To": "a@example.com", "Subject": "S", "TextBody": "T"}
    for given in BROKEN:
        for field in ("subject", "tag", "sender"):
            reply = await send("default", {field: given})
            assert (reply.status, reply.words) == (400, f"{field}: must be a single line")
        for field in ("Subject", "Tag"):
            reply = await send("api", {**shop, field: given})
            assert f"'{field}' is a single line" in reply.json["Message"]
    assert outbox.rows() == []


@pytest.mark.gen_test(timeout=30)
async def test_numbers_and_booleans_are_taken_as_their_text(send: Callable[..., Any]) -> None:
    for given, text in [(6175550100, "6175550100"), (-1, "-1"), (0, "0"), (2.5, "2.5"), (7.0, "7")]:
        stored = await send("default", {"subject": given, "message": given, "tag": given})
        assert [stored[name] for name in ("subject", "text", "tag")] == [text] * 3
        stored = await send("contactform", {"phone": given, "name": given})
        assert f"Phone: {text}" in stored["text"]
        assert stored["reply_to"] == [["resident@example.com", text]]
    assert (await send("default", {"subject": True}))["subject"] == "1"
    assert (await send("default", {"message": False})).words.startswith("message: Missing")
    for wrong in ([1], {"a": 1}, [True]):
        assert (await send("default", {"subject": wrong})).words.startswith("subject: Not a valid")
