"""postmarker against the running relay."""

import pytest
from postmarker.core import PostmarkClient
from postmarker.exceptions import ClientError

from tests.clients.conftest import ACCOUNT_TOKEN, SHOP_TOKEN, TEMPLATE, Relay, shown

pytestmark = pytest.mark.slow

LINE = 'PostmarkClient(server_token=token, root_api_url="http://127.0.0.1:8025/")'
MAIL = {"From": "shop@example.gov", "To": "ann@example.com", "Subject": "Hi", "TextBody": "Hello"}
FILLED = {"From": "shop@example.gov", "To": "ann@example.com", "TemplateModel": {"name": "Ann"}}


@pytest.fixture
def client(relay: Relay) -> PostmarkClient:
    line = shown(LINE).replace("127.0.0.1:8025", relay.host)
    return eval(line, {"PostmarkClient": PostmarkClient, "token": SHOP_TOKEN})  # noqa: S307


def test_a_message_is_sent_with_everything_it_can_carry(
    relay: Relay, client: PostmarkClient
) -> None:
    answer = client.emails.send(
        **MAIL,
        Cc=["bob@example.com"],
        HtmlBody="<b>Hello</b>",
        Tag="greeting",
        Headers={"X-Shop": "7"},
        TrackOpens=True,
        Metadata={"order": "12"},
        Attachments=[("note.txt", "aGVsbG8=", "text/plain")],
    )
    assert (answer["ErrorCode"], answer["Message"], answer["To"]) == (0, "OK", "ann@example.com")
    message = relay.message(answer["MessageID"])
    assert (message["Tag"], message["Metadata"]) == ("greeting", {"order": "12"})
    assert message["Attachments"] == ["note.txt"]
    assert message["HtmlBody"] == "<b>Hello</b>"
    assert "X-Shop: 7" in message["Body"]


def test_a_batch_tells_of_each_message(relay: Relay, client: PostmarkClient) -> None:
    good, bad = client.emails.send_batch(MAIL, {**MAIL, "To": "nobody"})
    assert relay.message(good["MessageID"])["Subject"] == "Hi"
    assert bad["ErrorCode"] == 300
    assert "Error parsing 'To'" in bad["Message"]
    assert "MessageID" not in bad


def test_templates_are_sent_by_number_and_alias(relay: Relay, client: PostmarkClient) -> None:
    number = relay.make_template()
    one = client.emails.send_with_template(**FILLED, TemplateId=number)
    assert relay.message(one["MessageID"])["Subject"] == "Welcome Ann"
    answers = client.emails.send_template_batch(
        {**FILLED, "TemplateAlias": "welcome", "TemplateId": None},
        {**FILLED, "TemplateId": 7, "TemplateAlias": None},
    )
    assert [answer["ErrorCode"] for answer in answers] == [0, 1101]
    assert relay.message(answers[0]["MessageID"])["TextBody"] == "Hello Ann"


def test_templates_are_made_edited_listed_checked_and_deleted(
    relay: Relay, client: PostmarkClient
) -> None:
    made = client.templates.create(
        Name="Receipt", Subject="Receipt {{number}}", TextBody="Thanks", Alias="receipt"
    )
    client.templates.edit(made.TemplateId, Name="Receipts")
    assert client.templates.get(made.TemplateId).Name == "Receipts"
    assert [one.Alias for one in client.templates.all()] == ["receipt"]
    checked = client.templates.validate(Subject="{{#a}}", TextBody="{{b}}")
    assert (checked["AllContentIsValid"], checked["HtmlBody"]) == (False, None)
    assert checked["Subject"]["ValidationErrors"][0]["Line"] == 1
    assert client.templates.delete(made.TemplateId) == f"Template {made.TemplateId} removed."
    assert relay.templates() == {}


def test_who_deletes_all_that_is_listed_meets_no_layout_before_its_templates(
    relay: Relay, client: PostmarkClient
) -> None:
    frame = {"Name": "Frame", "TemplateType": "Layout", "HtmlBody": "<p>{{{@content}}}</p>"}
    alias = relay.call("POST", "/templates", frame)["Alias"]
    for number in range(2):
        named = {"Alias": f"framed-{number}", "LayoutTemplate": alias}
        relay.call("POST", "/templates", {**TEMPLATE, **named})
    for one in client.templates.all():
        assert client.templates.delete(one.TemplateId) == f"Template {one.TemplateId} removed."
    assert relay.templates() == {}


def test_what_a_library_built_a_mail_with_stays_out_of_it(
    relay: Relay, client: PostmarkClient
) -> None:
    built = {"Mime-Version": "1.0", "Content-Transfer-Encoding": "7bit", "Message-Id": "<a@b.co>"}
    steering = {"X-PM-Tag": "greeting", "X-PM-Metadata-order": "12", "X-Folded": "a,\r\n b"}
    id = client.emails.send(**MAIL, Headers=built | steering)["MessageID"]
    message = relay.message(id)
    assert (message["Tag"], message["Metadata"]) == ("greeting", {"order": "12"})
    assert "X-Folded: a, b" in message["Body"]
    assert not any(value in message["Body"] for value in ("7bit", "<a@b.co>", "X-PM-"))


def test_messages_and_the_server_are_looked_up(relay: Relay, client: PostmarkClient) -> None:
    id = client.emails.send(**MAIL, Tag="looked-up")["MessageID"]
    [found] = client.messages.outbound.all(tag="looked-up")
    assert found.MessageID == id
    assert found.Status in ("Queued", "Sent")
    assert "Hello" in client.messages.outbound.get_dump(id)
    assert client.server.get().Name == "shop"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"To": ""}, 300),
        ({"Cc": "nobody"}, 300),
        ({"To": "ann@example.org"}, 300),
        ({"From": "other@example.gov"}, 400),
    ],
)
def test_a_refusal_is_a_client_error_with_its_code(
    client: PostmarkClient, wrong: dict, code: int
) -> None:
    with pytest.raises(ClientError) as caught:
        client.emails.send(**{**MAIL, **wrong})
    assert caught.value.error_code == code


def test_a_wrong_token_is_code_10(relay: Relay) -> None:
    client = PostmarkClient(server_token=ACCOUNT_TOKEN, root_api_url=f"{relay.url}/")
    with pytest.raises(ClientError) as caught:
        client.emails.send(**MAIL)
    assert caught.value.error_code == 10
