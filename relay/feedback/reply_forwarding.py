"""Replies: answers that came in as mail to a reply address, passed on to the writer behind it.

The tag in the address is what lets an answer in: only who got the form's mail knows it. From can be
forged, so that a sender of the office is asked for besides, never instead. An answer goes to the
one writer whom its address stands for, and nowhere else.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from relay.core import reply_address as reply_addresses
from relay.core.addresses import ANY_DOMAIN, Address, listed, parse
from relay.core.message import Reply
from relay.core.secret import Secret
from relay.core.server import Server
from relay.core.states import State
from relay.feedback.forwarded_message import answer, not_written
from relay.hooks.chain import Chain
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.store import reply_addresses as replies
from relay.store.engine.database import Store
from relay.store.outbox.enqueue import NewMessage
from relay.store.reply_addresses import Passing, PassingResult, ReplyAddress

# What a person of an office may have written all the same: an operator is told of it.
_LOST = frozenset({"expired", "server", "domain", "stranger", "too_many"})

log = structlog.get_logger()


class _Dropped(Exception):
    """This answer is not passed on; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(eq=False, repr=False)
class ReplyForwarding:
    """Takes what came to reply addresses.

    secret: what their tags are made with. `counts` says what became of all answers since the start,
    by reason.
    """

    store: Store
    chains: Callable[[], Mapping[str, Chain]]
    outbox: Outbox
    secret: Secret
    counts: Counter[str] = field(default_factory=Counter, init=False)

    def told(self) -> list[str]:
        """Return what became of all answers since the start: `2 forged`, `7 passed_on`."""
        return [f"{count} {reason}" for reason, count in sorted(self.counts.items())]

    async def take(self, reply: Reply, server: Server, now: float) -> None:
        """Pass an answer on, once however often it comes, or drop it with a line in the log.

        One of which only the beginning can be passed on is held for a person.

        server: the one whose provider brought it; it must share the account of the one that the
        address was made for. Raise Unavailable, and then it is to come again.
        """
        try:
            chain, row = await self._route(reply, server, now)
            if (reason := not_written(reply.headers)) is not None:
                raise _Dropped(reason)
            office = _office(reply, chain.server)
            # Its HTML may be long, and its files longer.
            outgoing = await asyncio.to_thread(_outgoing, reply, row, office, chain)
            [message] = await self.outbox.put([outgoing], guard=_guard(reply, row, chain, now))
        except _Dropped as dropped:
            self.counts[dropped.reason] += 1
            log.info("reply.dropped", server=server.name, reason=dropped.reason)
            if dropped.reason in _LOST:
                self.chains()[server.name].note("unanswered", reason=dropped.reason)
            return
        about = {"id": message.id, "server": chain.server.name, "answers": row.message}
        if outgoing.held:
            self.counts[State.HELD] += 1
            log.warning("reply.held", **about)
        else:
            self.counts["passed_on"] += 1
            log.info("reply.passed_on", **about)

    async def _route(self, reply: Reply, server: Server, now: float) -> tuple[Chain, ReplyAddress]:
        """Find whom an address stands for, and the chain of its server; the tag is judged first."""
        read = reply_addresses.read(reply.address, self.secret)
        if read is None:
            raise _Dropped("forged")
        row = await self.store.read(replies.find, read.id, now)
        if row is None:
            raise _Dropped("expired")
        chain = self.chains().get(row.server)
        if chain is None or chain.server.group != server.group:
            raise _Dropped("server")
        inbox = chain.server.replies
        if inbox is None or inbox.email != read.inbox:
            raise _Dropped("domain")
        return chain, row


def _guard(
    reply: Reply, row: ReplyAddress, chain: Chain, now: float
) -> Guard[Passing, PassingResult]:
    """Store the message once, unless too many came; raise _Dropped where it is not."""

    def passing(rows: Sequence[NewMessage]) -> Passing:
        return Passing(chain.server.group, reply.identity, row.id, rows[0], now)

    async def committed(verdict: PassingResult) -> None:
        if verdict != "passed_on":
            raise _Dropped(verdict)

    return Guard(replies.pass_on, passing, lambda verdict, row: verdict == "passed_on", committed)


def _outgoing(reply: Reply, row: ReplyAddress, office: Address, chain: Chain) -> Outgoing:
    """Make the message that passes an answer on."""
    made = answer(reply, parse(row.writer, ANY_DOMAIN), office, chain.server)
    warnings = ["its HTML was too much, and is passed on as text"] if made.lacks_html else []
    if made.left_out:
        warnings.append(f"{made.left_out} of its files were left out")
    return Outgoing(made.message, chain, warnings=warnings, held=made.held)


def _office(reply: Reply, server: Server) -> Address:
    """Return the office's address that an answer came from; only the server's recipients answer."""
    try:
        office = parse(reply.message.sender.email, ANY_DOMAIN)
    except ValueError:
        raise _Dropped("stranger") from None
    stands_in = server.backup is not None and office.email.lower() == server.backup.email.lower()
    if not (stands_in or listed(office, server.recipients or ())):
        raise _Dropped("stranger")
    return office
