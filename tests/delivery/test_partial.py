"""Messages that only some of their recipients have: who is left, and what that makes of them."""

import pytest

from relay.core.addresses import Address
from relay.core.errors import (
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    RecipientsSuppressed,
)
from relay.core.message import Confirmation, Message
from relay.core.mime import as_bytes
from relay.delivery import partial
from relay.store.outbox.recipients import Fate

ANN, BOB, CY, DI = (Address(f"{name}@example.gov") for name in ("Ann", "bob", "cy", "di"))
MESSAGE = Message(
    sender=ANN,
    to=(ANN,),
    cc=(BOB,),
    bcc=(CY, DI),
    text="x",
    id="019aa5c2-7d8e-7abc-8def-0123456789ab",
)


def rest(*settled: Address) -> Message:
    message = partial.rest(MESSAGE, {one.email.lower() for one in settled})
    assert isinstance(message, Message)
    return message


def test_a_message_that_nobody_has_stays_the_one_it_is() -> None:
    assert partial.rest(MESSAGE, set()) is MESSAGE


@pytest.mark.parametrize(
    ("settled", "to", "cc", "bcc"),
    [
        ((BOB,), (ANN,), (), (CY, DI)),
        ((CY,), (ANN,), (BOB,), (DI,)),
        # Some providers insist on a To.
        ((ANN,), (BOB,), (), (CY, DI)),
        ((ANN, BOB), (CY,), (), (DI,)),
    ],
)
def test_the_rest_are_those_who_neither_have_it_nor_never_will(
    settled: tuple[Address, ...],
    to: tuple[Address, ...],
    cc: tuple[Address, ...],
    bcc: tuple[Address, ...],
) -> None:
    others = rest(*settled)
    assert (others.to, others.cc, others.bcc) == (to, cc, bcc)
    assert as_bytes(others) == as_bytes(MESSAGE)


def test_a_message_for_nobody_is_never_sent() -> None:
    left = partial.rest(MESSAGE, {one.email.lower() for one in MESSAGE.recipients})
    assert isinstance(left, MessageBroken)


@pytest.mark.parametrize(
    "error", [DeliveryFailed("550 no"), RecipientsSuppressed("no mail", held=False)]
)
def test_what_some_have_was_sent_though_the_rest_never_get_it(error: DeliveryError) -> None:
    receipt = partial.concluded(rest(ANN, BOB), error)
    assert receipt == Confirmation(
        "", dropped=("cy@example.gov", "di@example.gov"), words=str(error)
    )
    assert partial.concluded(MESSAGE, error) is error


@pytest.mark.parametrize(
    "result",
    [
        DeliveryDeferred("later"),
        DeliveryInDoubt("lost"),
        MessageBroken("broken"),
        RecipientsSuppressed("no mail", held=True),
        Confirmation("id"),
    ],
)
def test_every_other_result_stays_what_it_is(result: Confirmation | DeliveryError) -> None:
    assert partial.concluded(rest(ANN), result) is result


def test_only_a_receipt_that_makes_differences_has_fates() -> None:
    assert partial.fates(MESSAGE, Confirmation("id")) == ()
    assert partial.fates(MESSAGE, DeliveryFailed("550 no")) == ()
    assert partial.fates(MessageBroken("x"), MessageBroken("x")) == ()


def test_who_was_dropped_is_refused_and_of_the_others_nothing_needs_to_be_known() -> None:
    receipt = Confirmation("id", dropped=("BOB@example.gov",), words="250 OK")
    assert partial.fates(MESSAGE, receipt) == (Fate("bob@example.gov", "refused", "250 OK"),)


def test_where_some_come_later_everybody_else_has_it() -> None:
    receipt = Confirmation("id", dropped=("cy@example.gov",), later=("di@example.gov",))
    assert {(fate.address, fate.state) for fate in partial.fates(MESSAGE, receipt)} == {
        ("ann@example.gov", "taken"),
        ("bob@example.gov", "taken"),
        ("cy@example.gov", "refused"),
    }
