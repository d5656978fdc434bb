"""Reading the outbox: for delivery, for commands, for the pages. Nothing here writes.

Lists are paged by key, newest first: a page starts below an id, never after a number of rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, or_, select
from sqlalchemy.engine import Row

from relay.store.schema import (
    IN_MAILBOX,
    IS_SCREENED,
    IS_UNSENT,
    attempts,
    contents,
    events,
    messages,
)

# How many messages one search looks through before it gives the page it has.
SEARCH_SPAN = 20_000


class Page(NamedTuple):
    """Rows, newest first, and the id below which the next page starts; None at the end."""

    rows: Sequence[Row[Any]]
    below: str | None


def mailbox(connection: Connection, below: str | None, limit: int, words: str = "") -> Page:
    """List what the embedded mailbox took, or of that what has `words` in recipient or subject.

    What was cleared is not listed. A search looks through SEARCH_SPAN messages at most; its page
    may be short, even empty, and still have a next one.
    """
    listed = (
        select(messages.c.id, messages.c.server, contents.c.recipients, contents.c.subject)
        .join(contents, contents.c.id == messages.c.id)
        .where(IN_MAILBOX, messages.c.cleared_at.is_(None))
        .order_by(messages.c.id.desc())
    )
    if not words:
        return paged(connection, listed, below, limit)
    end = _below(select(messages.c.id).where(IN_MAILBOX), below)
    end = end.order_by(messages.c.id.desc()).offset(SEARCH_SPAN).limit(1)
    oldest = connection.execute(end).scalar()
    if oldest is not None:
        listed = listed.where(messages.c.id >= oldest)
    matches = [
        column.icontains(words, autoescape=True)
        for column in (contents.c.recipients, contents.c.subject)
    ]
    page = paged(connection, listed.where(or_(*matches)), below, limit)
    return page if page.below is not None else Page(page.rows, oldest)


def in_mailbox(connection: Connection, id: str) -> str | None:
    """Return the document of a message that the mailbox took, None for others and cleared ones."""
    query = (
        select(contents.c.document)
        .join(messages, messages.c.id == contents.c.id)
        .where(IN_MAILBOX, messages.c.id == id, messages.c.cleared_at.is_(None))
    )
    return connection.execute(query).scalar()


def screened(connection: Connection, below: str | None, limit: int) -> Page:
    """List the submissions that were kept back as a robot's."""
    listed = select(messages).where(IS_SCREENED).order_by(messages.c.id.desc())
    return paged(connection, listed, below, limit)


def _below(query: Select[Any], below: str | None) -> Select[Any]:
    return query if below is None else query.where(messages.c.id < below)


def paged(connection: Connection, query: Select[Any], below: str | None, limit: int) -> Page:
    """Return a page of messages that a query gives newest first."""
    rows = connection.execute(_below(query, below).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(rows[:limit], rows[limit - 1].id if more else None)


def documents(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the stored documents of messages, by id."""
    query = select(contents.c.id, contents.c.document).where(contents.c.id.in_(ids))
    return {row.id: row.document for row in connection.execute(query)}


def count_unsent(connection: Connection) -> dict[str, int]:
    """Count the messages that were not sent, by state: at start only, it reads them all."""
    query = select(messages.c.state, func.count()).where(IS_UNSENT).group_by(messages.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


class Found(NamedTuple):
    """A message's row, its contents, and what happened to it: attempts and events, each in order.

    Events are what befell it besides the attempts, such as warnings when it was rendered.
    """

    row: Row[Any]
    content: Row[Any]
    attempts: Sequence[Row[Any]]
    events: Sequence[Row[Any]]


def find(connection: Connection, id: str) -> Found | None:
    """Look a message (or a screened submission) up."""
    row = connection.execute(select(messages).where(messages.c.id == id)).first()
    content = connection.execute(select(contents).where(contents.c.id == id)).first()
    if row is None or content is None:
        return None
    tried = select(attempts).where(attempts.c.message == id).order_by(attempts.c.number)
    befell = select(events).where(events.c.message == id).order_by(events.c.at, events.c.id)
    return Found(row, content, connection.execute(tried).all(), connection.execute(befell).all())


def history(found: Found) -> list[tuple[float, str]]:
    """Return what became of a message in words, oldest first, with times in epoch seconds."""
    row = found.row
    told = [(row.created_at, f"accepted with key {row.key}" if row.key else "accepted")]
    told += [(event.at, f"{event.kind}: {event.words}") for event in found.events]
    for attempt in found.attempts:
        seconds = attempt.ended_at - attempt.started_at
        words = f"{attempt.outcome} by {attempt.delivery} after {seconds:.2f} s"
        told.append((attempt.ended_at, f"{words}: {attempt.words}" if attempt.words else words))
    return sorted(told, key=lambda one: one[0])
