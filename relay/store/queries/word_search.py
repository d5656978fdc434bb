"""Looking for messages of any state by words: a writer, a recipient, a subject, a day.

One search looks through the newest SPAN messages, or those of the days that are named, and says
where the next one goes on. A reference, or an id, is found however old its message is.
"""

import json
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, case, or_, select

from relay.core.ids import as_reference
from relay.core.states import State
from relay.core.times import utc
from relay.store import documents
from relay.store.engine.expressions import member
from relay.store.outbox import references
from relay.store.queries.listing import Page
from relay.store.queries.search import first_id
from relay.store.schema import BROKEN, contents, messages, receipts, reply_addresses

# How many messages one search looks through.
SPAN = 50_000

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class FoundMessage(NamedTuple):
    """A message, or a screened submission, as it is listed; "" where there is none."""

    id: str
    created_at: float
    state: State
    server: str
    reference: str
    writer: str
    subject: str


class Wanted(NamedTuple):
    """What is looked for: words, all of them, and the time between two days, if any is named."""

    words: Sequence[str]
    since: float | None = None
    before: float | None = None


def wanted(words: Sequence[str], now: float) -> Wanted:
    """Read what a person looks for: `2026-11-28`, `today` and `yesterday` are days, in UTC."""
    days = {word: day for word in words if (day := _day(word, now)) is not None}
    others = [word.casefold() for word in words if word not in days]
    if not days:
        return Wanted(others)
    last = max(days.values()) + timedelta(days=1)
    return Wanted(others, min(days.values()).timestamp(), last.timestamp())


def find(connection: Connection, what: Wanted, below: str | None, limit: int) -> Page[FoundMessage]:
    """Find messages, newest first, below an id; a page may be short and still have a next one."""
    scope, oldest = _scope(connection, what, below)
    found: list[FoundMessage] = []
    # A reference may be written in any grouping.
    words = [(word, (as_reference(word) or word).casefold()) for word in what.words]
    # Closed when a page is full: a server's cursor is not to stay open.
    with closing(_rows(connection, _query().where(*scope))) as rows:
        for one, said in rows:
            if all(word in said or reference in said for word, reference in words):
                if len(found) == limit:
                    return Page(found, found[-1].id)
                found.append(one)
    return Page(found, oldest)


def _day(word: str, now: float) -> datetime | None:
    today = utc(now).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if _DAY.fullmatch(word):
        try:
            return datetime.fromisoformat(word).replace(tzinfo=UTC)
        except ValueError:
            return None
    return named.get(word.casefold())


def _scope(
    connection: Connection, what: Wanted, below: str | None
) -> tuple[list[ColumnElement[bool]], str | None]:
    """Return which messages are looked through, and the id below which it would go on, if any."""
    for word in what.words:
        named = as_reference(word)
        id = references.find(connection, named) if named else None
        if id or _ID.fullmatch(word):
            return [messages.c.id == (id or word)], None
    scope = [] if below is None else [messages.c.id < below]
    if what.since is not None and what.before is not None:
        scope += [messages.c.id >= first_id(what.since), messages.c.id < first_id(what.before)]
    ids = select(messages.c.id).where(*scope).order_by(messages.c.id.desc())
    oldest = connection.execute(ids.offset(SPAN).limit(1)).scalar()
    last = connection.execute(ids.offset(SPAN - 1).limit(1)).scalar() if oldest else None
    return [*scope, *([messages.c.id >= last] if last else [])], last


def _query() -> Select[tuple[object, ...]]:
    """Make the query for what is looked at, newest first.

    Of older messages, and of what was kept back, the writer stands in the document alone.
    """
    document, is_broken = contents.c.document, messages.c.kind == BROKEN
    is_kept_back = or_(messages.c.state == State.SCREENED, is_broken)
    written = case(
        (document == documents.CLEARED, ""),
        (is_kept_back, member(document, "fields")),
        (messages.c.writer.is_(None), member(document, "reply_to")),
        else_="",
    )
    route = select(reply_addresses.c.writer).where(reply_addresses.c.message == messages.c.id)
    columns = [messages.c[name] for name in ("id", "created_at", "state", "server", "writer")]
    columns += [contents.c.recipients, contents.c.sender, contents.c.subject]
    columns += [receipts.c.reference, receipts.c.address]
    return (
        select(*columns, written.label("written"), route.limit(1).scalar_subquery().label("route"))
        .join(contents, contents.c.id == messages.c.id)
        .outerjoin(receipts, receipts.c.message == messages.c.id)
        .order_by(messages.c.id.desc())
    )


def _rows(
    connection: Connection, query: Select[tuple[object, ...]]
) -> Generator[tuple[FoundMessage, str]]:
    """Return each message with all that is said of it, in lower case."""
    result = connection.execute(query, execution_options={"yield_per": 1000})
    with closing(result):
        for row in result:
            written = json.loads(row.written) if row.written else None
            subject, writer = row.subject, row.writer or row.address or row.route or ""
            if isinstance(written, dict):
                subject, writer = _field(written, "subject"), _field(written, "from_address")
            elif written:
                writer = " ".join(address for address, _ in written)
            one = FoundMessage(
                row.id, row.created_at, row.state, row.server, row.reference or "", writer, subject
            )
            said = [*one[3:], row.id, row.recipients, row.sender, row.route or ""]
            if isinstance(written, dict):
                said.append(json.dumps(written, ensure_ascii=False))
            yield one, "\n".join(said).casefold()


def _field(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
