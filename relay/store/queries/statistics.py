"""What an operator has to know of the outbox: what ended badly, what waits and since when."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from relay.core.states import UNDECIDED, State
from relay.store.cluster import daemons
from relay.store.queries.search import first_id
from relay.store.schema import (
    IS_ACCEPTED,
    IS_NEW,
    IS_RETRIED,
    IS_UNDECIDED,
    IS_UNSENT,
    events,
    messages,
)


class Trouble(NamedTuple):
    """A message that ended in a state, or is left to a person, since it came to that."""

    id: str
    server: str
    state: str
    words: str


def ended(
    connection: Connection, states: Collection[str], since: float, until: float
) -> list[Trouble]:
    """Return the messages that a daemon that is gone brought into a state in a time, oldest first.

    It reads all that was not sent: for a start, not for every minute.
    """
    query = (
        select(messages.c.id, messages.c.server, messages.c.state, messages.c.words)
        .where(IS_UNSENT, messages.c.state.in_(states))
        .where(messages.c.due_at > since, messages.c.due_at <= until)
        .where(messages.c.daemon.not_in(daemons.living()))
        .order_by(messages.c.id)
    )
    return [Trouble(*row[:3], row[3] or "") for row in connection.execute(query)]


def oldest_waiting(
    connection: Connection, servers: Collection[str], now: float
) -> dict[str, float]:
    """Return, for each of these servers with mail that should be sent by now, since when it waits.

    Also mail in doubt. Nothing is read but the first of what is new, and what was tried before.
    """
    found: dict[str, float] = {}
    for server in servers:
        mine = messages.c.server == server
        new = select(messages.c.since).where(IS_NEW, mine, messages.c.due_at <= now)
        since = connection.execute(new.order_by(messages.c.due_at).limit(1)).scalar()
        tried = connection.execute(select(func.min(messages.c.since)).where(IS_RETRIED, mine))
        times = [one for one in (since, tried.scalar()) if one is not None]
        if times:
            found[server] = min(times)
    doubtful = select(messages.c.server, func.min(messages.c.since)).where(IS_UNDECIDED)
    for server, since in connection.execute(doubtful.group_by(messages.c.server)):
        if server in servers:
            found[server] = min(since, found.get(server, since))
    return found


def last_accepted(connection: Connection, servers: Collection[str]) -> dict[str, float]:
    """Return when each of these servers took its last message, where it ever did."""
    found = {}
    for server in servers:
        query = select(messages.c.created_at).where(IS_ACCEPTED, messages.c.server == server)
        at = connection.execute(query.order_by(messages.c.id.desc()).limit(1)).scalar()
        if at is not None:
            found[server] = at
    return found


class Tally(NamedTuple):
    """So many messages of a server: a state or an event, and since when the oldest of them."""

    server: str
    what: str
    number: int
    oldest: float


def accepted(connection: Connection, since: float) -> list[Tally]:
    """Count what came in since a time, by server and by the state that it is in by now."""
    return _tallied(connection, select(messages.c.state).where(messages.c.id >= first_id(since)))


def unsent(connection: Connection, since: float) -> list[Tally]:
    """Count what is not sent, by server and state; what is over, only where it ended since."""
    is_open = messages.c.state.in_((State.QUEUED, *UNDECIDED, State.HELD))
    query = select(messages.c.state).where(IS_UNSENT, is_open | (messages.c.due_at > since))
    return _tallied(connection, query)


def last_event(connection: Connection) -> int:
    """Return the number of the latest event, behind which `happened` goes on."""
    return connection.execute(select(func.max(events.c.id))).scalar() or 0


def happened(connection: Connection, kinds: Collection[str], after: int, upto: int) -> list[Tally]:
    """Count events of these kinds between two numbers of events, by server."""
    query = (
        select(events.c.kind)
        .join(messages, messages.c.id == events.c.message)
        .where(events.c.id > after, events.c.id <= upto, events.c.kind.in_(kinds))
    )
    return _tallied(connection, query)


def _tallied(connection: Connection, query: Select[Any]) -> list[Tally]:
    """Count what a query of states or kinds gives, by server."""
    [what] = query.selected_columns
    counted = query.add_columns(messages.c.server, func.count(), func.min(messages.c.since))
    rows = connection.execute(counted.group_by(messages.c.server, what))
    return [Tally(row[1], row[0], row[2], row[3]) for row in rows]
