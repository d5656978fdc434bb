"""The ledger: what every server accepted, sent and failed to send, counted as it happens.

It is written in the commit in which that happens, apart from the messages' rows: what those say can
be compared with it, and nobody has to count them. What fails and is sent after all, because a
person ordered it, is counted as both: both happened, each on its day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, delete

from relay.core.states import State
from relay.core.times import utc
from relay.store.cluster.daemons import own_number
from relay.store.engine.expressions import upsert
from relay.store.engine.statements import Written, written
from relay.store.engine.writer import one_by_one
from relay.store.schema import ledger, minutes

MINUTE_SECONDS = 60
# For how long minutes are kept: charts show the last hour.
KEPT_SECONDS = 3 * 3600

# The columns that count something.
Columns = tuple[str, ...]
# What counts a message that comes into a state, an attempt that leaves it in one, and a message (or
# a submission that is kept back) that is stored in one.
BECAME: Mapping[State, Columns] = {
    **dict.fromkeys(State, ()),
    State.SENT: ("sent",),
    **dict.fromkeys(
        (State.FAILED, State.EXPIRED, State.QUARANTINED, State.SUPPRESSED), ("failed",)
    ),
}
ATTEMPTED: Mapping[State, Columns] = {**BECAME, State.QUEUED: ("deferred",)}
STORED: Mapping[State, Columns] = {
    **{state: ("accepted", *BECAME[state]) for state in State},
    State.SCREENED: ("screened",),
}


def record(
    connection: Connection, happened: Iterable[tuple[str, float, Columns]], number: int = 1
) -> None:
    """Count what happened: to a message of a server, at a time, and in which columns it counts.

    It is counted on its day (UTC) and in its minute, in the rows of this daemon.
    """
    counted: defaultdict[tuple[str, float, Columns], int] = defaultdict(int)
    for server, at, columns in happened:
        counted[server, at // MINUTE_SECONDS, columns] += number
    by_day: dict[tuple[str, Any], defaultdict[str, int]] = {}
    by_minute: dict[tuple[str, Any], defaultdict[str, int]] = {}
    for (server, minute, columns), count in counted.items():
        for counts in (
            by_day.setdefault((server, day(minute * MINUTE_SECONDS)), defaultdict(int)),
            by_minute.setdefault((server, int(minute)), defaultdict(int)),
        ):
            for name in columns:
                counts[name] += count
    _add(connection, ledger, by_day)
    _add(connection, minutes, by_minute)


def release(connection: Connection, server: str, created_at: float, screened: bool) -> None:
    """Count what was kept back as released, now that it is counted once more as accepted.

    Where another daemon counted it, there is one less than none in the row of this one.
    """
    if screened:
        record(connection, [(server, created_at, ("screened",))], -1)
        record(connection, [(server, created_at, ("released",))])
    else:
        record(connection, [(server, created_at, ("accepted",))], -1)


def _add(
    connection: Connection, table: Table, counted: Mapping[tuple[str, Any], defaultdict[str, int]]
) -> None:
    """Add to rows, each a server's and a time's, with one statement."""
    adding, names = _adding(connection.dialect.name, table)
    daemon = own_number(connection)
    rows = [
        (server, when, daemon, *[counts[name] for name in names])
        for (server, when), counts in sorted(counted.items())
        if any(map(counts.get, names))
    ]
    if rows:
        adding.run(connection, *rows)


@cache
def _adding(engine: str, table: Table) -> tuple[Written, list[str]]:
    """Write the statement: its rows have the server, the time, the daemon, then what is counted.

    Beside it, the names of that.
    """
    keys = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns if column.name not in keys]
    statement = upsert(engine, table)
    more = {name: table.c[name] + statement.excluded[name] for name in names}
    adding = statement.on_conflict_do_update(index_elements=keys, set_=more)
    return written(engine, adding, [*keys, *names]), names


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Forget minutes that no chart shows any more; count their rows."""
    last = int((now - KEPT_SECONDS) // MINUTE_SECONDS)
    return connection.execute(delete(minutes).where(minutes.c.minute < last)).rowcount


def day(seconds: float) -> str:
    """Name the day of a moment, in UTC: `2026-11-21`."""
    return utc(seconds).strftime("%Y-%m-%d")
