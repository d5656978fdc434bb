"""What a provider tells of messages after it took them: written down, and acted upon, once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from relay.core.addresses import Address
from relay.core.logs import fingerprint, trace
from relay.core.message import Confirmation, Message, ProviderEvent
from relay.core.policy import offices
from relay.core.secret import Secret
from relay.core.states import WAITING
from relay.core.text import without_addresses
from relay.hooks.chain import Chain
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.store import callbacks
from relay.store.callbacks import Taken, ToldEvents
from relay.store.engine.database import Store
from relay.store.outbox import resend
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.resend import Returned, SecondSending
from relay.store.queries import listing
from relay.store.suppressions import Suppressions

log = structlog.get_logger()


class _Second(NamedTuple):
    """A message that takes the place of one that came back, and the offices it is for."""

    outgoing: Outgoing
    offices: Collection[str]


@dataclass(eq=False, repr=False)
class ProviderEvents:
    """Takes providers' events: settles doubts, suppresses addresses, keeps the history.

    settled: is called with how many messages wait for an attempt no more. secret: what addresses in
    log lines are hashed with.
    """

    store: Store
    suppressions: Suppressions
    outbox: Outbox
    settled: Callable[[int], None]
    secret: Secret

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
        taken: list[Taken] = []

        def told(rows: Sequence[NewMessage]) -> ToldEvents:
            second = {
                identity: SecondSending(row, one.offices)
                for (identity, one), row in zip(seconds.items(), rows, strict=True)
            }
            return ToldEvents(group, servers, clean, now, self.secret, second)

        async def committed(result: list[Taken]) -> None:
            taken.extend(result)
            self.suppressions.learn(one.word for one in taken if one.word is not None)
            for one in taken:
                await self._act_upon(one, chain, chains)

        def is_sent_again(result: list[Taken], row: NewMessage) -> bool:
            return any(one.again == row.id for one in result)

        guard = Guard(callbacks.take, told, is_sent_again, committed)
        await self.outbox.put([one.outgoing for one in seconds.values()], guard=guard)
        return taken

    async def _seconds(
        self, events: Sequence[ProviderEvent], servers: Sequence[str], chains: Mapping[str, Chain]
    ) -> dict[str, _Second]:
        """Make the messages that take the place of those that came back from an office."""
        made = {}
        for event in events:
            if event.kind == "bounced" and event.permanent and event.recipient:
                back = await self.store.read(resend.find_returned, event, servers)
                second = None if back is None else self._second(back, event, chains[back.server])
                if second is not None:
                    made[event.identity] = second
        return made

    def _second(self, back: Returned, event: ProviderEvent, chain: Chain) -> _Second | None:
        """Make the second sending of what came back; None where no office lacks it."""
        server, first = chain.server, back.message
        known = offices(first, server) if chain.has_forms else ()
        inboxes = {office.email.lower() for office in known}
        backup = set() if server.backup is None else {server.backup.email.lower()}
        if not known or event.recipient.strip().lower() not in inboxes | backup:
            return None
        labels = self.outbox.submitted_metadata(first)
        again = replace(first, to=known, cc=(), bcc=(), metadata=labels, send_at=None)
        return _Second(Outgoing(again, chain, back.key, labels=tuple(labels)), inboxes)

    async def _act_upon(self, one: Taken, chain: Chain, chains: Mapping[str, Chain]) -> None:
        """Let everybody know what was taken."""
        group = chain.server.group
        self._log(one, group)
        if one.settled and one.before in WAITING:
            self.settled(1)
        if one.canary:
            return
        if one.settled:
            await self._found(one, chains)
        if one.new and _came_back(one.event):
            chains.get(one.server, chain).observe("bounced", event=one.event)
        if one.again:
            log.warning("message.returned", id=one.id, server=one.server, again=one.again)

    async def _found(self, taken: Taken, chains: Mapping[str, Chain]) -> None:
        """Let everybody know that a message in doubt is sent after all."""
        message = (await self.store.read(listing.loaded, [taken.id]))[taken.id]
        if not isinstance(message, Message):
            log.error("message.unreadable", id=taken.id, **trace(message))
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
            known["to"] = f"{fingerprint(self.secret, address)}@{address.domain}"
        if not taken.id:
            log.info("event.unmatched", **known)
            return
        write = log.info if event.kind == "delivered" else log.warning
        write("event.taken", id=taken.id, server=taken.server, **known)
        if taken.settled:
            log.info("message.found", id=taken.id, server=taken.server, before=taken.before)


def _came_back(event: ProviderEvent) -> bool:
    return event.kind == "complained" or (event.kind == "bounced" and event.permanent)
