"""The ledger: how many messages every server accepted on every day, counted as they are stored.

It is written in the commit that stores them, apart from their rows: what the rows say can be
compared with it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, insert, update

from relay.store.schema import ledger
from relay.times import utc


class Entry(NamedTuple):
    """A message that is stored: its server, when it came in, and whether it was screened."""

    server: str
    created_at: float
    screened: bool


def record(connection: Connection, entries: Iterable[Entry]) -> None:
    """Count messages as accepted, or as screened, on the day (UTC) on which they came in."""
    counts = Counter((one.server, day(one.created_at), one.screened) for one in entries)
    for (server, on, screened), count in counts.items():
        column = ledger.c.screened if screened else ledger.c.accepted
        mine = (ledger.c.server == server, ledger.c.day == on)
        changed = connection.execute(
            update(ledger).where(*mine).values({column.name: column + count})
        )
        if not changed.rowcount:
            values = {"accepted": 0, "screened": 0, column.name: count}
            connection.execute(insert(ledger).values(server=server, day=on, **values))


def day(seconds: float) -> str:
    """Name the day of a moment, in UTC: `2026-11-21`."""
    return utc(seconds).strftime("%Y-%m-%d")
