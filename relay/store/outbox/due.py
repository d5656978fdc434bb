"""When mail is due: the next of every server, and what a wrong clock put off too far."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, TextClause, func, select, update

from relay.store.engine.writer import one_by_one
from relay.store.schema import IS_NEW, IS_POSTED, IS_RETRIED, messages


class PullBack(NamedTuple):
    """A server whose mail is not to wait longer than `limit` seconds from `now`."""

    server: str
    now: float
    limit: float


@one_by_one
def pull_back(connection: Connection, order: PullBack) -> int:
    """Bring back what a clock that ran ahead put off too far; count it.

    A first attempt is due now, a retry at the limit. What was scheduled waits for its time.
    """
    count = 0
    for condition, due_at in ((IS_NEW, order.now), (IS_RETRIED, order.now + order.limit)):
        later = (condition, IS_POSTED, messages.c.server == order.server)
        statement = update(messages).where(*later, messages.c.due_at > due_at)
        count += connection.execute(statement.values(due_at=due_at)).rowcount
    return count


def next_due(
    connection: Connection, servers: Collection[str], first_only: Collection[str] = ()
) -> dict[str, float]:
    """Return, for each of these servers that has mail queued, the time at which the next is due.

    Of those in `first_only`, only what was neither tried before nor scheduled.
    """
    dues = {}
    for server in servers:
        conditions = [[IS_NEW, IS_POSTED]] if server in first_only else [[IS_NEW], [IS_RETRIED]]
        found = [_first_due(connection, server, one) for one in conditions]
        times = [due for due in found if due is not None]
        if times:
            dues[server] = min(times)
    return dues


def _first_due(
    connection: Connection, server: str, conditions: Sequence[TextClause]
) -> float | None:
    query = select(func.min(messages.c.due_at)).where(*conditions, messages.c.server == server)
    due: float | None = connection.execute(query).scalar()
    return due
