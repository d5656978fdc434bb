"""Looking for a server's messages: by time, by what they say, by how their caller labelled them.

No search reads all that the outbox holds. Ids sort by time, so that times become bounds of the
ids; within them the newest SEARCH_SPAN messages are looked through. A label that few messages
carry is found by its index, however old its messages are.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, Connection, func, select

from relay.core.logs import trace
from relay.core.message import Message
from relay.store import documents
from relay.store.engine.expressions import holds
from relay.store.queries import listing
from relay.store.queries.listing import StoredMessage
from relay.store.schema import (
    IS_MAIL,
    IS_MESSAGE,
    contents,
    message_metadata,
    messages,
)

# How many messages one search looks through, and how many may carry a label for its index to be
# used: a label that more have is looked for like everything else.
SEARCH_SPAN = 20_000

# What was cleared says nothing any more: it is not found.
_IS_WHOLE = messages.c.cleared_at.is_(None)

# The largest time that an id can hold, in milliseconds.
_LATEST = 2**48 - 1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for among the messages of one server; None is anything.

    since, before: epoch seconds. recipient, sender: a whole address in lower case. subject: a part
    of it, in any case of ASCII. streams: any of them, in any case. labels: names in lower case
    with their values, all of them.
    """

    server: str
    since: float | None = None
    before: float | None = None
    states: Collection[str] | None = None
    recipient: str | None = None
    sender: str | None = None
    tag: str | None = None
    subject: str | None = None
    streams: Collection[str] | None = None
    labels: Sequence[tuple[str, str]] = ()


class MessageSummary(NamedTuple):
    """A message that was found, without its parts, and what became of it so far."""

    message: Message
    subject: str
    state: str
    delivery: str | None
    created_at: float


class SearchPage(NamedTuple):
    """A page of what was found, newest first, and how many messages were found in all."""

    total: int
    page: Sequence[MessageSummary]


def find(connection: Connection, search: Search, offset: int, count: int) -> SearchPage:
    """Look for messages; `total` is exact within what is looked through."""
    ids = connection.execute(_matching(connection, search)).scalars().all()
    return SearchPage(len(ids), list(_listed(connection, ids[offset : offset + count])))


def one(connection: Connection, server: str, id: str) -> StoredMessage | None:
    """Return a message of a server; None for another's, one cleared, and a screened submission."""
    mine = (IS_MESSAGE, IS_MAIL, _IS_WHOLE, messages.c.server == server)
    return listing.find(connection, id, *mine)


def first_id(seconds: float) -> str:
    """Return what sorts below every id made at a time or later, and above every earlier one."""
    milliseconds = f"{round(min(max(seconds * 1000, 0), _LATEST)):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}"


def _matching(connection: Connection, search: Search) -> Any:
    """Make the query for the ids of all messages that match, newest first."""
    scope: list[Any] = [IS_MESSAGE, IS_MAIL, _IS_WHOLE, messages.c.server == search.server]
    labels = list(search.labels)
    rare = next((label for label in labels if _is_rare(connection, search, label)), None)
    if rare is None:
        scope.extend(_bounds(search, messages.c.id))
        scope.extend(_newest(connection, scope))
    else:
        # The bounds stand inside: beside it SQLite would rather read all that lies within them.
        labels.remove(rare)
        scope.append(messages.c.id.in_(_labelled(search, rare)))
    if search.states is not None:
        scope.append(messages.c.state.in_(search.states))
    query = select(messages.c.id).order_by(messages.c.id.desc())
    if said := list(_said(search)):
        query = query.join(contents, contents.c.id == messages.c.id)
    return query.where(*scope, *said, *map(_carries, labels))


def _bounds(search: Search, id: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
    if search.since is not None:
        yield id >= first_id(search.since)
    if search.before is not None:
        yield id < first_id(search.before)


def _newest(connection: Connection, scope: Sequence[Any]) -> Iterator[ColumnElement[bool]]:
    query = select(messages.c.id).where(*scope).order_by(messages.c.id.desc())
    oldest = connection.execute(query.offset(SEARCH_SPAN - 1).limit(1)).scalar()
    if oldest is not None:
        yield messages.c.id >= oldest


def _labelled(search: Search, label: tuple[str, str]) -> Any:
    name, value = label
    return select(message_metadata.c.message).where(
        message_metadata.c.name == name,
        message_metadata.c.value == value,
        *_bounds(search, message_metadata.c.message),
    )


def _is_rare(connection: Connection, search: Search, label: tuple[str, str]) -> bool:
    query = _labelled(search, label).order_by(message_metadata.c.message.desc())
    return connection.execute(query.offset(SEARCH_SPAN).limit(1)).first() is None


def _carries(label: tuple[str, str]) -> ColumnElement[bool]:
    name, value = label
    carried = select(message_metadata.c.value).where(
        message_metadata.c.message == messages.c.id, message_metadata.c.name == name
    )
    return carried.scalar_subquery() == value


def _said(search: Search) -> Iterator[ColumnElement[bool]]:
    """Return the conditions on what messages say."""
    if search.recipient is not None:
        listed = " " + contents.c.recipients + " "
        yield holds(listed, f" {search.recipient} ")
    if search.subject is not None:
        yield holds(func.lower(contents.c.subject), func.lower(search.subject))
    if search.sender is not None:
        yield contents.c.sender == search.sender
    if search.tag is not None:
        yield contents.c.tag == search.tag
    if search.streams is not None:
        streams = [stream.lower() for stream in search.streams]
        yield func.lower(contents.c.stream).in_(streams)


def _listed(connection: Connection, ids: Sequence[str]) -> Iterator[MessageSummary]:
    """Read messages one by one: a page of large ones does not fit into memory at once."""
    query = (
        select(messages, contents.c.subject, contents.c.document)
        .join(contents, contents.c.id == messages.c.id)
        .where(messages.c.id.in_(ids))
        .order_by(messages.c.id.desc())
    )
    for row in connection.execute(query):
        try:
            message = _without_parts(documents.load(row.id, row.document))
        except (KeyError, TypeError, ValueError) as error:
            log.error("message.unreadable", id=row.id, **trace(error))
            continue
        yield MessageSummary(message, row.subject, row.state, row.delivery, row.created_at)


def _without_parts(message: Message) -> Message:
    files = tuple(replace(one, content="") for one in message.attachments)
    return replace(message, text=None, html=None, model=None, attachments=files)
