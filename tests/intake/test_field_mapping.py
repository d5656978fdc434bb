"""Where a form's fields went, by the message that was made of it, and what is stored of that."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.core import origin
from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.server import Server
from relay.forms.email_form import EmailForm, base_message
from relay.intake.field_mapping import MAX_FIELDS, MAX_NAME, mapping, unused
from relay.site import Site
from relay.store.acts import By
from relay.store.outbox import retention
from relay.store.outbox.retention import Clearing
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.forms.test_attachments import CONTENTS, multipart
from tests.support.keys import PAGE_KEY

SERVER = Server("default", (), sender=Address("relay@example.gov", "Relay"))

BROKEN = """
from relay import hookimpl

@hookimpl
def compose(form, server):
    if form["subject"] == "break":
        raise KeyError("secret")
"""


def mapped(
    change: Callable[[Message, Any], Message] = lambda message, form: message, **fields: Any
) -> dict[str, str]:
    """Where fields went, of a form with these besides: `change` is the rest of a plugin."""
    submitted = {**FORM, **fields}
    form = EmailForm().load(submitted)
    return mapping(form, submitted, change(base_message(form, SERVER), form))


@pytest.mark.parametrize(
    ("fields", "name", "where"),
    [
        ({}, "to_address", "to"),
        ({}, "from_address", "reply_to"),
        ({}, "subject", "subject"),
        ({}, "message", "body"),
        ({}, "name", "unused"),
        ({"cc": "a@example.gov, b@example.gov"}, "cc", "cc"),
        ({"bcc": "a@example.gov"}, "bcc", "bcc"),
        ({"tag": "Roads"}, "tag", "tag"),
        ({"reply_to": "jane@example.com"}, "reply_to", "reply_to"),
        ({"sender": "The roads"}, "sender", "from"),
        ({"headers": [{"Name": "X-Form", "Value": "permit"}]}, "headers", "header"),
        ({"HtmlBody": "<script>alert(1)</script>"}, "HtmlBody", "read"),
        ({"colour": "green", "template_id": "t"}, "colour", "model"),
        ({"colours": ["green", "red"], "template_id": "t"}, "colours", "model"),
        ({"token_session": "1234"}, "token_session", "control"),
        ({"TemplateID": "t"}, "TemplateID", "control"),
        ({"useHtml": True}, "useHtml", "control"),
        ({"colour": " \u200b"}, "colour", "empty"),
        ({"colour": None}, "colour", "empty"),
        ({"colours": []}, "colours", "empty"),
        ({"recipient": "desk@example.gov"}, "recipient", "to"),
    ],
)
def test_a_field_goes_to_the_part_that_its_value_stands_in(
    fields: dict[str, Any], name: str, where: str
) -> None:
    assert mapped(**fields)[name] == where


@pytest.mark.parametrize(
    ("age", "where"),
    [
        ("42", "body"),
        (43, "body"),
        ("976", "read"),
        ("1", "read"),
        ("1976", "body"),
        (["42", "nothing"], "body"),
        ({"years": 42}, "body"),
        ("a" * 1000, "body"),
        (False, "read"),
    ],
    ids=str,
)
def test_what_a_plugin_writes_is_found_in_its_text_and_no_part_of_another_word_is(
    age: Any, where: str
) -> None:
    def aged(message: Message, form: Any) -> Message:
        value = form["age"]
        leaf = value[0] if isinstance(value, tuple) else value
        leaf = leaf["years"] if not isinstance(leaf, str | int) else leaf
        words = "" if value == "976" or value == "1" or value is False else leaf
        return replace(message, text=f"Born 1976, {form['name']}, {words}.")

    found = mapped(aged, age=age)
    assert found["age"] == where
    assert found["name"] == "body"


def test_one_value_may_stand_in_several_parts() -> None:
    def named(message: Message, form: Any) -> Message:
        address = Address("resident@example.com", form["name"])
        return replace(message, reply_to=(address,), text=f"By {form['name']}")

    assert mapped(named)["name"] == "reply_to body"


def test_looking_for_fields_makes_nobody_their_reader() -> None:
    form = EmailForm().load({**FORM, "colour": "green"})
    message = base_message(form, SERVER)
    assert mapping(form, FORM | {"colour": "green"}, message)["colour"] == "unused"
    assert unused(form, [*FORM, "colour"]) == ["colour", "name"]


def test_many_long_fields_are_cut() -> None:
    fields = {f"{number}{'n' * 500}": "a" * 3000 for number in range(300)}
    found = mapped(lambda message, form: replace(message, text="a" * 250_000), **fields)
    assert len(found) == MAX_FIELDS
    assert max(map(len, found)) == MAX_NAME


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "nonsense.py").write_text(BROKEN)
    toml = SETTINGS.replace('"honeypot", "contactform"', '"honeypot", "nonsense", "contactform"')
    return toml.replace("[servers.contactform]\n", "[servers.contactform]\nattachments = true\n")


def stored(outbox: Outbox) -> dict[str, Any]:
    return json.loads(outbox.last()["origin"])


@pytest.mark.gen_test
async def test_a_form_is_stored_with_where_it_came_from_and_no_value_of_it(
    post: Post, outbox: Outbox, new_token: Callable[[], Awaitable[int]]
) -> None:
    form = {**FORM, "token_session": await new_token(), "shoe": "size-44", "phone": "617 555 0100"}
    page = {"Origin": "https://www.example.gov", "Referer": "https://www.example.gov/contact?id=7"}
    sent = multipart(form, [("photo", "a.png", CONTENTS["png"])])
    reply = await post("/rest/email_session/contactform", **sent, key=PAGE_KEY, headers=page)
    assert reply.status == 200
    found = stored(outbox)
    assert 0 <= found.pop("token_age") < 60
    assert found == {
        "client": "script",
        "kind": "publishable",
        "page": "https://www.example.gov/contact",
        "has_token": True,
        "authenticators": ["bearer_token"],
        "screens": ["honeypot"],
        "fields": {
            "to_address": "to",
            "from_address": "reply_to body",
            "name": "reply_to body",
            "subject": "subject",
            "message": "body",
            "phone": "body",
            "shoe": "unused",
            "token_session": "control",
            "photo": "attachment",
        },
    }
    assert not {value for value in form.values() if str(value) in outbox.last()["origin"]}


@pytest.mark.gen_test
async def test_what_a_page_must_not_choose_is_called_so(
    post: Post, outbox: Outbox, new_token: Callable[[], Awaitable[int]]
) -> None:
    form = {**FORM, "token_session": await new_token(), "reply_to": "jane@example.com"}
    await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert stored(outbox)["fields"]["reply_to"] == "left_out"


@pytest.mark.gen_test
@pytest.mark.parametrize("fields", [{"contact": "http://spam.example"}, {"subject": "break"}])
async def test_what_is_kept_back_keeps_where_it_came_from_when_it_is_released(
    post: Post,
    site: Site,
    settings: Settings,
    tmp_path: Path,
    outbox: Outbox,
    fields: dict[str, Any],
) -> None:
    page = {"Referer": "https://www.example.gov/contact"}
    reply = await post("/rest/email/contactform", {**FORM, **fields}, headers=page)
    before = stored(outbox)
    assert before["page"] == page["Referer"]
    assert "fields" not in before
    (tmp_path / "plugins" / "nonsense.py").write_text("")
    site.reload(settings)
    row = outbox.last()
    by = By("jane", "command")
    assert await site.acceptance.release(row["id"], row["created_at"] + 60, by)
    after = stored(outbox)
    assert after.pop("fields")["subject"] == "subject"
    assert after == before
    assert reply.status in (200, 500)


@pytest.mark.gen_test
async def test_an_application_of_the_api_has_none_and_clearing_takes_it(
    post: Post, site: Site, outbox: Outbox
) -> None:
    await post("/rest/email/contactform", FORM)
    while site.dispatcher.waiting:
        await site.store.read(lambda connection: None)
    [row] = outbox.rows()
    assert origin.load(row["origin"]) is not None
    assert await site.store.write(retention.clear, Clearing([row["id"]], 1e10)) == 1
    found = site.store.read_now(
        lambda connection: connection.exec_driver_sql("SELECT origin FROM contents").scalar()
    )
    assert found is None
