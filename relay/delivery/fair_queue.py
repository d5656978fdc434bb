"""Turns: whose mail is asked for next, and how much of what runs is whose."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping

from relay.delivery.lanes import Lanes
from relay.store.outbox.batching import Call, ClaimOrder, Claims

# How many servers one claim asks for each call it may make.
ASKED_PER_CALL, ASKED_AT_LEAST = 4, 16


class FairQueue:
    """The servers that may have due mail, in the order of their turns, and their running calls.

    A server is marked when mail of it was stored or became due; only what is marked is asked for.
    A call counts for the server whose message opened it.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._due: dict[str, int] = {}  # each with its last mark
        self._marks = itertools.count()
        self._retried_first: set[str] = set()
        self._calls: Counter[str] = Counter()
        self._alone = False  # a call runs beside which there must be no other

    def __bool__(self) -> bool:
        return bool(self._due)

    def mark(self, servers: Iterable[str]) -> None:
        """Take note that servers may have due mail."""
        for server in servers:
            self._due[server] = next(self._marks)

    def order(self, now: float, senders: int) -> ClaimOrder | None:
        """Choose whose mail to ask for; None if nothing may start now."""
        for server in self._due.keys() - self._lanes.servers:
            del self._due[server]  # it may not send any more
        free = senders - self._calls.total()
        if free <= 0 or self._alone:
            return None
        most = max(free * ASKED_PER_CALL, ASKED_AT_LEAST)
        able = ((server, at) for server in self._due if (at := self._lanes.at(server, now)))
        lanes = dict(itertools.islice(able, most))
        if not lanes:
            return None
        return ClaimOrder(
            now=now,
            calls=free,
            lanes=lanes,
            first_only=self._lanes.first_only,
            retried_first=frozenset(self._retried_first),
            running=dict(self._calls),
            share=max(senders // 2, 1),
            others=next(able, None) is not None,
        )

    def marks(self, order: ClaimOrder) -> dict[str, int]:
        """Return the marks of the servers that an order asks for, as they are now."""
        return {server: self._due[server] for server in order.lanes}

    def claimed(self, claims: Claims, marks: Mapping[str, int]) -> bool:
        """Take note whose turn it was, and who has nothing more; return whether there are such.

        marks: those from before the claim: who was marked since may have something again.
        """
        done = [server for server in claims.drained if self._due.get(server) == marks[server]]
        for server in done:
            del self._due[server]
        for call in claims.calls:
            for one in call.messages:
                if one.server in self._due:
                    self._due[one.server] = self._due.pop(one.server)
                change = self._retried_first.discard if one.tries else self._retried_first.add
                change(one.server)
        return bool(done)

    def started(self, call: Call) -> None:
        """Take note of a call that starts."""
        self._calls[call.messages[0].server] += 1
        self._alone = call.alone

    def ended(self, call: Call) -> None:
        """Take note that a call ended."""
        self._calls[call.messages[0].server] -= 1
        self._alone = False
