"""The one door to the outbox: a message gets its id, is stored in one commit, and is delivered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import structlog

from relay.core.ids import message_id
from relay.core.logs import fingerprint
from relay.core.message import Message
from relay.core.reply_address import ReplyRoute
from relay.core.secret import Secret
from relay.core.states import State
from relay.hooks.chain import Chain
from relay.intake.idempotency import Request
from relay.store import idempotency
from relay.store.engine.database import Store
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.references import NewReceipt
from relay.store.proofs import ProofUse
from relay.store.tokens import TokenUse

# Postmark's limit of metadata names for one message.
MAX_METADATA = 10

# A message whose document is longer than this is read again when it is its turn to be sent.
KEPT_CHARACTERS = 16 * 1024

# More than this, in characters of parts and attachments, is written down in a thread.
WRITTEN_ON_LOOP = 16 * 1024

Argument = TypeVar("Argument")
T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that is to be stored, the chain of its server, and what its row says besides.

    key: the id of the key that brought it. id: a new one where none is given. warnings: for its
    history. labels: names in its metadata by which it can be searched. token, proof: the session
    token that it spends and what its writer proved themselves with, where it is put alone.
    reply_route: the way of the answers to it. receipt: what its
    writer is to be told. held: why a person must decide about it before it is sent; "" where
    nobody needs to. origin: where it came from, as it is written down.
    canary: that it is Relay's own and counts nowhere.
    """

    message: Message
    chain: Chain
    key: str = ""
    id: str | None = None
    warnings: Sequence[str] = ()
    labels: Sequence[str] = ()
    token: TokenUse | None = None
    proof: ProofUse | None = None
    reply_route: ReplyRoute | None = None
    receipt: NewReceipt | None = None
    held: str = ""
    origin: str | None = None
    canary: bool = False


async def _nothing(result: object) -> None:
    """Do nothing after a commit."""


@dataclass(frozen=True, slots=True)
class Guard(Generic[Argument, T]):
    """A condition on which messages are stored, and what else is written in the same commit.

    operation: the store's, which stores the rows that it finds in its argument, or leaves them.
    argument: makes that argument of the rows. is_stored: whether a row was stored, by the result.
    committed: awaited with the result before anything is logged or delivered; may raise.
    """

    operation: Callable[[Any, Sequence[Argument]], Sequence[T | Exception]]
    argument: Callable[[Sequence[NewMessage]], Argument]
    is_stored: Callable[[T, NewMessage], bool] = lambda result, row: True
    committed: Callable[[T], Awaitable[None]] = _nothing


class Delivery(Protocol):
    """What the outbox lets delivery know."""

    def keep(self, message: Message, server: str) -> None:
        """Keep a message that is about to be stored for its first attempt."""

    def drop(self, ids: Iterable[str]) -> None:
        """Drop messages that were kept and are not stored, or not to be sent."""

    def stored(self, count: int, server: str) -> None:
        """Take note that so many messages of a server wait, and deliver them."""


@dataclass(eq=False, repr=False)
class Outbox:
    """Stores messages for delivery; nobody else does.

    secret: what addresses in log lines are hashed with. metadata_key: the name under which a
    message carries its own id to the provider.
    """

    store: Store
    delivery: Delivery
    secret: Secret
    metadata_key: str

    async def put(
        self,
        outgoing: Sequence[Outgoing],
        *,
        request: Request | None = None,
        answer: Callable[[Sequence[Message]], str | None] | None = None,
        guard: Guard[Argument, T] | None = None,
        before_commit: Callable[[Message], None] | None = None,
        is_own: bool = False,
    ) -> list[Message]:
        """Store messages in one commit and have them delivered; return those that were stored.

        request: what they answer, stored with them and with its answer, where that is known.
        before_commit is called with each message, so that nothing of its delivery is missed.
        is_own: whether it is mail of Relay's own, which is logged by who writes it.

        Raise TokenRefused, VerificationFailed, IdempotencyRunning or Unavailable, and then nothing
        was stored.
        """
        if len(outgoing) > 1 and any(one.token or one.proof for one in outgoing):
            raise ValueError("a session token or a proof is spent by one message")
        messages = [identified(one.message, self.metadata_key, one.id) for one in outgoing]
        rows = await _rows(messages, outgoing)
        if before_commit is not None:
            for message in messages:
                before_commit(message)
        self._keep(messages, rows)
        are_stored = [False] * len(rows)
        try:
            if guard is None:
                await self._write(rows, request, answer(messages) if answer else None)
                are_stored = [True] * len(rows)
            else:
                result = await self.store.write(guard.operation, guard.argument(rows))
                are_stored = [guard.is_stored(result, row) for row in rows]
                await guard.committed(result)
        finally:
            if not all(are_stored):
                ids = [
                    row.id for row, is_stored in zip(rows, are_stored, strict=True) if not is_stored
                ]
                self.delivery.drop(ids)
        stored = []
        to_send: dict[str, int] = {}
        for message, row, one, is_stored in zip(messages, rows, outgoing, are_stored, strict=True):
            if not is_stored:
                continue
            self._accepted(message, row, one.chain, is_own=is_own)
            stored.append(message)
            if row.state != State.HELD:
                to_send[row.server] = to_send.get(row.server, 0) + 1
        for server, count in to_send.items():
            self.delivery.stored(count, server)
        return stored

    async def put_screened(self, row: NewMessage, request: Request | None) -> None:
        """Store a robot's submission, which nobody will deliver; raise as `put` does."""
        await self._write([row], request, None)

    def submitted_metadata(self, message: Message) -> dict[str, str]:
        """Return the metadata of a stored message as it was submitted."""
        given = message.metadata.items()
        return {name: value for name, value in given if name != self.metadata_key}

    def _keep(self, messages: Sequence[Message], rows: Sequence[NewMessage]) -> None:
        """Keep small messages that are to be sent at once, so that nobody need read them."""
        for message, row in zip(messages, rows, strict=True):
            is_due = message.send_at is None and row.state != State.HELD
            if is_due and len(row.document) <= KEPT_CHARACTERS:
                self.delivery.keep(message, row.server)

    def _write(
        self, rows: Sequence[NewMessage], request: Request | None, answer: str | None
    ) -> Awaitable[None]:
        if request is not None:
            return self.store.write(idempotency.add, request.entry(rows, answer))
        if len(rows) == 1:
            return self.store.write(enqueue.add, rows[0])
        return self.store.write(enqueue.add_together, rows)

    def _accepted(self, message: Message, row: NewMessage, chain: Chain, *, is_own: bool) -> None:
        if not is_own:
            to = [f"{fingerprint(self.secret, one)}@{one.domain}" for one in message.recipients]
            log.info("message.accepted", id=row.id, server=row.server, key=row.key, to=to)
        if row.canary:
            return
        chain.observe("accepted", message=message)
        if row.state == State.HELD:
            chain.note(State.HELD, id=row.id, words=row.words)


def identified(message: Message, metadata_key: str, id: str | None = None) -> Message:
    """Set a message's id, which also travels as metadata, so that it can be looked up.

    It is a new one where none is given. Where the caller's own metadata leaves no room, it stays
    as it is.
    """
    id = id or message_id()
    labels = dict(message.metadata)
    if len(labels) < MAX_METADATA:
        labels[metadata_key] = id
    return replace(message, id=id, metadata=labels)


async def _rows(messages: Sequence[Message], outgoing: Sequence[Outgoing]) -> list[NewMessage]:
    size = 0
    for message in messages:
        # How much a model holds is not known, so messages with one are never written down here.
        size += weight(message) if message.model is None else WRITTEN_ON_LOOP + 1
    if size <= WRITTEN_ON_LOOP:
        return list(map(_row, messages, outgoing))
    return await asyncio.to_thread(lambda: list(map(_row, messages, outgoing)))


def _row(message: Message, one: Outgoing) -> NewMessage:
    return enqueue.new_message(
        message,
        one.chain.server,
        one.key,
        one.warnings,
        labels=one.labels,
        token=one.token,
        proof=one.proof,
        reply_route=one.reply_route,
        receipt=one.receipt,
        held=one.held,
        origin=one.origin,
        canary=one.canary,
    )


def weight(message: Message) -> int:
    """Count the characters of a message's parts and attachments."""
    files = sum([len(one.content) for one in message.attachments]) if message.attachments else 0
    return files + len(message.html or "") + len(message.text or "")
