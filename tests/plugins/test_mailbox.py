"""The embedded mailbox: takes every message, and nothing leaves."""

from collections.abc import Callable

from relay.core.addresses import Address
from relay.core.ids import message_id
from relay.core.message import Confirmation, Message
from relay.hooks.chain import Chain


def test_every_message_is_taken_under_its_own_id_and_in_order(
    chain: Callable[..., Chain],
) -> None:
    desk = Address("desk@example.gov")
    messages = [Message(desk, (desk,), subject=f"{n}", id=message_id()) for n in range(3)]
    receipts = chain().deliver(messages)
    assert receipts is not None
    assert [type(receipt) for receipt in receipts] == [Confirmation] * 3
    assert [receipt.provider_id for receipt in receipts if isinstance(receipt, Confirmation)] == [
        message.id for message in messages
    ]
    assert chain().deliver([]) == []


def test_a_message_that_was_being_delivered_is_kept(chain: Callable[..., Chain]) -> None:
    desk = Address("desk@example.gov")
    message = Message(desk, (desk,), subject="Hi", id=message_id())
    receipt = chain().find(message, "mailbox")
    assert isinstance(receipt, Confirmation)
    assert receipt.provider_id == message.id
