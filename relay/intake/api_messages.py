"""From messages that an application wrote itself to the outbox: all of a call in one commit."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from relay.core import clock
from relay.core.errors import (
    BodyTooLarge,
    InvalidSubmission,
    RecipientsInactive,
    RelayError,
    TemplateIncomplete,
    TemplateNotFound,
    Unavailable,
)
from relay.core.message import Message
from relay.core.policy import check_addresses
from relay.hooks.chain import Chain
from relay.intake.idempotency import Request
from relay.intake.outbox import Outbox, Outgoing, weight
from relay.store.suppressions import Suppressions
from relay.templates.library import Library, Warnings

MODEL_REQUIRED = "A 'TemplateModel' is required when using a template to send an email."
# The streams that every server has for sending, and the one that it has for receiving.
STREAMS = frozenset({"outbound", "broadcast"})
INBOUND = "inbound"

# A short call can fill a large template many times. What it makes is held in memory until it is
# stored, so this is how many characters of parts and attachments one call may come to.
MAX_WEIGHT = 100 * 2**20

MessageOrError = Message | RelayError


class Once(NamedTuple):
    """A request that is to be done once, and what makes its answer of the results."""

    request: Request
    answer: Callable[[Sequence[MessageOrError]], str]


class ApiMessages:
    """Stores messages for delivery, without any form's plugins.

    library: the stored templates. suppressions: who gets no mail.
    """

    def __init__(self, library: Library, suppressions: Suppressions, outbox: Outbox) -> None:
        self._library = library
        self._suppressions = suppressions
        self._outbox = outbox

    async def send(
        self,
        messages: Sequence[Message],
        chain: Chain,
        group: Chain,
        key: str,
        once: Once | None = None,
    ) -> list[MessageOrError]:
        """Store what may be sent, in one commit; return each message as stored, or its refusal.

        group: the chain whose templates and delivery are used. once: the request and its answer
        are stored in the same commit. Raise Unavailable or IdempotencyRunning, and then nothing
        was stored.
        """
        judged = await self._judged_all(messages, chain, group, key)
        outgoing = [one for one in judged if isinstance(one, Outgoing)]

        def results(stored: Sequence[Message]) -> list[MessageOrError]:
            each = iter(stored)
            return [next(each) if isinstance(one, Outgoing) else one for one in judged]

        def answer(stored: Sequence[Message]) -> str | None:
            return None if once is None else once.answer(results(stored))

        if not outgoing:
            return results(())
        request = None if once is None else once.request
        return results(await self._outbox.put(outgoing, request=request, answer=answer))

    async def _judged_all(
        self, messages: Sequence[Message], chain: Chain, group: Chain, key: str
    ) -> list[Outgoing | RelayError]:
        """Make messages ready, one after the other, until they are too much together."""
        judged: list[Outgoing | RelayError] = []
        left = MAX_WEIGHT
        for message in messages:
            one = await self._judged(message, chain, group, key) if left >= 0 else BodyTooLarge()
            left -= weight(one.message) if isinstance(one, Outgoing) else 0
            judged.append(one if left >= 0 else BodyTooLarge())
        return judged

    async def _judged(
        self, message: Message, chain: Chain, group: Chain, key: str
    ) -> Outgoing | RelayError:
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
        labels = tuple(message.metadata)
        return Outgoing(rendered, chain, key, warnings=(*warnings, *left_out), labels=labels)

    def _reached(self, message: Message, group: str) -> tuple[Message, Warnings]:
        """Take recipients who get no mail out of a message; raise RecipientsInactive if all do."""
        gone = self._suppressions.among(message.recipients, group, clock.now())
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
            if message.model is None:
                await self._library.find(group.server.name, message.template)
                raise TemplateIncomplete(MODEL_REQUIRED)
            return await self._library.rendered(message, group.server.name)
        except TemplateNotFound:
            if group.account is None:
                raise
            if message.model is None:
                raise TemplateIncomplete(MODEL_REQUIRED) from None
            return message, ()  # the provider may have it


def check_stream(stream: str | None, group: Chain | None) -> None:
    """Refuse a stream that cannot send; raise InvalidSubmission.

    One that is not known here may be known to the provider, where the group has an account there.
    """
    name = (stream or "outbound").lower()
    if name == INBOUND:
        raise InvalidSubmission({"stream": ["receives only"]}, reason="stream_type")
    if name not in STREAMS and (group is None or group.account is None):
        raise InvalidSubmission({"stream": ["unknown"]}, reason="stream_unknown")
