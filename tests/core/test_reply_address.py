"""Reply addresses: made for the writer's Reply-To alone, read back in whatever case they come."""

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import reply_address as reply_addresses
from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.secret import Secret
from relay.core.server import Server
from tests.support.generated import examples

SECRET = Secret("a secret of this installation")
INBOX = Address("r@inbound.example.gov")
HASHED = Address("0123456789abcdef0123456789abcdef@inbound.postmarkapp.com")
WRITER = Address("resident@example.com", "Resident, A")
OFFICE = Address("desk@example.gov")
ADDRESS = re.compile(r"r\+[a-z2-7]{16}\.[a-z2-7]{10}@inbound\.example\.gov")


def server(replies: Address | None = INBOX) -> Server:
    sender = Address("contactform@example.gov", "Contact form")
    return Server("contactform", ("contactform",), sender=sender, replies=replies)


def message(**changes: Any) -> Message:
    sender = Address("contactform@example.gov")
    return Message(
        **{"sender": sender, "to": (OFFICE,), "reply_to": (WRITER,), "writer": WRITER, **changes}
    )


def routed(inbox: Address = INBOX) -> str:
    [made] = reply_addresses.routed(message(), server(inbox), SECRET, 1000.0)[0].reply_to
    return made.email


def test_the_writers_reply_to_becomes_a_reply_address_under_the_writers_name() -> None:
    model = {"ReplyTo": str(WRITER), "name": "A"}
    changed, route = reply_addresses.routed(message(model=model), server(), SECRET, 1000.0)
    [address] = changed.reply_to
    assert ADDRESS.fullmatch(address.email)
    assert len(address.email.partition("@")[0]) == 29
    assert address.name == "Resident, A"
    assert changed.model == {"ReplyTo": str(address), "name": "A"}
    assert route == (address.email[2:18], '"Resident, A" <resident@example.com>', 1000.0 + 7776000)


def test_a_scheduled_message_can_be_answered_as_long_as_one_sent_at_once() -> None:
    _, route = reply_addresses.routed(message(send_at=9e6), server(), SECRET, 1000.0)
    assert route.expires_at == 9e6 + 90 * 86400


@pytest.mark.parametrize(
    "changes",
    [
        {"reply_to": (Address("team@example.gov"),)},
        {"reply_to": (WRITER, Address("team@example.gov"))},
        {"reply_to": ()},
        {"sender": WRITER},
        {"writer": None},
    ],
    ids=["another", "several", "none", "the writer stands in From", "nobody wrote"],
)
def test_any_other_reply_to_stays(changes: dict[str, Any]) -> None:
    given_message = message(**changes)
    assert reply_addresses.routed(given_message, server(), SECRET, 1000.0) == (
        given_message,
        None,
    )


def test_without_the_setting_nothing_changes() -> None:
    given_message = message()
    assert reply_addresses.routed(given_message, server(None), SECRET, 1000.0) == (
        given_message,
        None,
    )


def test_no_two_messages_have_the_same_address() -> None:
    assert len({routed() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("inbox", [INBOX, HASHED])
@pytest.mark.parametrize("change", [str, str.upper, str.title, str.swapcase])
def test_an_address_reads_back_in_any_case(change: Any, inbox: Address) -> None:
    email = routed(inbox)
    assert len(email.partition("@")[0]) <= 64
    id = email.partition("+")[2][:16]
    assert reply_addresses.read(change(email), SECRET) == (id, inbox.email)


def test_one_wrong_character_anywhere_in_the_code_is_a_forgery() -> None:
    email = routed()
    for place in range(2, 2 + 16 + 1 + 10):
        for character in string.ascii_lowercase + "234567.+@-":
            forged = email[:place] + character + email[place + 1 :]
            assert (reply_addresses.read(forged, SECRET) is None) == (forged != email)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("@", "a@"),
        ("@", "\n@"),
        (".@", "@"),
        (r"\.[a-z2-7]{10}@", "@"),
        (r"\.[a-z2-7]{10}@", ".@"),
        (r"\+", "-"),
        (r"\+", "++"),
        (r"\+", "+x+"),
        (r"\+.*@", "@"),
        (".+", "@"),
        (".+", ""),
    ],
)
def test_what_is_not_whole_is_a_forgery(part: str, instead: str) -> None:
    assert reply_addresses.read(re.sub(part, instead, routed()), SECRET) is None


def test_another_installations_address_is_a_forgery() -> None:
    assert reply_addresses.read(routed(), Secret("another secret")) is None


@examples(300)
@given(st.text(max_size=80) | st.text(string.ascii_lowercase + "234567.+@", max_size=60))
def test_nobody_guesses_an_address(text: str) -> None:
    assert reply_addresses.read(text, SECRET) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inbound.example.gov",
        "R <r@inbound.example.gov>",
        "r+x@inbound.example.gov",
        f"{'a' * 37}@inbound.example.gov",
    ],
)
def test_no_reply_addresses_can_be_made_of(text: str) -> None:
    with pytest.raises(ValueError, match="@"):
        reply_addresses.inbox(text)


def test_reply_addresses_are_made_of_an_address_in_lower_case() -> None:
    assert reply_addresses.inbox("R@Inbound.Example.Gov") == INBOX
    longest = reply_addresses.inbox(f"{'a' * 36}@inbound.example.gov")
    assert len(routed(longest).partition("@")[0]) == 64
