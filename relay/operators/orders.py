"""What people order of a running daemon, whose parts hear of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog

from relay.core import clock
from relay.core.addresses import Address
from relay.core.errors import SubmissionError
from relay.core.logs import trace
from relay.core.policy import stranger
from relay.core.secret import Secret
from relay.core.states import TOLD, WAITING, State
from relay.delivery.dispatcher import Dispatcher
from relay.hooks.chain import Chain
from relay.intake.acceptance import Acceptance
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.notifications.receipts.sender import ReceiptSender
from relay.operators.acting import (
    about_messages,
    dropping,
    firing,
    replaying,
    suppressing,
    switching_on,
)
from relay.store import acts, documents
from relay.store.acts import Act, Acted, By
from relay.store.engine.database import Store
from relay.store.outbox import readdressing, resend, screened
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.operator_actions import Verdict
from relay.store.outbox.readdressing import Readdressing
from relay.store.outbox.resend import Replayed
from relay.store.queries import listing
from relay.store.suppressions import Suppressions, Word

log = structlog.get_logger()


class Readdressed(NamedTuple):
    """What came of sending a message to another address: the new one's id, or why there is none."""

    id: str
    problem: str = ""


@dataclass(eq=False, repr=False)
class Orders:
    """Carries out what people order, in a running daemon.

    chains: every server's as it is now. secret: what addresses are hashed with.
    """

    store: Store
    chains: Callable[[], Mapping[str, Chain]]
    outbox: Outbox
    acceptance: Acceptance
    dispatcher: Dispatcher
    suppressions: Suppressions
    receipts: ReceiptSender
    secret: Secret

    async def messages(
        self, operation: str, ids: Sequence[str], by: By, *, twice: bool = False
    ) -> list[Verdict]:
        """Do an operation on messages; return what came of each."""
        order = about_messages(operation, ids, by, twice=twice)
        verdicts: list[Verdict] = await self.store.write(acts.acted, order)
        self._count(verdicts)
        for verdict in verdicts:
            if not verdict.done or verdict.after == verdict.before:
                continue
            if verdict.after in TOLD:
                self.receipts.settled(verdict.id)
            if (chain := self.chains().get(verdict.server)) is not None:
                chain.note("ordered", id=verdict.id, state=verdict.after)
        return verdicts

    async def release(self, ids: Sequence[str], by: By) -> list[Verdict]:
        """Send submissions that were kept back: from the schema onwards, as if they came now."""
        return [await self._release(id, by) for id in ids]

    async def drop(self, ids: Sequence[str], by: By) -> list[Verdict]:
        """Clear submissions that were kept back."""
        verdicts: list[Verdict] = await self.store.write(acts.acted, dropping(ids, by))
        return verdicts

    async def suppress(self, words: Sequence[Word], by: By) -> list[bool]:
        """Note words on addresses, `manual` or `lifted`; return which of them changed anything."""
        orders = [suppressing(word, by, self.secret) for word in words]
        words = [self.suppressions.known(word) for word in words]
        changed = [
            bool(await self.store.write(acts.acted, order._replace(argument=word)))
            for order, word in zip(orders, words, strict=True)
        ]
        self.suppressions.learn(word for word, new in zip(words, changed, strict=True) if new)
        return changed

    async def replay(self, address: str, server: str, after: str, by: By) -> Replayed:
        """Send some of what is held for an address, or of a server; the other one is ""."""
        servers = {name: chain.server for name, chain in self.chains().items()}
        order = resend.order(address, server, servers, clock.now(), after, by.who)
        replayed: Replayed = await self.store.write(acts.acted, replaying(order, by))
        self.suppressions.learn(replayed.lifted)
        self.dispatcher.revived(len(replayed.ids))
        return replayed

    async def readdress(self, id: str, address: Address, by: By) -> Readdressed:
        """Send a message again, to another address alone; what became of the first one stays."""
        found = await self.store.read(listing.find, id)
        if found is None:
            return Readdressed("", "there is no such message")
        if problem := readdressing.objection(found.row):
            return Readdressed("", problem)
        chain = self.chains().get(found.row.server)
        if chain is None:
            return Readdressed("", f"there is no server {found.row.server} any more")
        first = documents.load(id, found.content.document)
        labels = self.outbox.submitted_metadata(first)
        again = replace(first, to=(address,), cc=(), bcc=(), metadata=labels, send_at=None)
        if stranger(again, chain.server) is not None:
            words = f"`recipients` of {chain.server.name} do not have this address"
            return Readdressed("", f"{words}: add it in the settings first")
        outgoing = Outgoing(again, chain, found.row.key, labels=tuple(labels))

        def order(rows: Sequence[NewMessage]) -> Acted:
            [row] = rows
            now = clock.now()
            act = Act(now, by, "readdress", id, found.row.state, row.id)
            one = Readdressing(row, id, now, by.who)
            return Acted(readdressing.readdress, one, lambda done: [act] if done else [])

        stored = await self.outbox.put(
            [outgoing], guard=Guard(acts.acted, order, lambda done, row: bool(done))
        )
        if not stored:
            return Readdressed("", "it changed in the meantime")
        return Readdressed(stored[0].id)

    async def fire(self, id: str, by: By) -> str:
        """Make a call to a webhook again; return whom it goes to, "" where there is none."""
        target: str = await self.store.write(acts.acted, firing(id, by))
        return target

    async def switch_on(self, name: str, by: By) -> bool:
        """Let a webhook be called again; return whether it was off."""
        was_off: bool = await self.store.write(acts.acted, switching_on(name, by))
        return was_off

    async def _release(self, id: str, by: By) -> Verdict:
        kept = await self.store.read(screened.find, id)
        before = kept.state if kept else ""
        try:
            released = await self.acceptance.release(id, clock.now(), by)
        except SubmissionError as error:
            return Verdict(id, before, "", str(error))
        except Exception as error:  # noqa: BLE001 - one that breaks a plugin is no other's matter
            log.error("release.failed", id=id, **trace(error))
            return Verdict(id, before, "", f"a plugin fails at it: {type(error).__name__}")
        if not released:
            return Verdict(id, "", "", screened.ABSENT)
        return Verdict(id, before, State.QUEUED, "released")

    def _count(self, verdicts: Sequence[Verdict]) -> None:
        """Let the dispatcher know what waits no more, and what waits again."""
        done = [verdict for verdict in verdicts if verdict.done]
        self.dispatcher.settled(sum(verdict.before in WAITING for verdict in done))
        if revived := sum(verdict.after in WAITING for verdict in done):
            self.dispatcher.revived(revived)
