"""What an operator has to know of the outbox: what ended badly, what waits and since when.

What is shown of all times is read from what was counted as it happened, never from the messages.
"""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    TableValuedAlias,
    func,
    literal,
    select,
)

from relay.core.states import DOUBTFUL, UNDECIDED, UNSEEN, State
from relay.store.engine.expressions import items
from relay.store.outbox.ledger import MINUTE_SECONDS, day
from relay.store.outbox.operator_actions import is_dismissed
from relay.store.queries.search import first_id
from relay.store.schema import (
    IS_ACCEPTED,
    IS_ASIDE,
    IS_MAIL,
    IS_NEW,
    IS_RETRIED,
    IS_UNDECIDED,
    IS_UNSENT,
    daemons,
    events,
    ledger,
    messages,
    minutes,
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
    """Return the messages that came into a state in a time, oldest first.

    It reads all that was not sent: for a start, not for every minute.
    """
    times = (messages.c.due_at > since, messages.c.due_at <= until)
    return _troubles(connection, _ended(states).where(*times))


def unreported(
    connection: Connection, states: Collection[str], after: float, until: float
) -> list[Trouble]:
    """Return the messages that daemons brought into a state and reported no more, oldest first.

    Of those daemons that others found gone in a time. It reads as much as `ended`.
    """
    seen_until = func.coalesce(daemons.c.reported_at, daemons.c.started_at)
    query = (
        _ended(states)
        .join(daemons, daemons.c.id == messages.c.daemon)
        .where(daemons.c.ended_at > after, daemons.c.ended_at <= until)
        .where(messages.c.due_at > seen_until)
    )
    return _troubles(connection, query)


def _ended(states: Collection[str]) -> Select[Any]:
    query = select(messages.c.id, messages.c.server, messages.c.state, messages.c.words)
    wanted = (IS_UNSENT, IS_MAIL, messages.c.state.in_(states))
    return query.where(*wanted).order_by(messages.c.id)


def _troubles(connection: Connection, query: Select[Any]) -> list[Trouble]:
    return [
        Trouble(row.id, row.server, row.state, row.words or "") for row in connection.execute(query)
    ]


def oldest_waiting(
    connection: Connection, servers: Collection[str], now: float
) -> dict[str, float]:
    """Return, for each of these servers with mail that should be sent by now, since when it waits.

    Also mail in doubt. Nothing is read but the first of what is new, and what was tried before.
    """
    one = _each(servers)
    mine = messages.c.server == one.c.value
    new = select(messages.c.since).where(IS_NEW, IS_MAIL, mine, messages.c.due_at <= now)
    first = new.order_by(messages.c.due_at).limit(1)
    tried = select(func.min(messages.c.since)).where(IS_RETRIED, IS_MAIL, mine)
    query = select(one.c.value, first.scalar_subquery(), tried.scalar_subquery())
    found: dict[str, float] = {}
    for server, *sinces in connection.execute(query):
        if times := [since for since in sinces if since is not None]:
            found[server] = min(times)
    doubtful = select(messages.c.server, func.min(messages.c.since)).where(IS_UNDECIDED, IS_MAIL)
    for server, since in connection.execute(doubtful.group_by(messages.c.server)):
        if server in servers:
            found[server] = min(since, found.get(server, since))
    return found


def _each(servers: Collection[str]) -> TableValuedAlias:
    """Make a table of servers' names: what is asked of each is one statement."""
    return items(literal(json.dumps(list(servers)))).table_valued("value")


def last_accepted(connection: Connection, servers: Collection[str]) -> dict[str, float]:
    """Return when each of these servers took its last message, where it ever did."""
    found = {}
    for server in servers:
        accepted_there = (IS_ACCEPTED, IS_MAIL, messages.c.server == server)
        query = select(messages.c.created_at).where(*accepted_there)
        at = connection.execute(query.order_by(messages.c.id.desc()).limit(1)).scalar()
        if at is not None:
            found[server] = at
    return found


class Counts(NamedTuple):
    """How many messages of a server came in, were kept back, were sent, or were not, in a time."""

    accepted: int = 0
    screened: int = 0
    sent: int = 0
    failed: int = 0


def days(connection: Connection, since_day: str) -> dict[str, dict[str, Counts]]:
    """Return what was counted by server and day (UTC), `2026-11-21`, from a day on."""
    columns = ledger.c
    summed = (func.sum(columns[name]) for name in Counts._fields)
    query = select(columns.server, columns.day, *summed).where(columns.day >= since_day)
    found: dict[str, dict[str, Counts]] = {}
    for server, on, *counts in connection.execute(query.group_by(columns.server, columns.day)):
        found.setdefault(server, {})[on] = Counts(*counts)
    return found


def today(connection: Connection, now: float) -> dict[str, Counts]:
    """Return what was counted on the day (UTC) of a moment, by server."""
    on = day(now)
    return {server: counts[on] for server, counts in days(connection, on).items() if on in counts}


class Hour(NamedTuple):
    """What was counted in each minute of an hour, oldest first; `deferred` are attempts."""

    accepted: list[int]
    screened: list[int]
    sent: list[int]
    failed: list[int]
    deferred: list[int]


def last_hour(connection: Connection, now: float) -> dict[str, Hour]:
    """Return what was counted in the sixty minutes up to this one, by server where anything was."""
    first = int(now // MINUTE_SECONDS) - 59
    found: dict[str, Hour] = {}
    columns = [minutes.c[name] for name in ("server", "minute", *Hour._fields)]
    query = select(*columns).where(minutes.c.minute >= first, minutes.c.minute < first + 60)
    for server, minute, *counts in connection.execute(query):
        if server not in found:
            found[server] = Hour(*([0] * 60 for _ in Hour._fields))
        for column, count in zip(found[server], counts, strict=True):
            column[minute - first] += count
    return found


# So many are counted of anything: whoever reads of more has to know no more than that.
MOST_COUNTED = 10_000


def waiting(connection: Connection, servers: Collection[str]) -> dict[str, dict[str, int]]:
    """Count what waits, by server and state; MOST_COUNTED stands for that many and more."""
    found: dict[str, dict[str, int]] = {}
    for state in (State.SCHEDULED, State.IN_DOUBT, State.HELD):
        _count(connection, _aside(state), found)
    is_sending = messages.c.state == State.SENDING
    sending = select(messages.c.server, messages.c.state).where(IS_UNDECIDED, IS_MAIL, is_sending)
    _count(connection, sending.limit(MOST_COUNTED).subquery(), found)
    for server, count in _queued(connection, servers).items():
        # By their indexes alone, which do not know the scheduled ones.
        queued = count - found.get(server, {}).get(State.SCHEDULED, 0)
        if queued > 0:
            found.setdefault(server, {})[State.QUEUED] = min(queued, MOST_COUNTED)
    return found


def _queued(connection: Connection, servers: Collection[str]) -> Counter[str]:
    """Count what is queued or scheduled, by server."""
    found: Counter[str] = Counter()
    for condition in (IS_NEW, IS_RETRIED):
        waiting = select(messages.c.server).where(condition, IS_MAIL).limit(MOST_COUNTED)
        some = waiting.subquery()
        counts = select(some.c.server, func.count()).group_by(some.c.server)
        all_of = {row[0]: row[1] for row in connection.execute(counts)}
        if sum(all_of.values()) == MOST_COUNTED:  # more: so many of each server
            one = _each(servers)
            of_one = waiting.where(messages.c.server == one.c.value).correlate(one).subquery()
            count = select(func.count()).select_from(of_one).correlate(one).scalar_subquery()
            all_of |= {row[0]: row[1] for row in connection.execute(select(one.c.value, count))}
        found.update(all_of)
    return found


def undecided(connection: Connection) -> dict[str, dict[str, int]]:
    """Count what a person has to decide, by server and state.

    Looked at are the newest MOST_COUNTED of each state; of these, what nobody dismissed counts.
    """
    found: dict[str, dict[str, int]] = {}
    for state in (*DOUBTFUL, *UNSEEN):
        newest = _aside(state)
        _count(connection, newest, found, ~is_dismissed(newest.c))
    return found


def _aside(state: State) -> Subquery:
    """Make the query for the newest messages of a state that few are in, by its index alone."""
    columns = (messages.c.id, messages.c.state, messages.c.server)
    query = select(*columns).where(IS_ASIDE, IS_MAIL, messages.c.state == state)
    return query.order_by(messages.c.id.desc()).limit(MOST_COUNTED).subquery()


def _count(
    connection: Connection,
    rows: Subquery,
    found: dict[str, dict[str, int]],
    *conditions: ColumnElement[bool],
) -> None:
    query = select(rows.c.server, rows.c.state, func.count()).where(*conditions)
    for server, state, count in connection.execute(query.group_by(rows.c.server, rows.c.state)):
        found.setdefault(server, {})[state] = count


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


def last_event(connection: Connection, before: float) -> int:
    """Return the number of the latest event before a time, behind which `happened` goes on.

    Numbers are given before the commit: of several daemons one may commit a lower number later.
    """
    query = select(events.c.id).where(events.c.at <= before).order_by(events.c.id.desc()).limit(1)
    return connection.execute(query).scalar() or 0


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
    counted = query.where(IS_MAIL).add_columns(
        messages.c.server, func.count(), func.min(messages.c.since)
    )
    rows = connection.execute(counted.group_by(messages.c.server, what))
    return [Tally(row[1], row[0], row[2], row[3]) for row in rows]
