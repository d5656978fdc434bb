"""From messages that an application wrote itself to the outbox: all of a call in one commit."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from relay.core.errors import (
    BodyTooLarge,
    InvalidSubmission,
    RecipientsInactive,
    RelayError,
    TemplateNotFound,
    Unavailable,
)
from relay.core.message import Message
from relay.core.policy import check_addresses
from relay.core.secret import Secret
from relay.hooks.chain import Chain
from relay.intake.idempotency import Request
from relay.store import idempotency
from relay.store.engine.database import Store
from relay.store.outbox import enqueue, records
from relay.store.outbox.enqueue import NewMessage
from relay.store.suppression_list import Suppressions
from relay.templates.library import Library, Warnings

# The streams that every server has for sending, and the one that it has for receiving.
STREAMS = frozenset({"outbound", "broadcast"})
INBOUND = "inbound"

# A message whose document is longer than this is read again when it is its turn to be sent.
KEPT_CHARACTERS = 16 * 1024

# A short call can fill a large template many times. What it makes is held in memory until it is
# stored, so this is how many characters of parts and attachments one call may come to.
MAX_WEIGHT = 100 * 2**20

# More than this, in characters of parts and attachments, is written down in a thread.
WRITTEN_ON_LOOP = 16 * 1024

MessageOrError = Message | RelayError
Keep = Callable[[Sequence[Message]], None]


class Once(NamedTuple):
    """A request that is to be done once, and what makes its answer of the results."""

    request: Request
    answer: Callable[[Sequence[MessageOrError]], str]


class _Ready(NamedTuple):
    message: Message
    labels: tuple[str, ...]
    warnings: Warnings


class ApiMessages:
    """Stores messages for delivery, without any form's plugins.

    library: the stored templates. suppressions: who gets no mail. secret: what addresses in log
    lines are hashed with. metadata_key: the name under which a message carries its own id to the
    provider.
    """

    def __init__(
        self,
        store: Store,
        library: Library,
        suppressions: Suppressions,
        *,
        secret: Secret,
        metadata_key: str,
    ) -> None:
        self._store = store
        self._library = library
        self._suppressions = suppressions
        self._secret = secret
        self._metadata_key = metadata_key

    async def send(
        self,
        messages: Sequence[Message],
        chain: Chain,
        group: Chain,
        key: str,
        keep: Keep = lambda small: None,
        once: Once | None = None,
    ) -> list[MessageOrError]:
        """Store what may be sent, in one commit; return each message as stored, or its refusal.

        group: the chain whose templates and delivery are used. keep is called before the commit,
        with those that are small enough to stay in memory until their attempt. once: the request
        and its answer are stored in the same commit. Raise Unavailable or IdempotencyRunning, and
        then nothing was stored.
        """
        judged = await self._judged_all(messages, chain, group)
        ready = [one for one in judged if isinstance(one, _Ready)]
        results = [one.message if isinstance(one, _Ready) else one for one in judged]
        if ready:
            rows = await self._rows(ready, chain, key)
            keep([one.message for one, row in rows if len(row.document) <= KEPT_CHARACTERS])
            await self._add([row for _, row in rows], results, once)
            for one, row in rows:
                records.log_accepted(one.message, row, self._secret)
                chain.observe("accepted", message=one.message)
        return results

    async def _judged_all(
        self, messages: Sequence[Message], chain: Chain, group: Chain
    ) -> "list[_Ready | RelayError]":
        """Make messages ready, one after the other, until they are too much together."""
        judged: list[_Ready | RelayError] = []
        left = MAX_WEIGHT
        for message in messages:
            one = await self._judged(message, chain, group) if left >= 0 else BodyTooLarge()
            left -= weight(one.message) if isinstance(one, _Ready) else 0
            judged.append(one if left >= 0 else BodyTooLarge())
        return judged

    async def _judged(self, message: Message, chain: Chain, group: Chain) -> "_Ready | RelayError":
        """Make one message ready to be stored; what is wrong with it is its own outcome."""
        try:
            check_addresses(message, chain.server)
            check_stream(message.stream, group)
            reached, left_out = self._reached(message, group.server.name)
            rendered, warnings = await self._rendered(reached, group)
        except Unavailable:
            raise
        except RelayError as error:
            return error
        stored = records.identified(rendered, self._metadata_key)
        return _Ready(stored, tuple(message.metadata), (*warnings, *left_out))

    def _reached(self, message: Message, group: str) -> tuple[Message, Warnings]:
        """Take recipients who get no mail out of a message; raise RecipientsInactive if all do."""
        gone = self._suppressions.among(message.recipients, group, time.time())
        if not gone:
            return message, ()
        reached = message.without(gone)
        left_out = [one.email for one in message.recipients if one.email.lower() in gone]
        if not reached.recipients:
            raise RecipientsInactive("no mail goes to its recipients", recipients=left_out)
        return reached, (f"not sent to {', '.join(left_out)}: no mail goes there",)

    async def _rendered(self, message: Message, group: Chain) -> tuple[Message, Warnings]:
        if message.template is None:
            return message, ()
        try:
            return await self._library.rendered(message, group.server.name)
        except TemplateNotFound:
            if group.account is None:
                raise
            return message, ()  # the provider may have it

    async def _rows(
        self, ready: Sequence[_Ready], chain: Chain, key: str
    ) -> list[tuple[_Ready, NewMessage]]:
        # How much a model holds is not known, so messages with one are never written down here.
        plain = all(one.message.model is None for one in ready)
        small = plain and sum(weight(one.message) for one in ready) <= WRITTEN_ON_LOOP
        written = (
            _rows(ready, chain, key) if small else await asyncio.to_thread(_rows, ready, chain, key)
        )
        return list(zip(ready, written, strict=True))

    async def _add(
        self, rows: Sequence[NewMessage], results: Sequence[MessageOrError], once: Once | None
    ) -> None:
        if once is None:
            await self._store.write(enqueue.add_together, rows)
        else:
            entry = once.request.entry(rows, once.answer(results))
            await self._store.write(idempotency.add, entry)


def _rows(ready: Sequence[_Ready], chain: Chain, key: str) -> list[NewMessage]:
    return [
        records.record(one.message, chain.server, key, one.warnings, labels=one.labels)
        for one in ready
    ]


def check_stream(stream: str | None, group: Chain | None) -> None:
    """Refuse a stream that cannot send; raise InvalidSubmission.

    One that is not known here may be known to the provider, where the group has an account there.
    """
    name = (stream or "outbound").lower()
    if name == INBOUND:
        raise InvalidSubmission({"stream": ["receives only"]}, reason="stream_type")
    if name not in STREAMS and (group is None or group.account is None):
        raise InvalidSubmission({"stream": ["unknown"]}, reason="stream_unknown")


def weight(message: Message) -> int:
    """Count the characters of a message's parts and attachments."""
    files = sum(len(one.content) for one in message.attachments)
    return files + len(message.html or "") + len(message.text or "")
