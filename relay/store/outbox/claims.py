"""Claims: which due messages are sent next, and which of them share a call.

Servers take turns, message by message, each with new and retried mail alternately. Nothing is
sorted and nothing is read that is not taken: both kinds stand in an index by server and time.
What a wrong clock put off too far is pulled back.

Of several daemons, the one that accepted a message goes first, so that it can say what became of
it; some seconds later it is anybody's. What another one claims at this moment is passed over.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Float,
    Integer,
    Select,
    TextClause,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row

from relay.core.states import WAITING, State
from relay.store.cluster.daemons import own_number
from relay.store.engine.writer import one_by_one
from relay.store.outbox import batching
from relay.store.outbox.batching import Call, ClaimOrder, Claims, Plan
from relay.store.outbox.transitions import Change, change
from relay.store.schema import (
    IS_NEW,
    IS_POSTED,
    IS_RETRIED,
    IS_SUSPECT,
    SUSPECT_CRASHES,
    messages,
)

_NAMES = (
    *("id", "server", "fence", "since", "attempts", "tries", "kind", "size"),
    *("crashes", "maybe_twice", "canary"),
)


_COLUMNS = [messages.c[name] for name in _NAMES]

# How many rows are read in one go.
READ = 50
# For how long a message that is due is left to the daemon that accepted it. Of those that none
# accepted, and on a database of its own, the number is 0.
OWNED_SECONDS = 5.0


def _is_own() -> ColumnElement[bool]:
    return messages.c.daemon.in_((0, bindparam("daemon")))


def _due(*conditions: TextClause) -> Select[Any]:
    now = bindparam("now", type_=Float)
    return (
        select(*_COLUMNS)
        .where(*conditions, messages.c.server == bindparam("of"))
        .where(messages.c.due_at <= now, messages.c.crashes < SUSPECT_CRASHES)
        .where(or_(_is_own(), messages.c.due_at <= now - OWNED_SECONDS))
        .order_by(messages.c.due_at)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
    )


# Written once: to write a statement takes longer than to run it.
_NEW, _RETRIED, _POSTED = _due(IS_NEW), _due(IS_RETRIED), _due(IS_NEW, IS_POSTED)


_SUSPECT = (
    select(*_COLUMNS)
    .where(IS_SUSPECT, messages.c.server.in_(bindparam("of", expanding=True)))
    .where(messages.c.due_at <= bindparam("now"))
    .order_by(messages.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)


@one_by_one
def claim(connection: Connection, order: ClaimOrder) -> Claims:
    """Claim due messages as `sending`, until their leases end."""
    suspects = {"of": [*order.lanes.keys() - set(order.first_only)], "now": order.now}
    suspect = connection.execute(_SUSPECT, suspects).first()
    if suspect is not None:
        return _claim_alone(connection, order, suspect)
    queues = [_Queue(connection, server, order) for server in order.lanes]
    turns = deque(queues)
    planned = Plan(order)
    while turns and planned.has_room:
        queue = turns.popleft()
        row = queue.next()
        if row is None:
            continue
        if planned.take(row, alone=not turns and not order.others):
            queue.advance()
            turns.append(queue)  # else it has no way out in this claim
    for queue in queues:
        queue.close()
    calls = _leased(connection, planned.calls, order.now)
    return Claims(calls, frozenset(queue.server for queue in queues if queue.is_drained))


def _claim_alone(connection: Connection, order: ClaimOrder, suspect: Row[Any]) -> Claims:
    """Claim what three daemons died of as soon as nothing runs that would die with it."""
    if sum(order.running.values()):
        return Claims((), frozenset())
    call = Call(
        order.lanes[suspect.server][0], [batching.claimed(suspect)], suspect.size, alone=True
    )
    return Claims(_leased(connection, [call], order.now), frozenset())


def _leased(connection: Connection, calls: Sequence[Call], now: float) -> Sequence[Call]:
    """Begin the leases of all messages; return the calls with those that were still free."""
    alike: dict[tuple[float, str, int], list[str]] = {}
    for call in calls:
        lease, plugin = call.lane.lease, call.lane.plugin
        for one in call.messages:
            alike.setdefault((lease, plugin, one.fence), []).append(one.id)
    begun: set[str] = set()
    daemon = own_number(connection)
    for call in calls:
        call.daemon = daemon
    for (lease, plugin, fence), ids in alike.items():
        # Whoever finds it `sending` after a crash knows which provider to ask.
        values = {"fence": fence, "due_at": now + lease, "delivery": plugin, "daemon": daemon}
        lease_begins = Change(WAITING, State.SENDING, values, {"fence": fence - 1})
        begun |= change(connection, ids, lease_begins)
    if len(begun) == sum(map(len, alike.values())):
        return calls
    for call in calls:
        call.messages = [one for one in call.messages if one.id in begun]
    return [call for call in calls if call.messages]


class _Queue:
    """A server's due mail, new and retried alternately, read as it is taken."""

    def __init__(self, connection: Connection, server: str, order: ClaimOrder) -> None:
        self.server = server
        self.is_drained = False
        self._connection = connection
        self._order = order
        self._results: list[CursorResult[Any]] | None = None
        self._sources: deque[Iterator[Row[Any]]] = deque()
        self._row: Row[Any] | None = None
        self._left = 0

    def next(self) -> Row[Any] | None:
        """Return the next message; None at the end."""
        if self._results is None:
            self._results = self._opened()
            self._sources.extend(chain.from_iterable(one.partitions(READ)) for one in self._results)
        while self._row is None and self._sources:
            self._row = next(self._sources[0], None)
            if self._row is None:
                self._sources.popleft()
            else:
                self._left -= 1
        self.is_drained = self._row is None and self._left > 0
        return self._row

    def advance(self) -> None:
        """Go on behind the message that `next` gave."""
        self._row = None
        self._sources.rotate(-1)

    def close(self) -> None:
        for result in self._results or ():
            result.close()

    def _opened(self) -> list[CursorResult[Any]]:
        queries = [_NEW, _RETRIED]
        if self.server in self._order.first_only:
            queries = [_POSTED]
        elif self.server in self._order.retried_first:
            queries.reverse()
        most = self._left = _most(self._order, self.server)
        bound = {
            "of": self.server,
            "now": self._order.now,
            "most": most,
            "daemon": own_number(self._connection),
        }
        return [self._connection.execute(query, bound) for query in queries]


def _most(order: ClaimOrder, server: str) -> int:
    """Return how many messages of a server a claim may take: others are left to other daemons."""
    lanes = order.lanes[server]
    return min(batching.MAX_CLAIM, order.calls * max(lane.max_batch for lane in lanes))


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
    mine = messages.c.server == server
    query = select(func.min(messages.c.due_at)).where(*conditions, mine)
    first: float | None = connection.execute(query).scalar()
    daemon = own_number(connection)
    if first is None or not daemon:
        return first
    # It may be another daemon's; one of its own may follow before that is anybody's.
    due = case((_is_own(), messages.c.due_at), else_=messages.c.due_at + OWNED_SECONDS)
    next_ones = (
        select(due.label("due"))
        .where(*conditions, mine, messages.c.due_at < first + OWNED_SECONDS)
        .order_by(messages.c.due_at)
        .limit(batching.MAX_CLAIM)
        .subquery()
    )
    return connection.execute(select(func.min(next_ones.c.due)), {"daemon": daemon}).scalar()
