"""The official Python client against the running relay."""

from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from postmark import exceptions, sync

from tests.clients.conftest import (
    ACCOUNT_TOKEN,
    DESK_TOKEN,
    SHOP_TOKEN,
    TEMPLATE,
    Relay,
    shown,
)

LINE = 'sync.ServerClient(token, base_url="http://127.0.0.1:8025")'
MAIL = {
    "sender": "shop@example.gov",
    "to": "ann@example.com",
    "subject": "Hi",
    "text_body": "Hello",
}
FILLED = {"sender": "shop@example.gov", "to": "ann@example.com", "template_model": {"name": "Ann"}}


@pytest.fixture
def client(relay: Relay) -> Iterator[Any]:
    line = shown(LINE).replace("127.0.0.1:8025", relay.host)
    with eval(line, {"sync": sync, "token": SHOP_TOKEN}) as client:  # noqa: S307
        yield client


def test_a_message_is_sent(relay: Relay, client: Any) -> None:
    answer = client.outbound.send({**MAIL, "metadata": {"order": "12"}, "tag": "greeting"})
    assert (answer.error_code, answer.message) == (0, "OK")
    message = relay.message(answer.message_id)
    assert (message["Tag"], message["Metadata"]) == ("greeting", {"order": "12"})


def test_a_batch_is_sent(relay: Relay, client: Any) -> None:
    answers = client.outbound.send_batch([MAIL, {**MAIL, "subject": "Again"}])
    assert [relay.message(one.message_id)["Subject"] for one in answers] == ["Hi", "Again"]


def test_the_client_cannot_read_a_failed_item_of_a_batch(client: Any) -> None:
    # Postmark documents such an item without To, SubmittedAt and MessageID, all of which this
    # client requires: it fails here as it fails there.
    with pytest.raises(pydantic.ValidationError, match="MessageID"):
        client.outbound.send_batch([MAIL, {**MAIL, "to": "ann@example.org"}])


def test_templates_are_sent_by_number_and_alias(relay: Relay, client: Any) -> None:
    number = relay.make_template()
    one = client.outbound.send_with_template({**FILLED, "template_id": number})
    assert relay.message(one.message_id)["Subject"] == "Welcome Ann"
    [two] = client.outbound.send_batch_with_template([{**FILLED, "template_alias": "welcome"}])
    assert relay.message(two.message_id)["TextBody"] == "Hello Ann"


def test_templates_are_made_edited_listed_checked_and_deleted(relay: Relay, client: Any) -> None:
    made = client.templates.create({**TEMPLATE, "Alias": None})
    edited = client.templates.edit(made.template_id, {"alias": "hello"})
    assert (edited.alias, edited.template_type.value) == ("hello", "Standard")
    assert client.templates.get("hello").html_body == TEMPLATE["HtmlBody"]
    assert [one.alias for one in client.templates.list().items] == ["hello"]
    checked = client.templates.validate({"subject": "{{a}}", "html_body": "{{#b}}"})
    assert (checked.subject.rendered_content, checked.all_content_is_valid) == ("a_Value", False)
    assert client.templates.delete("hello").error_code == 0
    assert relay.templates() == {}


def test_templates_are_pushed_between_servers(relay: Relay, client: Any) -> None:
    relay.make_template()
    with sync.AccountClient(ACCOUNT_TOKEN, base_url=relay.url) as account:
        ids = {server.name: server.id for server in account.server.list().items}
        wanted = {
            "source_server_id": str(ids["shop"]),
            "destination_server_id": str(ids["desk"]),
        }
        planned = account.templates.push({**wanted, "perform_changes": False})
        assert [change.action.value for change in planned.templates] == ["Create"]
        assert relay.templates(DESK_TOKEN) == {}
        account.templates.push({**wanted, "perform_changes": True})
    assert relay.templates(DESK_TOKEN).keys() == {"welcome"}


def test_messages_and_the_server_are_looked_up(client: Any) -> None:
    sent = client.outbound.send({**MAIL, "metadata": {"order": "12"}, "tag": "looked-up"})
    [found] = client.outbound.list(tag="looked-up").items
    assert found.message_id == sent.message_id
    assert found.status.value in ("Queued", "Sent")
    details = client.outbound.get(sent.message_id)
    assert (details.text_body, details.metadata) == ("Hello", {"order": "12"})
    assert "Hello" in client.outbound.get_dump(sent.message_id).body
    assert client.server.get().name == "shop"
    assert {one.id for one in client.stream.list().items} == {"outbound", "inbound", "broadcast"}


def test_a_refusal_is_a_validation_error(client: Any) -> None:
    with pytest.raises(exceptions.ValidationException) as caught:
        client.outbound.send({**MAIL, "to": "nobody"})
    assert (caught.value.error_code, caught.value.http_status) == (300, 422)


def test_a_wrong_token_is_an_invalid_key(relay: Relay) -> None:
    with (
        sync.ServerClient("x" * 40, base_url=relay.url) as client,
        pytest.raises(exceptions.InvalidAPIKeyException) as caught,
    ):
        client.outbound.send(MAIL)
    assert caught.value.error_code == 10
