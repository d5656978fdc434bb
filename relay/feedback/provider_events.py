"""What a provider tells of messages after it took them: written down, and acted upon, once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import structlog

from relay.core.addresses import Address
from relay.core.events import ProviderEvent
from relay.core.logs import fingerprint, trace
from relay.core.message import Confirmation, Message
from relay.core.policy import offices
from relay.core.secret import Secret
from relay.core.text import without_addresses
from relay.hooks.chain import Chain
from relay.store import callbacks, documents
from relay.store.callbacks import Taken, Told
from relay.store.engine.database import Store
from relay.store.outbox import records, returned
from relay.store.outbox.found import WAITING_STATES
from relay.store.outbox.returned import Returned, SecondSending
from relay.store.queries import listing
from relay.store.suppression_list import Suppressions

log = structlog.get_logger()


class _Second(NamedTuple):
    message: Message
    sending: SecondSending


class ProviderEvents:
    """Takes providers' events: settles doubts, suppresses addresses, keeps the history.

    queued: is told how many more messages wait for an attempt, or fewer (below 0). secret: what
    addresses in log lines are hashed with. metadata_key: the name under which a message carries its
    own id to the provider.
    """

    def __init__(
        self,
        store: Store,
        suppressions: Suppressions,
        queued: Callable[[int], None],
        *,
        secret: Secret,
        metadata_key: str,
    ) -> None:
        self._store = store
        self._suppressions = suppressions
        self._queued = queued
        self._secret = secret
        self._metadata_key = metadata_key

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
        seconds = await self._seconds(clean, servers, chains)
        sendings = {identity: one.sending for identity, one in seconds.items()}
        taken: list[Taken] = await self._store.write(
            callbacks.take, Told(group, servers, clean, now, sendings)
        )
        self._suppressions.learn(one.word for one in taken if one.word is not None)
        for one in taken:
            self._log(one, group)
            if one.settled:
                await self._settled(one, chains)
            if one.new and _came_back(one.event):
                chains.get(one.server, chain).observe("bounced", event=one.event)
            if one.again:
                self._sent_again(one, seconds[one.event.identity], chains[one.server])
        return taken

    async def _seconds(
        self, events: Sequence[ProviderEvent], servers: Sequence[str], chains: Mapping[str, Chain]
    ) -> dict[str, _Second]:
        """Make the messages that take the place of those that came back from an office."""
        made = {}
        for event in events:
            if event.kind == "bounced" and event.permanent and event.recipient:
                back = await self._store.read(returned.find, event, servers)
                if back is None:
                    continue
                # Its files may be long.
                chain = chains[back.server]
                one = await asyncio.to_thread(_second, back, event, chain, self._metadata_key)
                if one is not None:
                    made[event.identity] = one
        return made

    def _sent_again(self, taken: Taken, second: _Second, chain: Chain) -> None:
        row = second.sending.message
        log.warning("message.returned", id=taken.id, server=taken.server, again=row.id)
        records.log_accepted(second.message, row, self._secret)
        chain.observe("accepted", message=second.message)
        self._queued(1)

    async def _settled(self, taken: Taken, chains: Mapping[str, Chain]) -> None:
        """Let everybody know that a message in doubt is sent after all."""
        if taken.before in WAITING_STATES:
            self._queued(-1)
        found = await self._store.read(listing.documents, [taken.id])
        try:
            message = documents.load(taken.id, found.get(taken.id, ""))
        except (KeyError, TypeError, ValueError) as error:
            log.error("message.unreadable", id=taken.id, **trace(error))
            return
        receipt = Confirmation(taken.event.provider_id, words="the provider told so")
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


def _second(
    back: Returned, event: ProviderEvent, chain: Chain, metadata_key: str
) -> _Second | None:
    """Make the second sending of a message that came back; None where no office lacks it."""
    server, first = chain.server, back.message
    known = offices(first, server) if chain.takes_forms else ()
    inboxes = {office.email.lower() for office in known}
    backup = set() if server.backup is None else {server.backup.email.lower()}
    if not known or event.recipient.strip().lower() not in inboxes | backup:
        return None
    labels = {name: value for name, value in first.metadata.items() if name != metadata_key}
    again = replace(first, to=known, cc=(), bcc=(), metadata=labels, send_at=None)
    message = records.identified(again, metadata_key)
    row = records.record(message, server, back.key, labels=tuple(labels))
    return _Second(message, SecondSending(row, inboxes))


def _came_back(event: ProviderEvent) -> bool:
    return event.kind == "complained" or (event.kind == "bounced" and event.permanent)
