"""Claims: which due messages are sent next, and which of them share a call.

Servers take turns, message by message, each with new and retried mail alternately. Nothing is
sorted and nothing is read that is not taken: both kinds stand in an index by server and time.
"""

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    CursorResult,
    Integer,
    Select,
    TextClause,
    bindparam,
    select,
    update,
)
from sqlalchemy.engine import Row

from relay.store.outbox import Claimed
from relay.store.schema import (
    IS_NEW,
    IS_POSTED,
    IS_RETRIED,
    IS_SUSPECT,
    SUSPECT_CRASHES,
    messages,
)

# The most messages that one claim takes.
MAX_CLAIM = 1000
# The most bytes of documents in one call: providers take 50 MB, and what we send is longer.
MAX_BYTES = 40 * 2**20


_NAMES = (
    *("id", "server", "fence", "since", "attempts", "tries", "kind", "size"),
    *("crashes", "maybe_twice"),
)
_COLUMNS = [messages.c[name] for name in _NAMES]


def _due(*conditions: TextClause) -> Select[Any]:
    return (
        select(*_COLUMNS)
        .where(*conditions, messages.c.server == bindparam("of"))
        .where(messages.c.due_at <= bindparam("now"), messages.c.crashes < SUSPECT_CRASHES)
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
    """Messages that go to a provider together; `size` in bytes of their documents.

    alone: there must be no other call beside it, because it may end the daemon.
    """

    lane: Lane
    messages: list[Claimed] = field(default_factory=list)
    size: int = 0
    alone: bool = False


class Claims(NamedTuple):
    """What was claimed, and the servers that have nothing more that is due."""

    calls: Sequence[Call]
    drained: frozenset[str]


def claim(connection: Connection, batch: Sequence[ClaimOrder]) -> list[Claims]:
    """Claim due messages as `sending`, until their leases end."""
    return [_claim(connection, order) for order in batch]


def _claim(connection: Connection, order: ClaimOrder) -> Claims:
    suspects = {"of": [*order.lanes.keys() - set(order.first_only)], "now": order.now}
    suspect = connection.execute(_SUSPECT, suspects).first()
    if suspect is not None:
        return _claim_alone(connection, order, suspect)
    queues = [_Queue(connection, server, order) for server in order.lanes]
    turns = deque(queues)
    planned = _Planned(order)
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
    _lease(connection, planned.calls, order.now)
    return Claims(planned.calls, frozenset(queue.server for queue in queues if queue.is_drained))


def _claim_alone(connection: Connection, order: ClaimOrder, suspect: Row[Any]) -> Claims:
    """Claim what three daemons died of as soon as nothing runs that would die with it."""
    if sum(order.running.values()):
        return Claims((), frozenset())
    call = Call(order.lanes[suspect.server][0], [_claimed(suspect)], suspect.size, alone=True)
    _lease(connection, [call], order.now)
    return Claims([call], frozenset())


def _claimed(row: Row[Any]) -> Claimed:
    fence = row.fence + 1
    return Claimed(row.id, row.server, fence, row.since, row.attempts, row.tries, row.crashes)


def _lease(connection: Connection, calls: Sequence[Call], now: float) -> None:
    ids: dict[tuple[float, str], list[str]] = {}
    for call in calls:
        leased = ids.setdefault((call.lane.lease, call.lane.plugin), [])
        leased.extend(claimed.id for claimed in call.messages)
    for (lease, plugin), leased in ids.items():
        connection.execute(_LEASE, {"ids": leased, "ends": now + lease, "plugin": plugin})


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

    def next(self) -> Row[Any] | None:
        """Give the next message; None at the end."""
        if self._results is None:
            self._results = self._opened()
            self._sources.extend(map(iter, self._results))
        while self._row is None and self._sources:
            self._row = next(self._sources[0], None)
            if self._row is None:
                self._sources.popleft()
        self.is_drained = self._row is None
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
        bound = {"of": self.server, "now": self._order.now, "most": MAX_CLAIM}
        return [self._connection.execute(query, bound) for query in queries]


class _Planned:
    """The calls of one claim as they fill up."""

    def __init__(self, order: ClaimOrder) -> None:
        self.calls: list[Call] = []
        self._count = 0
        self._order = order
        self._filling: dict[Hashable, Call] = {}
        self._of_outlet: Counter[Hashable] = Counter()
        self._of_server = Counter(order.running)

    @property
    def has_room(self) -> bool:
        """Tell whether any more message may fit."""
        return self._count < MAX_CLAIM and (
            len(self.calls) < self._order.calls
            or any(len(call.messages) < call.lane.max_batch for call in self._filling.values())
        )

    def take(self, row: Row[Any], *, alone: bool) -> bool:
        """Put a message into a call, if there is or may be one for it."""
        # What was sent again without certainty goes alone: the lost answer may have been its doing.
        solitary = row.maybe_twice
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
        call.messages.append(_claimed(row))
        call.size += row.size
        self._count += 1


def _fits(call: Call, row: Row[Any]) -> bool:
    return len(call.messages) < call.lane.max_batch and call.size + row.size <= MAX_BYTES
