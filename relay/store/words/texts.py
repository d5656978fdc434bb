"""What of a message is looked for by words, as it is read, indexed and listed."""

import json
from collections.abc import Generator, Mapping
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, case, func, or_, select

from relay.core.states import State
from relay.core.words import words
from relay.store import documents
from relay.store.engine.expressions import member
from relay.store.schema import BROKEN, contents, messages, receipts, reply_addresses

# How many rows are read in one go.
READ = 50


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


def query() -> Select[Any]:
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


def find(connection: Connection, id: str) -> FoundMessage | None:
    """Return a message as it is listed, whether lists have it or not; None where there is none."""
    return next(rows(connection, query().where(messages.c.id == id)), None)


def rows(
    connection: Connection, query: Select[Any], bound: Mapping[str, Any] | None = None
) -> Generator[FoundMessage, None, None]:
    """Return the messages of a query, in its order; bound: what it is bound to."""
    with closing(connection.execute(query, bound)) as result:
        # By position: by name they take twice as long, and a search reads thousands.
        for row in chain.from_iterable(result.partitions(READ)):
            id, at, state, server, writer, words_, recipients, sender, subject, tag = row[:10]
            reference, address, written, route = row[10:]
            writer = writer or address or route or ""
            if written:
                said_there = json.loads(written)
                if isinstance(said_there, dict):
                    subject = _field(said_there, "subject")
                    writer = _field(said_there, "from_address")
                else:
                    writer = " ".join(address for address, _ in said_there)
            labels = (recipients, subject, words_ or "", tag)
            yield FoundMessage(
                id, at, State(state), server, reference or "", sender, writer, *labels
            )


def _field(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
