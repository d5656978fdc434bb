"""Claims: which due messages are sent next, and which of them share a call.

Servers take turns, message by message, each with new and retried mail alternately. Nothing is
sorted and nothing is read that is not taken: both kinds stand in an index by server and time.
"""

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, TextClause, bindparam, select, update
from sqlalchemy.engine import Row

from relay.store.outbox import Claimed
from relay.store.schema import IS_NEW, IS_POSTED, IS_RETRIED, messages

# The most messages that one claim takes.
MAX_CLAIM = 1000
# The most bytes of documents in one call: providers take 50 MB, and what we send is longer.
MAX_BYTES = 40 * 2**20
# A message that so many daemons died of is sent by itself.
SOLITARY_CRASHES = 3


def _due(*conditions: TextClause) -> Select[Any]:
    columns = ["id", "server", "fence", "since", "attempts", "tries", "kind", "size"]
    columns += ["crashes", "maybe_twice"]
    return (
        select(*(messages.c[name] for name in columns))
        .where(*conditions, messages.c.server == bindparam("of"))
        .where(messages.c.due_at <= bindparam("now"))
        .order_by(messages.c.due_at)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
    )


# Written once: to write a statement takes longer than to run it.
_NEW, _RETRIED, _POSTED = _due(IS_NEW), _due(IS_RETRIED), _due(IS_NEW, IS_POSTED)
_LEASE = (
    update(messages)
    .where(messages.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        state="sending",
        fence=messages.c.fence + 1,
        due_at=bindparam("ends"),
        # Whoever finds it `sending` after a crash knows which provider to ask.
        delivery=bindparam("plugin"),
    )
)


class Lane(NamedTuple):
    """A way out: messages of the same group and outlet can share a call, if of one kind.

    group: whose chain delivers. outlet: what `calls` counts for, how many of them may start.
    lease: seconds after which a claim ends by itself.
    """

    group: str
    plugin: str
    outlet: Hashable
    max_batch: int
    calls: int
    lease: float


class ClaimOrder(NamedTuple):
    """What to claim: for so many calls, of these servers, each through the first lane it can.

    lanes: by server, in the order of their turns. first_only: servers of which nothing is claimed
    that was tried before or was scheduled. retried_first: servers whose turn begins with a retry.
    running: calls of each server that have not ended. share: how many calls a server may have
    while another one has due mail. others: whether servers that are not asked may have some.
    """

    now: float
    calls: int
    lanes: Mapping[str, Sequence[Lane]]
    first_only: Collection[str] = ()
    retried_first: Collection[str] = ()
    running: Mapping[str, int] = {}
    share: int = MAX_CLAIM
    others: bool = False


@dataclass(slots=True)
class Call:
    """Messages that go to a provider together; `size` in bytes of their documents."""

    lane: Lane
    messages: list[Claimed] = field(default_factory=list)
    size: int = 0


class Claims(NamedTuple):
    """What was claimed, and the servers that have nothing more that is due."""

    calls: Sequence[Call]
    drained: frozenset[str]


def claim(connection: Connection, batch: Sequence[ClaimOrder]) -> list[Claims]:
    """Claim due messages as `sending`, until their leases end."""
    return [_claim(connection, order) for order in batch]


def _claim(connection: Connection, order: ClaimOrder) -> Claims:
    queues = [_Queue(connection, server, order) for server in order.lanes]
    turns = deque((queue, queue.row) for queue in queues if queue.row is not None)
    planned = _Planned(order)
    while turns and planned.count < MAX_CLAIM:
        queue, row = turns.popleft()
        if not planned.take(row, alone=not turns and not order.others):
            continue  # it has no way out in this claim
        queue.advance()
        if queue.row is not None:
            turns.append((queue, queue.row))
    for queue in queues:
        queue.close()
    _lease(connection, planned.calls, order.now)
    return Claims(planned.calls, frozenset(one.server for one in queues if one.row is None))


def _lease(connection: Connection, calls: Sequence[Call], now: float) -> None:
    ids: dict[tuple[float, str], list[str]] = {}
    for call in calls:
        leased = ids.setdefault((call.lane.lease, call.lane.plugin), [])
        leased.extend(claimed.id for claimed in call.messages)
    for (lease, plugin), leased in ids.items():
        connection.execute(_LEASE, {"ids": leased, "ends": now + lease, "plugin": plugin})


class _Queue:
    """A server's due mail, new and retried alternately; `row` is the next one, None at the end."""

    def __init__(self, connection: Connection, server: str, order: ClaimOrder) -> None:
        self.server = server
        queries = [_NEW, _RETRIED]
        if server in order.first_only:
            queries = [_POSTED]
        elif server in order.retried_first:
            queries.reverse()
        # One more than is taken, to tell whether there are more.
        bound = {"of": server, "now": order.now, "most": MAX_CLAIM + 1}
        self._results = [connection.execute(query, bound) for query in queries]
        self._sources: deque[Iterator[Row[Any]]] = deque(map(iter, self._results))
        self.row: Row[Any] | None = None
        self.advance()

    def advance(self) -> None:
        self.row = None
        while self._sources and self.row is None:
            self.row = next(self._sources[0], None)
            if self.row is None:
                self._sources.popleft()
        self._sources.rotate(-1)

    def close(self) -> None:
        for result in self._results:
            result.close()


class _Planned:
    """The calls of one claim as they fill up."""

    def __init__(self, order: ClaimOrder) -> None:
        self.calls: list[Call] = []
        self.count = 0
        self._order = order
        self._filling: dict[Hashable, Call] = {}
        self._of_outlet: Counter[Hashable] = Counter()
        self._of_server = Counter(order.running)

    def take(self, row: Row[Any], *, alone: bool) -> bool:
        """Put a message into a call, if there is or may be one for it."""
        # So is what was sent again without certainty: whatever lost its answer may have been it.
        solitary = row.crashes >= SOLITARY_CRASHES or row.maybe_twice
        for lane in self._order.lanes[row.server]:
            key = (lane.group, lane.outlet, row.kind)
            call = None if solitary else self._filling.get(key)
            if call is None or not _fits(call, row):
                if not self._may_open(lane, row.server, alone):
                    continue
                call = self._open(lane, row.server)
                if not solitary:
                    self._filling[key] = call
            self._put(call, row)
            return True
        return False

    def _may_open(self, lane: Lane, server: str, alone: bool) -> bool:
        return (
            len(self.calls) < self._order.calls
            and self._of_outlet[lane.outlet] < lane.calls
            and (alone or self._of_server[server] < self._order.share)
        )

    def _open(self, lane: Lane, server: str) -> Call:
        call = Call(lane)
        self.calls.append(call)
        self._of_outlet[lane.outlet] += 1
        self._of_server[server] += 1
        return call

    def _put(self, call: Call, row: Row[Any]) -> None:
        claimed = Claimed(
            row.id, row.server, row.fence + 1, row.since, row.attempts, row.tries, row.crashes
        )
        call.messages.append(claimed)
        call.size += row.size
        self.count += 1


def _fits(call: Call, row: Row[Any]) -> bool:
    return len(call.messages) < call.lane.max_batch and call.size + row.size <= MAX_BYTES
