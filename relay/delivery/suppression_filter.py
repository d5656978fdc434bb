"""Who a message is sent to right before its attempt, where some of its recipients get no mail."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import structlog

from relay.core.errors import (
    DeliveryDeferred,
    DeliveryError,
    RecipientsInactive,
    RecipientsSuppressed,
    Unavailable,
)
from relay.core.message import Confirmation, Message
from relay.core.policy import offices
from relay.core.server import Server
from relay.hooks.chain import Chain
from relay.store.suppressions import Suppressions

NO_MAIL = "no mail goes to "
HELD = "; held until the address works again: `queue replay`"

log = structlog.get_logger()


class SuppressionFilter:
    """Takes suppressed recipients out of messages, and learns of new ones from the answers."""

    def __init__(self, suppressions: Suppressions) -> None:
        self._suppressions = suppressions

    def sift(
        self, found: Sequence[Message | DeliveryError], chains: Sequence[Chain], now: float
    ) -> Sequence[Message | DeliveryError]:
        """Return messages as they may be sent, or why not; chains are those of their servers.

        The same sequence where nobody is suppressed.
        """
        if not any(map(self._suppressions.of, {chain.server.group for chain in chains})):
            return found
        return [
            self._sifted(one, chain, now) if isinstance(one, Message) else one
            for one, chain in zip(found, chains, strict=True)
        ]

    def _sifted(self, message: Message, chain: Chain, now: float) -> Message | RecipientsSuppressed:
        server = chain.server
        suppressed = self._suppressions.among(message.recipients, server.group, now)
        if not suppressed:
            return message
        backup = () if server.backup is None else (server.backup,)
        backup_works = bool(backup) and not self._suppressions.among(backup, server.group, now)
        return sift(message, server, suppressed, forms=chain.has_forms, backup=backup_works)

    async def hear(
        self,
        found: Sequence[Message | DeliveryError],
        sent: Sequence[Message | DeliveryError],
        results: Sequence[Confirmation | DeliveryError],
        chains: Sequence[Chain],
        now: float,
    ) -> list[Confirmation | DeliveryError]:
        """Return the results of messages that were found so and sent so, as their history has them.

        An address that the provider refuses to send to gets nothing for a day.
        """
        if found is sent and not _name_some(results):
            return list(results)
        heard = []
        for one, other, result, chain in zip(found, sent, results, chains, strict=True):
            judged = result
            if isinstance(one, Message) and isinstance(other, Message):
                if isinstance(result, RecipientsInactive):
                    judged = await self._refused(one, other, result, chain, now)
                elif isinstance(result, Confirmation):
                    receipt = await self._missed(other, result, chain, now)
                    dropped = (*receipt.dropped, *left_out(one, other))
                    judged = replace(receipt, dropped=dropped)
            heard.append(judged)
        return heard

    async def _missed(
        self, sent: Message, receipt: Confirmation, chain: Chain, now: float
    ) -> Confirmation:
        """Have what was taken without its offices tried again for them: held, or the backup's."""
        dropped = {email.lower() for email in receipt.dropped}
        known = offices(sent, chain.server) if dropped and chain.has_forms else ()
        emails = tuple(office.email.lower() for office in known)
        if not emails or not dropped.issuperset(emails):
            return receipt
        await self._suppress(chain.server.group, emails, sent.id, now)
        others = tuple(email for email in receipt.dropped if email.lower() not in emails)
        return replace(receipt, dropped=others, later=(*receipt.later, *emails))

    async def _suppress(self, group: str, emails: Sequence[str], id: str, now: float) -> bool:
        """Send nothing to these addresses for a day; return whether that could be stored."""
        try:
            await self._suppressions.refuse(group, emails, id, now)
        except Unavailable:
            log.warning("suppression.unstored", group=group, count=len(emails))
            return False
        return True

    async def _refused(
        self, message: Message, sent: Message, error: RecipientsInactive, chain: Chain, now: float
    ) -> DeliveryError:
        """Suppress those who were refused; an office's mail is held, or goes to the backup next."""
        named = {address.lower() for address in error.recipients}
        everybody = [address.email.lower() for address in sent.recipients]
        refused = [email for email in everybody if email in named] or everybody
        if not await self._suppress(chain.server.group, refused, message.id, now):
            return error
        again = self._sifted(message, chain, now)
        if isinstance(again, Message):
            backup = chain.server.backup in again.to and chain.server.backup not in sent.to
            words = f"{error}; it goes to the server's backup next"
            return DeliveryDeferred(words, code=error.code) if backup else error
        return again if again.held else error


def sift(
    message: Message, server: Server, suppressed: Collection[str], *, forms: bool, backup: bool
) -> Message | RecipientsSuppressed:
    """Return a message for those of its recipients who get mail, or say why it is not sent.

    suppressed: addresses in lower case that get none. Where a server takes forms, mail for an
    office must reach an office: the server's backup stands in, if `backup` says that it gets mail;
    else the message is held.
    """
    gone = [address for address in message.recipients if address.email.lower() in suppressed]
    words = NO_MAIL + ", ".join(address.email for address in gone)
    others = message.without(suppressed)
    known = offices(message, server) if forms else ()
    if known and all(office in gone for office in known):
        if server.backup is None or not backup:
            return RecipientsSuppressed(words + HELD, held=True)
        others = others.without({server.backup.email.lower()})  # it may be there as a copy's
        return replace(others, to=(*others.to, server.backup))
    return others if others.recipients else RecipientsSuppressed(words, held=False)


def _name_some(results: Sequence[Confirmation | DeliveryError]) -> bool:
    """Return whether a provider's answers name recipients that it sends nothing to."""
    for result in results:
        if isinstance(result, Confirmation):
            if result.dropped:
                return True
        elif isinstance(result, RecipientsInactive):
            return True
    return False


def left_out(message: Message, sent: Message) -> tuple[str, ...]:
    """Return the recipients that a message was sent without."""
    reached = {address.email for address in sent.recipients}
    return tuple(one.email for one in message.recipients if one.email not in reached)
