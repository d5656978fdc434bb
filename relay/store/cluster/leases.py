"""Leases: what one daemon does for all, for a term that it renews while it lives.

The database's clock decides when a term ends. Its holder stops by its own clock before that.
"""

from sqlalchemy import Connection, case, delete, select

from relay.store.engine.expressions import clock_time, upsert
from relay.store.schema import leases

LEADER = "leader"

# How long a term is; its holder counts on less.
TERM_SECONDS = 15.0
GRACE_SECONDS = 5.0


def take(connection: Connection, name: str, daemon: int) -> bool:
    """Take or renew a lease for a term; return whether a daemon has it now."""
    now = clock_time()
    statement = upsert(connection, leases).values(
        name=name, daemon=daemon, since=now, until=now + TERM_SECONDS
    )
    is_own = leases.c.daemon == daemon
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "daemon": daemon,
            "since": case((is_own, leases.c.since), else_=now),
            "until": now + TERM_SECONDS,
        },
        where=is_own | (leases.c.until < now),
    ).returning(leases.c.daemon)
    return connection.execute(statement).first() is not None


def give_up(connection: Connection, daemon: int) -> None:
    """Leave whatever a daemon held to the others."""
    connection.execute(delete(leases).where(leases.c.daemon == daemon))


def holder(connection: Connection, name: str, *, lock: bool = False) -> int | None:
    """Return the number of the daemon that has a lease now; None if nobody has.

    lock: nobody else takes it before this transaction ends.
    """
    query = select(leases.c.daemon).where(leases.c.name == name, leases.c.until >= clock_time())
    if lock:
        query = query.with_for_update()
    found: int | None = connection.execute(query).scalar()
    return found
