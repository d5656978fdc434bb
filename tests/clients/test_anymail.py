"""django-anymail against the running relay."""

from typing import Any

import django
import pytest
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives, get_connection

from tests.clients.conftest import SHOP_TOKEN, Relay, shown

pytestmark = pytest.mark.slow

LINE = 'ANYMAIL = {"POSTMARK_SERVER_TOKEN": token, "POSTMARK_API_URL": "http://127.0.0.1:8025/"}'

if not django_settings.configured:
    django_settings.configure(INSTALLED_APPS=["anymail"], SECRET_KEY="unused", USE_TZ=True)
    django.setup()


@pytest.fixture
def connection(relay: Relay) -> Any:
    line = shown(LINE).replace("127.0.0.1:8025", relay.host)
    names: dict[str, Any] = {"token": SHOP_TOKEN}
    exec(line, names)  # noqa: S102
    django_settings.ANYMAIL = names["ANYMAIL"]
    return get_connection("anymail.backends.postmark.EmailBackend")


def mail(connection: Any, **changed: Any) -> EmailMultiAlternatives:
    fields = {
        "subject": "Hi",
        "body": "Hello",
        "from_email": "Shop <shop@example.gov>",
        "to": ["Ann <ann@example.com>"],
        "connection": connection,
    }
    return EmailMultiAlternatives(**{**fields, **changed})


@pytest.mark.slow
def test_a_message_is_sent_with_everything_it_can_carry(relay: Relay, connection: Any) -> None:
    message = mail(connection, cc=["bob@example.com"], headers={"X-Shop": "7"})
    message.attach_alternative("<b>Hello</b>", "text/html")
    message.attach("note.txt", "hello", "text/plain")
    message.tags = ["greeting"]
    message.metadata = {"order": 12}
    message.track_opens = True
    assert message.send() == 1
    status = message.anymail_status
    assert status.status == {"sent"}
    found = relay.message(status.message_id)
    assert (found["Tag"], found["Metadata"]) == ("greeting", {"order": "12"})
    assert (found["HtmlBody"], found["Attachments"]) == ("<b>Hello</b>", ["note.txt"])
    assert found["To"] == [{"Email": "ann@example.com", "Name": "Ann"}]


def test_a_template_is_sent_to_each_with_their_own_words(relay: Relay, connection: Any) -> None:
    relay.make_template()
    message = mail(connection, subject=None, body=None)
    message.to = ["ann@example.com", "bob@example.com"]
    message.template_id = "welcome"
    message.merge_data = {"ann@example.com": {"name": "Ann"}, "bob@example.com": {"name": "Bob"}}
    assert message.send() == 1
    ids = {address: one.message_id for address, one in message.anymail_status.recipients.items()}
    assert relay.message(ids["ann@example.com"])["Subject"] == "Welcome Ann"
    assert relay.message(ids["bob@example.com"])["Subject"] == "Welcome Bob"


@pytest.mark.parametrize("sender", ["webmaster@localhost", "other@example.gov"])
def test_a_sender_that_may_not_send_is_an_api_error(connection: Any, sender: str) -> None:
    with pytest.raises(AnymailAPIError) as caught:
        mail(connection, from_email=sender).send()
    assert caught.value.status_code == 422


def test_a_recipient_that_is_no_address_is_refused(connection: Any) -> None:
    message = mail(connection, to=["ann@-"])
    with pytest.raises(AnymailRecipientsRefused):
        message.send()
    assert message.anymail_status.status == {"invalid"}


def test_a_wrong_token_is_an_api_error(relay: Relay, connection: Any) -> None:
    django_settings.ANYMAIL = {**django_settings.ANYMAIL, "POSTMARK_SERVER_TOKEN": "x" * 40}
    other = get_connection("anymail.backends.postmark.EmailBackend")
    with pytest.raises(AnymailAPIError, match=r"valid.*token") as caught:
        mail(other).send()
    assert caught.value.status_code == 401
