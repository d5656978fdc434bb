"""Receipts: which are to be written, now that their messages' fate is known; each is written once.

The commit that stores the mail to a writer also notes that it was done, so that no crash makes two
of it, or none.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Select, func, select, update

from relay.core.states import State
from relay.store.engine.expressions import lock
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.history import NewEvent, note
from relay.store.schema import messages, receipts

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0

# What came of an order: a receipt, none, or left open because the message's fate changed again.
ReceiptOutcome = Literal["written", "omitted", "open"]


class ReceiptOrder(NamedTuple):
    """An order to write the receipt, or the failure notice, for a state of a message, at a time.

    receipt: the mail to him; None for none, and `words` say why. per_hour, per_day:
    how many receipts one mailbox may get.
    """

    message: str
    state: str
    at: float
    receipt: NewMessage | None
    words: str
    per_hour: int = 0
    per_day: int = 0


class OpenReceipt(NamedTuple):
    """A receipt that is still to be written, and where its message stands."""

    message: str
    reference: str
    address: str
    server: str
    state: State
    created_at: float


def waiting(connection: Connection, after: str, limit: int) -> Sequence[OpenReceipt]:
    """Return some of the receipts that are open, with their messages' states, after an id."""
    query = _open().where(receipts.c.message > after)
    rows = connection.execute(query.order_by(receipts.c.message).limit(limit))
    return [OpenReceipt(*row) for row in rows]


def waiting_of(connection: Connection, ids: Sequence[str]) -> Sequence[OpenReceipt]:
    """Return the receipts that are open of these messages, with the messages' states."""
    rows = connection.execute(_open().where(receipts.c.message.in_(ids)))
    return [OpenReceipt(*row) for row in rows]


def _open() -> Select[Any]:
    return (
        select(
            receipts.c.message,
            receipts.c.reference,
            receipts.c.address,
            messages.c.server,
            messages.c.state,
            messages.c.created_at,
        )
        .join(messages, messages.c.id == receipts.c.message)
        .where(receipts.c.done_at.is_(None))
    )


@one_by_one
def write(connection: Connection, one: ReceiptOrder) -> ReceiptOutcome:
    """Store the mail to writers, each with the note that it was done, unless a limit forbids it."""
    query = _open().add_columns(receipts.c.mailbox).where(receipts.c.message == one.message)
    # Another daemon that is about to write it has it, or waits for this transaction.
    query = query.with_for_update(of=receipts)
    row = connection.execute(query.where(messages.c.state == one.state)).first()
    if row is None:
        return "open"
    lock(connection, f"mailbox {row.mailbox}")
    receipt, words = one.receipt, one.words
    objection = _objection(connection, row.mailbox, one) if receipt else ""
    if objection:
        receipt, words = None, f"the writer is not told: {objection}"
    noted = {one.message: words}
    if receipt is not None:
        enqueue.add_together(connection, [[receipt]])
        noted[one.message] = f"{words}, by {receipt.id}"
        noted[receipt.id] = f"tells the writer of {one.message}"
    done = update(receipts).where(receipts.c.message == one.message)
    connection.execute(done.values(done_at=one.at, receipt=receipt.id if receipt else None))
    note(connection, (NewEvent(id, one.at, "receipt", words) for id, words in noted.items()))
    return "written" if receipt else "omitted"


def _objection(connection: Connection, mailbox: str, one: ReceiptOrder) -> str:
    """Say why a mailbox gets no receipt; "" where it does."""
    if not mailbox:
        return "the address was cleared"
    for limit, seconds, unit in (
        (one.per_hour, HOUR_SECONDS, "hour"),
        (one.per_day, DAY_SECONDS, "day"),
    ):
        query = select(func.count()).where(
            receipts.c.mailbox == mailbox,
            receipts.c.receipt.is_not(None),
            receipts.c.done_at > one.at - seconds,
        )
        if connection.execute(query).scalar_one() >= limit:
            return f"the address had {limit} receipts within the {unit}"
    return ""
