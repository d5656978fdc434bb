"""What of a message is looked for by words, as it is read, indexed and listed."""

import json
from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

from sqlalchemy import Connection, Select, case, func, or_, select

from relay.core.states import State
from relay.core.words import words
from relay.store import documents
from relay.store.engine.expressions import member
from relay.store.schema import BROKEN, contents, messages, receipts, reply_addresses


class FoundMessage(NamedTuple):
    """A message, or a submission that was kept back, as it is listed; "" where there is none.

    words: what the provider said last, or why it was kept back.
    """

    id: str
    created_at: float
    state: State
    server: str
    reference: str
    sender: str
    writer: str
    recipients: str
    subject: str
    words: str
    tag: str


class Said(NamedTuple):
    """The words of a message, by where they stand."""

    subject: list[str]
    recipients: list[str]
    senders: list[str]
    labels: list[str]


def said(one: FoundMessage) -> Said:
    """Return the words of a message."""
    return Said(
        words(one.subject),
        words(one.recipients),
        words(f"{one.sender} {one.writer}"),
        words(f"{one.server} {one.tag}"),
    )


def query() -> Select[tuple[object, ...]]:
    """Make the query for what is looked at.

    Of older messages, and of what was kept back, the writer stands in the document alone.
    """
    document = func.nullif(contents.c.document, documents.CLEARED)
    is_kept_back = or_(messages.c.state == State.SCREENED, messages.c.kind == BROKEN)
    written = case(
        (is_kept_back, member(document, "fields")),
        (messages.c.writer.is_(None), member(document, "reply_to")),
        else_=None,
    )
    route = select(reply_addresses.c.writer).where(reply_addresses.c.message == messages.c.id)
    names = ("id", "created_at", "state", "server", "writer", "words")
    columns = [messages.c[name] for name in names]
    columns += [contents.c[name] for name in ("recipients", "sender", "subject", "tag")]
    columns += [receipts.c.reference, receipts.c.address]
    return (
        select(*columns, written.label("written"), route.limit(1).scalar_subquery().label("route"))
        .join(contents, contents.c.id == messages.c.id)
        .outerjoin(receipts, receipts.c.message == messages.c.id)
    )


def rows(
    connection: Connection, query: Select[tuple[object, ...]]
) -> Generator[FoundMessage, None, None]:
    """Return the messages of a query, in its order."""
    with closing(connection.execute(query)) as result:
        for row in result:
            written = json.loads(row.written) if row.written else None
            subject, writer = row.subject, row.writer or row.address or row.route or ""
            if isinstance(written, dict):
                subject, writer = _field(written, "subject"), _field(written, "from_address")
            elif written:
                writer = " ".join(address for address, _ in written)
            yield FoundMessage(
                row.id,
                row.created_at,
                State(row.state),
                row.server,
                row.reference or "",
                row.sender,
                writer,
                row.recipients,
                subject,
                row.words or "",
                row.tag,
            )


def _field(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
