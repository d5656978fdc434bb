"""The messages of an attempt: from memory if they have just come in, else from the store."""

from collections.abc import Iterable, Mapping, Sequence

import structlog

from relay.core.errors import DeliveryDeferred, DeliveryError, MessageBroken
from relay.core.logs import trace
from relay.core.message import Message
from relay.delivery.outcomes import rest
from relay.store.engine.database import Store
from relay.store.outbox.outcomes import Claimed, settled_recipients
from relay.store.queries import listing

# Messages kept in memory between acceptance and their first attempt: as many as callers wait at
# once, few enough that large ones do not fill the memory.
MAX_FRESH = 500

log = structlog.get_logger()


class MessageCache:
    """Messages that are about to be stored, so that their first attempt need not read them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._messages: dict[str, Message] = {}

    def keep(self, message: Message) -> None:
        """Keep a message that is being stored."""
        if len(self._messages) < MAX_FRESH:
            self._messages[message.id] = message

    def drop(self, ids: Iterable[str]) -> None:
        """Forget messages that were kept."""
        for id in ids:
            self._messages.pop(id, None)

    async def find(self, claimed: Sequence[Claimed]) -> list[Message | DeliveryError]:
        """Return claimed messages, for those of their recipients who do not have them."""
        kept = {one.id: self._messages.pop(one.id, None) for one in claimed}
        stored: Mapping[str, Message | DeliveryError] = {}
        missing = [id for id, message in kept.items() if message is None]
        tried = [one.id for one in claimed if one.tries]
        if missing:
            try:
                stored = await self._stored(missing, tried)
            except Exception as error:  # noqa: BLE001 - the store: nothing was sent, try again
                log.error("messages.unread", count=len(missing), **trace(error))
                unread = DeliveryDeferred("the store could not be read", counted=False)
                stored = dict.fromkeys(missing, unread)
        return [kept[one.id] or stored[one.id] for one in claimed]

    async def _stored(
        self, ids: Sequence[str], tried: Sequence[str]
    ) -> dict[str, Message | DeliveryError]:
        """Read messages; `tried` are those of them that some recipients may have already."""
        found = await self._store.read(listing.loaded, ids)
        settled = await self._store.read(settled_recipients, tried) if tried else {}
        messages: dict[str, Message | DeliveryError] = {}
        for id, one in found.items():
            if isinstance(one, Message):
                messages[id] = rest(one, settled[id]) if id in settled else one
            else:
                log.error("message.unreadable", id=id, **trace(one))
                messages[id] = MessageBroken("the stored message cannot be read")
        return messages
