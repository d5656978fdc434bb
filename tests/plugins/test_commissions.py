"""Boards and commissions: the shared fields as they are, under a server of their own."""

from collections.abc import Callable

from relay.core.addresses import Address
from relay.core.message import Message
from relay.testing import FormServer
from tests.plugins.conftest import EXAMPLES


def test_an_application_is_mapped_as_it_is(form_server: Callable[..., FormServer]) -> None:
    commissions = form_server("commissions", EXAMPLES)
    message = commissions.post(
        {
            "recipient": "clerk@example.gov",
            "from_address": "Ann <ann@example.com>",
            "subject": "Arts commission",
            "body": "I paint.",
            "useHtml": 1,
            "cc": "mayor@example.gov",
            "tag": "Arts",
            "board": "Arts",
        }
    )
    assert message == Message(
        sender=Address("commissions@example.gov", "Boards and commissions"),
        to=(Address("clerk@example.gov"),),
        cc=(Address("mayor@example.gov"),),
        reply_to=(Address("ann@example.com", "Ann"),),
        subject="Arts commission",
        text="I paint.",
        html="I paint.",
        tag="Arts",
    )


def test_it_is_a_group_of_its_own(form_server: Callable[..., FormServer]) -> None:
    assert form_server("Commissions", EXAMPLES).chain.server.group == "commissions"


def test_a_template_gets_every_field(form_server: Callable[..., FormServer]) -> None:
    fields = {"to": "a@example.gov", "from_address": "b@example.com", "board": "Arts", "years": [1]}
    message = form_server("commissions", EXAMPLES).post({**fields, "template_alias": "welcome"})
    assert message.template == "welcome"
    assert message.model == {
        "to": "a@example.gov",
        "from_address": "b@example.com",
        "board": "Arts",
        "years": (1,),
        "ReplyTo": "b@example.com",
    }
