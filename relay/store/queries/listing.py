"""Reading the outbox: for delivery, for commands, for the pages. Nothing here writes.

Lists are paged by key, newest first: a page starts below an id, never after a number of rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, TextClause, func, or_, select

from relay.core.message import Message
from relay.core.states import State
from relay.store.documents import load
from relay.store.schema import (
    IN_MAILBOX,
    IS_KEPT_BACK,
    IS_MAIL,
    IS_UNSENT,
    attempts,
    contents,
    events,
    messages,
)

# How many messages one search looks through before it gives the page it has.
SEARCH_SPAN = 20_000


T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Rows, newest first, and the id below which the next page starts; None at the end."""

    rows: Sequence[T]
    below: str | None


class MessageRow(NamedTuple):
    """A message's row; what its columns mean is said where the table is."""

    id: str
    server: str
    state: State
    created_at: float
    due_at: float
    since: float
    fence: int
    attempts: int
    tries: int
    kind: str
    size: int
    crashes: int
    looks: int
    absences: int
    maybe_twice: bool
    cleared_at: float | None
    key: str
    delivery: str | None
    provider_id: str | None
    words: str | None


class Contents(NamedTuple):
    """What a message says: its document, what of it is searched, and where it came from."""

    recipients: str
    subject: str
    document: str
    origin: str | None = None


class Attempt(NamedTuple):
    """An attempt to send a message, and what came of it."""

    number: int
    started_at: float
    ended_at: float
    delivery: str
    outcome: str
    words: str


class Event(NamedTuple):
    """What happened to a message besides its attempts, such as a warning when it was rendered."""

    at: float
    kind: str
    words: str


class StoredMessage(NamedTuple):
    """All that is stored of a message: also what happened to it, in order."""

    row: MessageRow
    content: Contents
    attempts: Sequence[Attempt]
    events: Sequence[Event]


class MailboxRow(NamedTuple):
    """A message that the embedded mailbox took, as it is listed."""

    id: str
    server: str
    recipients: str
    subject: str


def mailbox(
    connection: Connection, below: str | None, limit: int, words: str = ""
) -> Page[MailboxRow]:
    """List what the embedded mailbox took, or of that what has `words` in recipient or subject.

    What was cleared is not listed. A search looks through SEARCH_SPAN messages at most; its page
    may be short, even empty, and still have a next one.
    """
    listed = (
        select(messages.c.id, messages.c.server, contents.c.recipients, contents.c.subject)
        .join(contents, contents.c.id == messages.c.id)
        .where(IN_MAILBOX, IS_MAIL, messages.c.cleared_at.is_(None))
        .order_by(messages.c.id.desc())
    )
    if not words:
        return paged(connection, listed, MailboxRow, below, limit)
    end = _below(select(messages.c.id).where(IN_MAILBOX), below)
    end = end.order_by(messages.c.id.desc()).offset(SEARCH_SPAN).limit(1)
    oldest = connection.execute(end).scalar()
    if oldest is not None:
        listed = listed.where(messages.c.id >= oldest)
    matches = [
        column.icontains(words, autoescape=True)
        for column in (contents.c.recipients, contents.c.subject)
    ]
    page = paged(connection, listed.where(or_(*matches)), MailboxRow, below, limit)
    return page if page.below is not None else Page(page.rows, oldest)


def in_mailbox(connection: Connection, id: str) -> str | None:
    """Return the document of a message that the mailbox took, None for others and cleared ones."""
    query = (
        select(contents.c.document)
        .join(messages, messages.c.id == contents.c.id)
        .where(IN_MAILBOX, messages.c.id == id, messages.c.cleared_at.is_(None))
    )
    return connection.execute(query).scalar()


def screened(connection: Connection, below: str | None, limit: int) -> Page[MessageRow]:
    """List the submissions that were kept back as a robot's."""
    listed = rows_of(messages, MessageRow).where(IS_KEPT_BACK).order_by(messages.c.id.desc())
    return paged(connection, listed, MessageRow, below, limit)


def _below(query: Select[Any], below: str | None) -> Select[Any]:
    return query if below is None else query.where(messages.c.id < below)


def rows_of(table: Table, kind: type[tuple[Any, ...]]) -> Select[Any]:
    """Make the query for a table's rows as values of a kind, which has columns' names."""
    return select(*(table.c[name] for name in getattr(kind, "_fields", ())))


def paged(
    connection: Connection,
    query: Select[Any],
    make: Callable[..., T],
    below: str | None,
    limit: int,
) -> Page[T]:
    """Return a page of messages, as what `make` makes of them, that a query gives newest first."""
    rows = connection.execute(_below(query, below).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page([make(*row) for row in rows[:limit]], rows[limit - 1].id if more else None)


def documents(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the stored documents of messages, by id."""
    query = select(contents.c.id, contents.c.document).where(contents.c.id.in_(ids))
    return {row.id: row.document for row in connection.execute(query)}


def loaded(connection: Connection, ids: Sequence[str]) -> dict[str, Message | Exception]:
    """Read messages, by id, in the reader's thread: their documents are megabytes.

    One that cannot be read is the error instead.
    """
    stored = documents(connection, ids)
    found: dict[str, Message | Exception] = {}
    for id in ids:
        try:
            found[id] = load(id, stored[id])
        except (KeyError, TypeError, ValueError) as error:
            found[id] = error
    return found


def count_unsent(connection: Connection) -> dict[str, int]:
    """Count the messages that were not sent, by state: seldom, it reads them all."""
    query = (
        select(messages.c.state, func.count()).where(IS_UNSENT, IS_MAIL).group_by(messages.c.state)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def find(
    connection: Connection, id: str, *conditions: ColumnElement[bool] | TextClause
) -> StoredMessage | None:
    """Look a message (or a screened submission) up; None where it is none of these."""
    mine = rows_of(messages, MessageRow).where(messages.c.id == id, *conditions)
    row = connection.execute(mine).first()
    said = rows_of(contents, Contents).where(contents.c.id == id)
    content = connection.execute(said).first()
    if row is None or content is None:
        return None
    tried = rows_of(attempts, Attempt).where(attempts.c.message == id).order_by(attempts.c.number)
    noted = rows_of(events, Event).where(events.c.message == id)
    noted = noted.order_by(events.c.at, events.c.id)
    return StoredMessage(
        MessageRow(*row),
        Contents(*content),
        [Attempt(*one) for one in connection.execute(tried)],
        [Event(*one) for one in connection.execute(noted)],
    )


def history(found: StoredMessage) -> list[tuple[float, str]]:
    """Return what became of a message in words, oldest first, with times in epoch seconds."""
    row = found.row
    told = [(row.created_at, f"accepted with key {row.key}" if row.key else "accepted")]
    told += [(event.at, f"{event.kind}: {event.words}") for event in found.events]
    for attempt in found.attempts:
        seconds = attempt.ended_at - attempt.started_at
        words = f"{attempt.outcome} by {attempt.delivery} after {seconds:.2f} s"
        told.append((attempt.ended_at, f"{words}: {attempt.words}" if attempt.words else words))
    return sorted(told, key=lambda one: one[0])
