"""What a provider tells of messages after it took them: written down, and acted upon, once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from relay.addresses import Address
from relay.callback import ProviderEvent
from relay.chain import Chain
from relay.logs import fingerprint, trace
from relay.message import Receipt
from relay.secret import Secret
from relay.store import callbacks, documents, listing
from relay.store.callbacks import Taken, Told
from relay.store.database import Store
from relay.store.found import WAITING_STATES
from relay.suppressions import Suppressions
from relay.text import without_addresses

log = structlog.get_logger()


class Feedback:
    """Takes providers' events: settles doubts, suppresses addresses, keeps the history.

    queued: is told how many more messages wait for an attempt, or fewer (below 0). secret: what
    addresses in log lines are hashed with.
    """

    def __init__(
        self,
        store: Store,
        suppressions: Suppressions,
        queued: Callable[[int], None],
        *,
        secret: Secret,
    ) -> None:
        self._store = store
        self._suppressions = suppressions
        self._queued = queued
        self._secret = secret

    async def take(
        self,
        events: Sequence[ProviderEvent],
        chain: Chain,
        chains: Mapping[str, Chain],
        now: float,
    ) -> list[Taken]:
        """Take the events of one call, in one commit with all that follows of them.

        chain: the server that was called; an event counts for messages of its whole group.
        Raise Unavailable, and then nothing was taken.
        """
        group = chain.server.group
        servers = [name for name, other in chains.items() if other.server.group == group]
        clean = [
            replace(event, words=without_addresses(event.words))
            for event in events
            if event.kind != "other"
        ]
        if not clean:
            return []
        taken: list[Taken] = await self._store.write(
            callbacks.take, Told(group, servers, clean, now)
        )
        self._suppressions.learn(one.word for one in taken if one.word is not None)
        for one in taken:
            self._log(one, group)
            if one.settled:
                await self._settled(one, chains)
            if one.new and _came_back(one.event):
                chains.get(one.server, chain).observe("bounced", event=one.event)
        return taken

    async def _settled(self, taken: Taken, chains: Mapping[str, Chain]) -> None:
        """Tell everybody that a message in doubt is sent after all."""
        if taken.before in WAITING_STATES:
            self._queued(-1)
        found = await self._store.read(listing.documents, [taken.id])
        try:
            message = documents.load(taken.id, found.get(taken.id, ""))
        except (KeyError, TypeError, ValueError) as error:
            log.error("message.unreadable", id=taken.id, **trace(error))
            return
        receipt = Receipt(taken.event.provider_id, words="the provider told so")
        chains[taken.server].observe("sent", message=message, receipt=receipt)

    def _log(self, taken: Taken, group: str) -> None:
        event = taken.event
        known = {"kind": event.kind, "group": group, "permanent": event.permanent}
        if not taken.new:
            log.info("event.repeated", **known)
            return
        if event.recipient:
            address = Address(event.recipient)
            known["to"] = f"{fingerprint(self._secret, address)}@{address.domain}"
        if not taken.id:
            log.info("event.unmatched", **known)
            return
        write = log.info if event.kind == "delivered" else log.warning
        write("event.taken", id=taken.id, server=taken.server, **known)
        if taken.settled:
            log.info("message.found", id=taken.id, server=taken.server, before=taken.before)


def _came_back(event: ProviderEvent) -> bool:
    return event.kind == "complained" or (event.kind == "bounced" and event.permanent)
