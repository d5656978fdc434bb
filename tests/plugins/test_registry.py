"""The registry: what an applicant is told -> a mail by a stored template, tagged by its subject."""

from collections.abc import Callable
from typing import Any

import pytest

from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES

FIELDS = {
    "to_address": "resident@example.com",
    "from_address": "marriage@example.gov",
    "subject": "TEST Marriage Intention Application",
    "message": "Your application was received.",
    "sender": "Registry",
    "template_id": "23904341",
    "name": "Jane Doe",
}


@pytest.fixture
def registry(form_server: Callable[..., FormServer]) -> FormServer:
    return form_server("registry", EXAMPLES)


def test_an_application_is_answered_by_its_template(registry: FormServer) -> None:
    message = registry.post(FIELDS)
    assert message == Message(
        sender=message.sender,
        to=message.to,
        reply_to=message.reply_to,
        tag="Marriage Intention",
        template=23904341,
        model={
            **{name: FIELDS[name] for name in FIELDS if name != "template_id"},
            "TextBody": "Your application was received.",
            "ReplyTo": "Jane Doe <marriage@example.gov>",
        },
    )
    assert str(message.sender) == "Registry <marriage@example.gov>"
    assert [str(address) for address in message.to] == ["resident@example.com"]
    assert [str(address) for address in message.reply_to] == ["Jane Doe <marriage@example.gov>"]


@pytest.mark.parametrize(
    ("subject", "tag"),
    [
        ("Your Birth Certificate", "Birth Certificate"),
        ("TEST Marriage Intention Application", "Marriage Intention"),
        ("Re: Death Certificate", "Death Certificate"),
        ("birthday", "Given"),
        ("Marriage", "Given"),
    ],
)
def test_the_subject_says_the_tag(registry: FormServer, subject: str, tag: str) -> None:
    assert registry.post({**FIELDS, "subject": subject, "tag": "Given"}).tag == tag


@pytest.mark.parametrize(
    ("changes", "reply_to"),
    [
        ({}, "Jane Doe <marriage@example.gov>"),
        ({"name": ""}, "marriage@example.gov"),
        ({"name": "", "from_address": "Desk <desk@example.org>"}, "Desk <desk@example.org>"),
        ({"name": "Doe, Jane"}, '"Doe, Jane" <marriage@example.gov>'),
        ({"reply_to": "other@example.org"}, "other@example.org"),
    ],
)
def test_answers_go_to_whoever_is_named(
    registry: FormServer, changes: dict[str, Any], reply_to: str
) -> None:
    message = registry.post({**FIELDS, **changes})
    assert [str(address) for address in message.reply_to] == [reply_to]
    assert message.model is not None
    assert message.model["ReplyTo"] == reply_to


def test_the_settings_template_is_for_forms_that_name_none(
    form_server: Callable[..., FormServer],
) -> None:
    text = EXAMPLES.replace('# template = "registry"', 'template = "registry"')
    registry = form_server("registry", text)
    fields = {**FIELDS, "template_id": ""}
    assert registry.post(fields).template == "registry"
    assert registry.post({**fields, "subject": "", "message": ""}).template == "registry"
    for alias in ("template_id", "TemplateID", "template_alias"):
        assert registry.post({**fields, alias: "birth"}).template == "birth"


def test_without_a_template_it_is_the_message_itself(registry: FormServer) -> None:
    message = registry.post({**FIELDS, "template_id": "", "useHtml": "1", "message": "a < b"})
    assert (message.subject, message.text, message.html) == (FIELDS["subject"], "a < b", "a &lt; b")
    assert registry.refused({**FIELDS, "template_id": "", "subject": ""}).words.startswith(
        "subject: "
    )


def test_an_installation_may_have_tags_of_its_own(form_server: Callable[..., FormServer]) -> None:
    text = EXAMPLES.replace('# template = "registry"', 'tags = { Heirat = "Ehe" }')
    assert form_server("registry", text).post({**FIELDS, "subject": "Heirat"}).tag == "Ehe"
