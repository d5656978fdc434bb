"""Calls to providers: which messages may share one, and how many there may be at once."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy.engine import Row

from relay.store.outbox.outcomes import Claimed

# The most messages that one claim takes.
MAX_CLAIM = 1000
# The most bytes of documents in one call: providers take 50 MB, and what we send is longer.
MAX_BYTES = 40 * 2**20


class Lane(NamedTuple):
    """A way out: messages of the same group and outlet can share a call, if of one kind.

    group: whose chain delivers. outlet: what `calls` counts for, how many of them may start.
    lease: seconds after which a claim ends by itself.
    """

    group: str
    plugin: str
    outlet: str
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

    alone: there must be no other call beside it, because it may end the daemon. daemon: the number
    under which they are claimed.
    """

    lane: Lane
    messages: list[Claimed] = field(default_factory=list)
    size: int = 0
    alone: bool = False
    daemon: int = 0


class Claims(NamedTuple):
    """What was claimed, and the servers that have nothing more that is due."""

    calls: Sequence[Call]
    drained: frozenset[str]


def claimed(row: Row[Any]) -> Claimed:
    """Return a due message as it is once it is claimed."""
    fence = row.fence + 1
    return Claimed(
        *(row.id, row.server, fence, row.since, row.attempts, row.tries),
        row.crashes,
        row.canary,
    )


class Plan:
    """The calls of one claim as they fill up."""

    def __init__(self, order: ClaimOrder) -> None:
        self.calls: list[Call] = []
        self._count = 0
        self._order = order
        self._filling: dict[Hashable, Call] = {}
        self._of_outlet: Counter[str] = Counter()
        self._of_server = Counter(order.running)

    @property
    def has_room(self) -> bool:
        """Whether any more message may fit."""
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
            if (
                call is None
                or len(call.messages) >= lane.max_batch
                or call.size + row.size > MAX_BYTES
            ):
                if not self._may_open(lane, row.server, alone):
                    continue
                call = self._open(lane, row.server)
                if not solitary:
                    self._filling[key] = call
            call.messages.append(claimed(row))
            call.size += row.size
            self._count += 1
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
