"""The Metrolist link: a request -> a mail with a button, and its words in the text part."""

from collections.abc import Callable

import pytest

from relay.core.addresses import Address
from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES

FIELDS = {
    "to_address": "owner@example.com",
    "from_address": "noreply@example.gov",
    "sender": "Metrolist Listing",
    "name": "Ann <Owner>",
    "subject": "Your link",
    "message": "https://www.example.gov/form/listing?token=a&b=1",
    "url": "www.example.gov/here",
    "useHtml": "1",
    "hidden_name": "unrelated",
}
TEXT = """\
Open the link below to submit your available property, or to see your past listings.

IMPORTANT: do not reuse this link. For every other property, please request a new form.

Metrolist listing form: https://www.example.gov/form/listing?token=a&b=1

Questions? Write to metrolist@example.gov

Thank you.
The Office of Housing

----------------------------------------
This message was sent with the Metrolist listing form on www.example.gov.
It was requested by Ann <Owner> (owner@example.com) from the page at www.example.gov/here.
"""
BUTTON = '<a href="https://www.example.gov/form/listing?token=a&amp;b=1"'


@pytest.fixture
def initiation(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("MetrolistInitiationForm", EXAMPLES)


def test_the_link_becomes_a_mail_of_both_parts(initiation: FormServer) -> None:
    message = initiation.post(FIELDS)
    assert message == Message(
        sender=Address("noreply@example.gov", "Metrolist Listing"),
        to=(Address("owner@example.com"),),
        reply_to=(Address("noreply@example.gov"),),
        subject="Your link",
        tag="metrolist form initiation",
        text=TEXT,
        html=message.html,
    )
    html = message.html or ""
    assert html.count(BUTTON) == 1
    for words in (
        ">Launch metrolist listing form</a>",
        '<img src="https://www.example.gov/metrolist.png"',
        "do not reuse this link",
        "Ann &lt;Owner&gt; (owner@example.com) from the page at www.example.gov/here.",
    ):
        assert words in html
    assert initiation.post({**FIELDS, "useHtml": "0"}).html is None


@pytest.mark.parametrize(
    "message",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "www.example.gov/form",
        "https://www.example.gov@evil.example/",
        'https://www.example.gov/" onclick="x',
        "https://[x/",
        "https:///form",
        "see https://www.example.gov/",
    ],
)
def test_what_is_no_safe_link_stands_there_as_text(initiation: FormServer, message: str) -> None:
    made = initiation.post({**FIELDS, "message": message})
    assert f"Metrolist listing form: {message}\n" in (made.text or "")
    assert "Launch" not in (made.html or "")
    assert (made.html or "").count("href") == 1  # whom to ask


def test_a_page_with_an_address_is_linked_and_none_is_left_out(initiation: FormServer) -> None:
    html = initiation.post({**FIELDS, "url": "https://www.example.gov/here?a=1&b"}).html or ""
    assert '<a href="https://www.example.gov/here?a=1&amp;b">' in html
    made = initiation.post({**FIELDS, "url": "", "name": ""})
    assert (made.text or "").endswith("It was requested by owner@example.com.\n")


def test_a_stored_template_gets_the_fields_and_the_parts(initiation: FormServer) -> None:
    message = initiation.post({**FIELDS, "template_id": "link"})
    model = dict(message.model or {})
    assert (message.template, message.subject, message.text) == ("link", None, None)
    assert model.pop("TextBody") == TEXT
    assert BUTTON in model.pop("HtmlBody")
    control = {"useHtml"}
    fields = {name: value for name, value in FIELDS.items() if name not in control}
    assert model == {**fields, "ReplyTo": "noreply@example.gov"}


def test_the_link_is_required(initiation: FormServer) -> None:
    refused = initiation.refused({**FIELDS, "message": " "})
    assert (refused.status, refused.words) == (400, "message: Missing data for required field.")


def test_nothing_of_one_city_stands_in_the_files(form_server: Callable[..., FormServer]) -> None:
    bare = """
[servers.metrolistinitiationform]
plugins = ["metrolistinitiationform", "bearer_token", "mailbox"]
sender = "a@example.gov"
"""
    message = form_server("metrolistinitiationform", bare).post(FIELDS)
    assert "Questions?" not in (message.text or "") + (message.html or "")
    assert "<img" not in (message.html or "")
    assert "This message was sent with the Metrolist listing form." in (message.text or "")
