"""The ledger: how many messages every server accepted on every day, counted as they are stored.

It is written in the commit that stores them, apart from their rows: what the rows say can be
compared with it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, update

from relay.core.times import utc
from relay.store.schema import ledger


class LedgerEntry(NamedTuple):
    """A message that is stored: its server, when it came in, and whether it was screened."""

    server: str
    created_at: float
    screened: bool


def record(connection: Connection, entries: Iterable[LedgerEntry]) -> None:
    """Count messages as accepted, or as screened, on the day (UTC) on which they came in."""
    counts = Counter((one.server, day(one.created_at), one.screened) for one in entries)
    for (server, on, screened), count in counts.items():
        counted = {"accepted": 0, "screened": 0, "screened" if screened else "accepted": count}
        more = {f"more_{name}": number for name, number in counted.items()}
        if not connection.execute(_COUNT, {"of": server, "on": on, **more}).rowcount:
            connection.execute(insert(ledger), {"server": server, "day": on, **counted})


def release(connection: Connection, server: str, created_at: float) -> None:
    """Count a screened submission as released, besides as accepted: it is screened no more."""
    counted = {"screened": ledger.c.screened - 1, "released": ledger.c.released + 1}
    mine = (ledger.c.server == server, ledger.c.day == day(created_at))
    connection.execute(update(ledger).where(*mine).values(counted))


_COUNT = (
    update(ledger)
    .where(ledger.c.server == bindparam("of"), ledger.c.day == bindparam("on"))
    .values({name: ledger.c[name] + bindparam(f"more_{name}") for name in ("accepted", "screened")})
)


def day(seconds: float) -> str:
    """Name the day of a moment, in UTC: `2026-11-21`."""
    return utc(seconds).strftime("%Y-%m-%d")
