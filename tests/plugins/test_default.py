"""The base mapping through a real chain: fields -> Message."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from relay.core.addresses import Address
from relay.core.errors import InvalidSubmission
from relay.core.message import Message
from tests.conftest import FORM

Compose = Callable[..., Message]

FIELDS = {**FORM, "from_address": "resident@example.com"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            {
                "sender": Address("relay@example.gov", "Relay"),
                "to": (Address("desk@example.gov"),),
                "reply_to": (Address("resident@example.com"),),
                "subject": "I have a great idea",
                "text": "Make the roads green.",
                "html": None,
                "tag": None,
                "headers": (),
                "template": None,
                "model": None,
                "metadata": {},
                "id": "",
            },
        ),
        (
            {"useHtml": "1", "message": "a < b\n"},
            {"text": "a < b\n", "html": "a &lt; b<br>\n"},
        ),
        (
            {"from_address": "Sanitation <someone@example.gov>"},
            {
                "sender": Address("someone@example.gov", "Sanitation"),
                "reply_to": (Address("someone@example.gov", "Sanitation"),),
            },
        ),
        ({"sender": "Registry"}, {"sender": Address("relay@example.gov", "Registry")}),
        ({"cc": "c@example.gov", "bcc": "b@example.gov"}, {"cc": (Address("c@example.gov"),)}),
        ({"tag": "Web"}, {"tag": "Web"}),
        (
            {"template_id": "23904341"},
            {
                "template": 23904341,
                "subject": None,
                "text": None,
                "html": None,
                "model": {
                    **FIELDS,
                    "TextBody": "Make the roads green.",
                    "ReplyTo": "resident@example.com",
                },
            },
        ),
    ],
)
def test_the_shared_fields_are_mapped_as_they_are(
    compose: Compose, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    message = compose({**FIELDS, **changes}, "default")
    assert {name: getattr(message, name) for name in expected} == expected


def test_a_registry_form_of_brackets_names_its_template(compose: Compose) -> None:
    fields = {
        "to_address": "resident@example.com",
        "from_address": "marriage@example.gov",
        "subject": "TEST Marriage Intention Application",
        "message": "Your application was received.",
        "sender": "Registry",
        "template_id": "23904341",
        "name": "Jane Doe",
    }
    body = urlencode({f"email[{name}]": value for name, value in fields.items()}).encode()
    message = compose(body, "default", "application/x-www-form-urlencoded")
    assert message.sender == Address("marriage@example.gov", "Registry")
    assert message.template == 23904341
    assert message.model is not None
    assert message.model["name"] == "Jane Doe"
    assert message.model["subject"] == "TEST Marriage Intention Application"
    assert message.model["TextBody"] == "Your application was received."
    assert "template_id" not in message.model


def test_an_application_posts_json_with_a_display_name_and_fields_for_nobody(
    compose: Compose,
) -> None:
    content = {
        "to_address": "resident@example.com",
        "from_address": "Sanitation <noreply@example.gov>",
        "subject": "Sanitation Confirmation",
        "message": "<p>We are <b>pleased</b> to confirm your pickup</p>",
        "type": "confirmation",
    }
    message = compose(json.dumps(content).encode(), "default", "application/json")
    assert message.sender == Address("noreply@example.gov", "Sanitation")
    assert message.to == (Address("resident@example.com"),)
    assert (message.text, message.html) == (content["message"], None)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"subject": ""}, "subject"),
        ({"message": " "}, "message"),
        ({"to_address": "desk"}, "to_address"),
        ({"attachments": [{"Name": "a.txt"}]}, "attachments"),
        ({"senddatetime": "yesterday"}, "senddatetime"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    compose: Compose, changes: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidSubmission) as raised:
        compose({**FIELDS, **changes}, "default")
    assert list(raised.value.fields) == [name]
    assert name in str(raised.value)
