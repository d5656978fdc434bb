"""Reference numbers that writers are told: stored with their messages, and found again."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from relay.core.addresses import Address
from relay.core.errors import Unavailable
from relay.store.schema import IS_KEPT_BACK, contents, messages, receipts

RETRY_AFTER_SECONDS = 1


class NewReceipt(NamedTuple):
    """A message's reference number, and the writer's address; "" where nobody is to be told."""

    reference: str
    address: str


def receipt(reference: str, writer: Address | None) -> NewReceipt:
    """Make what is stored of a message's writer, of whom nobody may know."""
    return NewReceipt(reference, "" if writer is None else writer.email)


def refusals(
    connection: Connection, batch: Sequence[NewReceipt | None]
) -> list[Unavailable | None]:
    """Refuse new messages whose reference became another one's since it was made."""
    references = [one.reference for one in batch if one is not None]
    if not references:
        return [None] * len(batch)
    query = select(receipts.c.reference).where(receipts.c.reference.in_(references))
    taken = set(connection.execute(query).scalars())
    results: list[Unavailable | None] = []
    for one in batch:
        is_taken = one is not None and one.reference in taken
        results.append(Unavailable(RETRY_AFTER_SECONDS) if is_taken else None)
        taken |= {one.reference} if one else set()
    return results


def row(message: str, new: NewReceipt) -> dict[str, Any]:
    """Make the row of a message's reference, for the commit that stores the message."""
    return {"message": message, **new._asdict(), "mailbox": mailbox(new.address)}


def told(connection: Connection, messages: Sequence[str], now: float) -> None:
    """Take note that the writers of these messages know already: whoever posted them was told."""
    open_ones = receipts.c.message.in_(messages) & receipts.c.done_at.is_(None)
    connection.execute(update(receipts).where(open_ones).values(done_at=now))


def told_of_loss(connection: Connection, messages: Sequence[str]) -> set[str]:
    """Return which of these messages, none of them sent, had their writers told so by mail."""
    query = select(receipts.c.message).where(receipts.c.message.in_(messages))
    return set(connection.execute(query.where(receipts.c.receipt.is_not(None))).scalars())


# One mailbox under two domains, and dots before the @ make no difference there
# (https://support.google.com/mail/answer/7436150).
GMAIL = ("gmail.com", "googlemail.com")


def mailbox(address: str) -> str:
    """Return whose mailbox an address is, as far as it shows: no case, nothing behind a +."""
    local, _, domain = address.lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in GMAIL:
        local, domain = local.replace(".", ""), GMAIL[0]
    return f"{local}@{domain}" if local else ""


def find(connection: Connection, reference: str) -> str | None:
    """Find the message of a reference; return its id."""
    query = select(receipts.c.message).where(receipts.c.reference == reference)
    return connection.execute(query).scalar()


def of(connection: Connection, message: str) -> str | None:
    """Return a message's reference; None where it has none."""
    query = select(receipts.c.reference).where(receipts.c.message == message)
    return connection.execute(query).scalar()


def told_number(connection: Connection, id: str) -> str:
    """Return the reference that a writer was told of a message, or of what was kept back; or "".

    What was kept back has it in its document, until it is a message.
    """
    reference = of(connection, id)
    if reference is None:
        query = select(contents.c.document).join(messages, messages.c.id == contents.c.id)
        kept = query.where(messages.c.id == id, IS_KEPT_BACK)
        document = connection.execute(kept).scalar()
        reference = json.loads(document).get("reference") if document else None
    return reference or ""


REFERENCE_HEADER = "X-Relay-Reference"
