"""Pickups: an application's JSON -> both parts of a mail, tagged by its type."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from relay.core.addresses import Address
from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES

FIELDS = {
    "to_address": "resident@example.com",
    "from_address": "Sanitation <noreply@example.gov>",
    "subject": "Sanitation Confirmation",
    "message": "<p>We are <b>pleased</b> to confirm your pickup</p>",
    "type": "confirmation",
}
TEXT = "We are pleased to confirm your pickup"


@pytest.fixture
def sanitation(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("sanitation", EXAMPLES)


@pytest.fixture
def templated(form_server: Callable[..., FormServer]) -> FormServer:
    text = EXAMPLES.replace('# template = "sanitation"', 'template = "sanitation"')
    return form_server("sanitation", text)


def test_a_confirmation_has_both_parts(sanitation: FormServer) -> None:
    assert sanitation.post(FIELDS) == Message(
        sender=Address("noreply@example.gov", "Sanitation"),
        to=(Address("resident@example.com"),),
        reply_to=(Address("noreply@example.gov", "Sanitation"),),
        subject="Sanitation Confirmation",
        text=TEXT,
        html=FIELDS["message"],
        tag="confirmation",
    )
    assert sanitation.post({**FIELDS, "useHtml": 0}).html is None


def test_the_settings_template_gets_both_parts_in_its_model(templated: FormServer) -> None:
    for changes in ({}, {"useHtml": 0}, {"template_id": "another"}):
        message = templated.post({**FIELDS, **changes})
        assert (message.template, message.tag, message.text) == ("sanitation", "confirmation", None)
        assert message.model == {
            **FIELDS,
            "TextBody": TEXT,
            "HtmlBody": FIELDS["message"],
            "ReplyTo": "Sanitation <noreply@example.gov>",
        }


def test_without_one_in_the_settings_the_forms_template_is_used(sanitation: FormServer) -> None:
    message = sanitation.post({**FIELDS, "template_id": 77})
    assert message.template == 77
    assert message.model is not None
    assert message.model["HtmlBody"] == FIELDS["message"]


@pytest.mark.parametrize(
    ("message", "text", "html"),
    [
        ("if x<y then call me at 5", "if x<y then call me at 5", "if x&lt;y then call me at 5"),
        ("one\ntwo", "one\ntwo", "one<br>two"),
        ("<p>a</p><script>alert(1)</script>", "a", "<p>a</p>"),
        ('<a href="javascript:x">a</a>', "a", '<a rel="noopener noreferrer">a</a>'),
        ("R&D", "R&D", "R&amp;D"),
    ],
)
def test_text_stays_text_and_html_is_cleaned(
    sanitation: FormServer, message: str, text: str, html: str
) -> None:
    made = sanitation.post({**FIELDS, "message": message})
    assert (made.text, made.html) == (text, html)


def test_parts_that_are_given_outright_are_used(sanitation: FormServer) -> None:
    fields = {name: FIELDS[name] for name in FIELDS if name != "message"}
    given = sanitation.post({**fields, "TextBody": "plain", "HtmlBody": "<b>bold</b>"})
    assert (given.text, given.html) == ("plain", "<b>bold</b>")
    assert sanitation.post({**fields, "TextBody": "a < b"}).html == "a &lt; b"


def test_a_reminder_is_scheduled(sanitation: FormServer) -> None:
    reminder = sanitation.post({**FIELDS, "type": "reminder1", "senddatetime": "+5 minutes"})
    assert reminder.tag == "reminder1"
    assert reminder.send_at is not None
    refused = sanitation.refused({**FIELDS, "senddatetime": "yesterday"})
    assert (refused.status, refused.words) == (400, "senddatetime: Scheduled date is in the past.")


def test_without_a_type_the_tag_is_the_forms(sanitation: FormServer) -> None:
    fields: dict[str, Any] = {**FIELDS, "type": "", "tag": "pickup"}
    assert sanitation.post(fields).tag == "pickup"


def test_it_takes_json_alone(sanitation: FormServer) -> None:
    refused = sanitation.refused(urlencode(FIELDS))
    assert (refused.status, refused.reason) == (415, "media_type")
    assert refused.words == "sanitation takes application/json only"
    assert sanitation.refused(urlencode(FIELDS), key="").status == 401
    assert sanitation.post(FIELDS, media="application/json; charset=utf-8").tag == "confirmation"
