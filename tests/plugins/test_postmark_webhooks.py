"""What Postmark tells becomes an event or a reply; what it does not tell becomes nothing."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from relay.core.immutable import freeze
from relay.provider import Callback, ProviderEvent, Reply

ID = "883953f4-6105-42a2-a16a-77a8eac79483"
HASH = "r.abcdefgh.ijkl"
OWN = "451d9b70cf9364d23ff6f9d51d870251569e"

INBOUND: dict[str, Any] = {
    "From": "clerk@example.gov",
    "FromName": "A Clerk",
    "FromFull": {"Email": "clerk@example.gov", "Name": "A Clerk", "MailboxHash": ""},
    "To": f"{OWN}+{HASH}@inbound.postmarkapp.com",
    "ToFull": [
        {"Email": "other@example.gov", "Name": "", "MailboxHash": ""},
        {
            "Email": f"{OWN}+{HASH}@inbound.postmarkapp.com",
            "Name": "",
            "MailboxHash": HASH,
        },
    ],
    "CcFull": [],
    "OriginalRecipient": f"{OWN}+{HASH}@inbound.postmarkapp.com",
    "Subject": "Re: I have a great idea",
    "MessageID": ID,
    "MailboxHash": HASH,
    "TextBody": "Thank you.\r\n",
    "HtmlBody": "<p>Thank you.</p>",
    "Headers": [
        {"Name": "Auto-Submitted", "Value": "no"},
        {"Name": "References", "Value": "<a@b>\r\n <c@d>"},
    ],
    "Attachments": [
        {
            "Name": "plan.pdf",
            "Content": "SGVs\r\nbG8=",
            "ContentType": "application/pdf",
            "ContentLength": 5,
            "ContentID": "",
        }
    ],
}


@pytest.fixture
def read(plugin: Callable[[str], ModuleType]) -> Callable[..., Any]:
    module = plugin("postmark_webhooks")

    def receive(body: dict[str, Any], key: str = "relay-0a1b2c3d") -> Any:
        callback = Callback("registry", "inbound", freeze(body), 1.0, key)
        return module.receive(callback=callback)

    return receive


def test_inbound_mail_is_a_reply_with_everything_it_says(read: Callable[..., Any]) -> None:
    reply = read(INBOUND)
    assert isinstance(reply, Reply)
    assert reply.identity == ID
    assert reply.address == f"{OWN}+{HASH}@inbound.postmarkapp.com"
    assert reply.message.subject == "Re: I have a great idea"
    assert reply.message.text == "Thank you.\r\n"
    assert reply.message.html == "<p>Thank you.</p>"
    assert (reply.message.sender.email, reply.message.to) == ("clerk@example.gov", ())
    [file] = reply.message.attachments
    assert (file.name, file.content_type) == ("plan.pdf", "application/pdf")
    assert (file.content, file.content_id) == ("SGVsbG8=", None)
    assert reply.headers == (("Auto-Submitted", "no"), ("References", "<a@b>  <c@d>"))


ADDRESSES: list[tuple[dict[str, Any], str]] = [
    ({}, f"{OWN}+{HASH}@inbound.postmarkapp.com"),
    # An own domain for inbound mail: any local part.
    (
        {"OriginalRecipient": f"reply+{HASH}@in.example.gov", "ToFull": []},
        f"reply+{HASH}@in.example.gov",
    ),
    # A provider that folds case.
    (
        {"OriginalRecipient": f"REPLY+{HASH.upper()}@IN.EXAMPLE.GOV"},
        f"REPLY+{HASH.upper()}@IN.EXAMPLE.GOV",
    ),
    # Forwarded to the inbound address: the hash stands in the header only.
    (
        {"OriginalRecipient": f"{OWN}@inbound.postmarkapp.com"},
        f"{OWN}+{HASH}@inbound.postmarkapp.com",
    ),
    (
        {
            "OriginalRecipient": f"{OWN}@inbound.postmarkapp.com",
            "ToFull": [],
            "CcFull": [{"Email": f"r+{HASH}@example.gov", "MailboxHash": HASH}],
        },
        f"r+{HASH}@example.gov",
    ),
    ({"OriginalRecipient": "", "ToFull": [], "CcFull": None}, ""),
    ({"MailboxHash": "", "ToFull": "x"}, f"{OWN}+{HASH}@inbound.postmarkapp.com"),
]


@pytest.mark.parametrize(("changed", "address"), ADDRESSES, ids=map(str, range(len(ADDRESSES))))
def test_the_address_is_the_one_that_carries_the_hash(
    read: Callable[..., Any], changed: dict[str, Any], address: str
) -> None:
    assert read(INBOUND | changed).address == address


def test_inbound_mail_may_lack_everything_but_an_id(read: Callable[..., Any]) -> None:
    reply = read({"MessageID": ID, "OriginalRecipient": "r@example.gov"})
    assert (reply.address, reply.headers) == ("r@example.gov", ())
    assert (reply.message.text, reply.message.html, reply.message.attachments) == (None, None, ())


def test_what_is_a_line_is_read_as_one(read: Callable[..., Any]) -> None:
    body = INBOUND | {
        "TextBody": "a\r\nb\tc",
        "Subject": "one\r\nBcc: two\t",
        "Attachments": [{"Name": "a\r\nb.pdf", "Content": "QQ=="}],
    }
    reply = read(body)
    assert reply.message.text == "a\r\nb\tc"
    assert reply.message.subject == "one Bcc: two"
    assert reply.message.attachments[0].name == "a b.pdf"


def test_an_event_carries_our_id_the_providers_and_its_time(read: Callable[..., Any]) -> None:
    [event] = read(
        {
            "RecordType": "Delivery",
            "MessageID": ID,
            "Recipient": " desk@example.gov ",
            "DeliveredAt": "2019-11-05T11:33:54.9070259-05:00",
            "Metadata": {"RELAY-0A1B2C3D": "our-id", "relay-ffffffff": "another", "permit": "7"},
        }
    )
    assert isinstance(event, ProviderEvent)
    assert (event.kind, event.message, event.provider_id) == ("delivered", "our-id", ID)
    assert (event.recipient, event.at) == ("desk@example.gov", 1572971634.907025)


def test_two_things_told_have_two_identities_and_one_told_twice_has_one(
    read: Callable[..., Any],
) -> None:
    bounce = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "MessageID": ID,
        "Email": "a@example.com",
        "BouncedAt": "2019-11-05T16:33:54Z",
    }
    changes: list[dict[str, Any]] = [
        {},
        {"MessageID": ID[:-1] + "0"},
        {"Email": "b@example.com"},
        {"BouncedAt": "2019-11-05T16:33:55Z"},
        {"RecordType": "SpamComplaint"},
    ]
    identities = [read(bounce | change)[0].identity for change in changes]
    assert len(set(identities)) == len(changes)
    assert read(bounce | {"ID": 9, "Tag": "again"})[0].identity == identities[0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"RecordType": "Test"},
        {"RecordType": ["Bounce"]},
        {"RecordType": "Inbound"},
        {"MessageID": ID},
        {"OriginalRecipient": "r@example.gov"},
    ],
    ids=str,
)
def test_anything_else_is_nobodys(read: Callable[..., Any], body: dict[str, Any]) -> None:
    assert read(body) is None


@pytest.mark.parametrize("junk", [None, 7, True, "x", [], [1], {}, {"a": None}], ids=str)
@pytest.mark.parametrize("kind", ["Bounce", "Delivery", "SpamComplaint", "SubscriptionChange"])
def test_junk_in_any_field_breaks_nothing(read: Callable[..., Any], kind: str, junk: Any) -> None:
    names = ("MessageID", "Type", "Email", "Recipient", "BouncedAt", "DeliveredAt", "ChangedAt")
    more = ("Metadata", "Details", "Description", "Inactive", "Origin", "SuppressionReason")
    [event] = read({"RecordType": kind} | dict.fromkeys((*names, *more), junk))
    assert isinstance(event.recipient, str)
    assert isinstance(event.at, float)


@pytest.mark.parametrize("junk", [None, 7, True, "x", [], [1], {}, [{"Name": 1}]], ids=str)
def test_junk_in_inbound_mail_breaks_nothing(read: Callable[..., Any], junk: Any) -> None:
    reply = read(dict.fromkeys(INBOUND, junk))
    assert isinstance(reply, Reply)
