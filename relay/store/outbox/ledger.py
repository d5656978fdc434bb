"""The ledger: how many messages every server accepted on every day, counted as they are stored.

It is written in the commit that stores them, apart from their rows: what the rows say can be
compared with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from relay.core.times import utc
from relay.store.cluster.daemons import own_number
from relay.store.engine.expressions import upsert
from relay.store.schema import ledger


class LedgerEntry(NamedTuple):
    """A message that is stored: its server, when it came in, and whether it was screened."""

    server: str
    created_at: float
    screened: bool


def record(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    """Count messages as accepted, or as screened, on the day (UTC) on which they came in."""
    counts = Counter((one.server, day(one.created_at), one.screened) for one in entries)
    for (server, on, screened), count in sorted(counts.items()):
        _add(connection, server, on, {"screened" if screened else "accepted": count})


def release(connection: Connection, server: str, created_at: float, screened: bool) -> None:
    """Count what was kept back as released, now that it is counted once more as accepted.

    Where another daemon counted it, there is one less than none in the row of this one.
    """
    counted = {"screened": -1, "released": 1} if screened else {"accepted": -1}
    _add(connection, server, day(created_at), counted)


_COUNTS = ("accepted", "screened", "released")


def _add(connection: Connection, server: str, on: str, counted: Mapping[str, int]) -> None:
    """Add to the row in which this daemon counts."""
    place = {"server": server, "day": on, "daemon": own_number(connection)}
    statement = _adding(connection.dialect.name)
    connection.execute(statement, {**place, **dict.fromkeys(_COUNTS, 0), **counted})


@cache
def _adding(dialect: str) -> Any:
    """Write the statement, once: to write it takes longer than to run it."""
    statement = upsert(dialect, ledger)
    more = {name: ledger.c[name] + statement.excluded[name] for name in _COUNTS}
    return statement.on_conflict_do_update(index_elements=["server", "day", "daemon"], set_=more)


def day(seconds: float) -> str:
    """Name the day of a moment, in UTC: `2026-11-21`."""
    return utc(seconds).strftime("%Y-%m-%d")
