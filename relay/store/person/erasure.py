"""Erasing all that is stored about an address, in one commit.

What is the person's own is cleared as if it had been kept long enough: its row, state and history
stay, so that the outbox balances. In what is others' the address alone goes. A message that is not
over is left as it is, with all that belongs to it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.engine import RowMapping

from relay.core.mentions import Mentions
from relay.core.states import OPEN
from relay.store import acts, suppressions
from relay.store.acts import Act, By
from relay.store.engine.writer import one_by_one
from relay.store.outbox import operator_actions, retention
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.operator_actions import Order, Verdict
from relay.store.outbox.retention import Clearing
from relay.store.person import places
from relay.store.person.search import BATCH, Found, batches, rows_of
from relay.store.schema import (
    contents,
    message_metadata,
    messages,
    receipts,
    recipients,
    reply_addresses,
)
from relay.store.schema import suppressions as suppressions_table
from relay.store.suppressions import Word
from relay.store.words import index

# Documents may be megabytes each: so many are in memory at once.
DOCUMENTS = 20


class Erasure(NamedTuple):
    """An order to erase what was found about an address.

    cancel: whether what waits is cancelled first. fingerprint: names the address in the act.
    stand_in: names it where it must be known that it gets no mail.
    """

    mentions: Mentions
    found: Found
    by: By
    now: float
    fingerprint: str
    stand_in: str
    cancel: bool = False


class Erased(NamedTuple):
    """What was done: messages cleared, messages of others changed, other rows.

    left: the messages that are not over. verdicts: of what was to be cancelled.
    """

    cleared: int
    changed: int
    rows: int
    left: Sequence[str]
    verdicts: Sequence[Verdict]


@one_by_one
def erase(connection: Connection, order: Erasure) -> Erased:
    """Erase what was found about an address, and note who ordered it."""
    verdicts = _cancelled(connection, order) if order.cancel else []
    left = _open(connection, order)
    own = [one.id for one in order.found.own if one.id not in left]
    cleared = sum(
        sum(retention.clear(connection, [Clearing(ids, order.now)])) for ids in batches(own)
    )
    others = {one.id for one in order.found.others} - left
    counts = {table: _erased(connection, table, order, left) for table in places.COLUMNS}
    rows = sum(counts.values()) - counts[contents]
    # Of what was cleared, too: its reply addresses are gone only now.
    for ids in batches(sorted({*own, *others})):
        index.renew(connection, ids)
    index.hurry(connection)
    events = [NewEvent(id, order.now, "erased", f"by {order.by.who}") for id in own]
    words = f"by {order.by.who}: an address was taken out of it"
    events += [NewEvent(id, order.now, "erased", words) for id in sorted(others)]
    note(connection, events)
    counted = f"messages cleared: {cleared}, changed: {len(others)}; other rows: {rows}"
    done = [
        Act(order.now, order.by, "cancel", one.id, one.before, one.after)
        for one in verdicts
        if one.done
    ]
    acts.add(connection, [*done, Act(order.now, order.by, "erase", order.fingerprint, "", counted)])
    return Erased(cleared, len(others), rows, sorted(left), verdicts)


def _cancelled(connection: Connection, order: Erasure) -> list[Verdict]:
    """Cancel the person's own messages that wait."""
    waiting = [one.id for one in order.found.own if one.is_open]
    return [
        verdict
        for ids in batches(waiting)
        for [verdicts] in [
            operator_actions.cancel(connection, [Order(ids, order.now, who=order.by.who)])
        ]
        for verdict in verdicts
    ]


def _open(connection: Connection, order: Erasure) -> set[str]:
    """Return which of the messages that rows belong to are not over; nobody revives the others.

    Until this transaction ends, that is.
    """
    found = order.found
    ids = {row.message for rows in found.rows.values() for row in rows if row.message is not None}
    left: set[str] = set()
    for some in batches(sorted(ids)):
        query = select(messages.c.id, messages.c.state).where(messages.c.id.in_(some))
        rows = connection.execute(query.order_by(messages.c.id).with_for_update())
        left |= {row.id for row in rows if row.state in OPEN}
    return left


def _erased(connection: Connection, table: Table, order: Erasure, left: set[str]) -> int:
    """Erase the address from the rows of a table; count those that are changed."""
    if table in places.OWN:
        return 0
    keys = [
        row.key
        for row in order.found.rows.get(table.name, ())
        if not (row.message in left and table in places.OF_MESSAGES)
    ]
    count = 0
    for some in batches(keys, DOCUMENTS if table is contents else BATCH):
        which = rows_of(table, some)
        if table in (message_metadata, reply_addresses):
            count += connection.execute(delete(table).where(which)).rowcount
            continue
        rows = connection.execute(select(table).where(which)).mappings().all()
        count += sum(_changed(connection, table, row, order) for row in rows)
    return count


def _changed(connection: Connection, table: Table, row: RowMapping, order: Erasure) -> bool:
    """Take the address out of a row; return whether it was there."""
    key = tuple(row[column.name] for column in places.key(table))
    if table in (suppressions_table, recipients) and order.mentions.are_in(row["address"]):
        connection.execute(delete(table).where(rows_of(table, [key])))
        if table is suppressions_table:
            suppressions.note(connection, [_word_of_nobody(row, order)])
        return True
    values = _without(table, row, order.mentions)
    if not values:
        return False
    connection.execute(update(table).where(rows_of(table, [key])).values(**values))
    if "document" in values:
        size = update(messages).where(messages.c.id == row["id"])
        connection.execute(size.values(size=len(values["document"] or "")))
    return True


def _without(table: Table, row: RowMapping, mentions: Mentions) -> dict[str, str | None]:
    """Return what changes of a row where the address is taken out of it."""
    values = {name: places.without(mentions, row[name]) for name in places.COLUMNS[table]}
    if table is receipts:  # another address of the mailbox is counted by itself from here on
        address = "" if mentions.are_in(row["address"]) else row["address"]
        values = {"address": address, "mailbox": address.lower()}
    return {name: text for name, text in values.items() if text != row[name]}


def _word_of_nobody(row: RowMapping, order: Erasure) -> Word:
    """Return what is known of the address, as it is kept without it."""
    word = Word(**row)
    words = order.mentions.without(word.words)
    return word._replace(address=order.stand_in, message=None, words=words)
