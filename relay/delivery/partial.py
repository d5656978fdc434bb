"""Messages that only some of their recipients have: pure, without a clock or a store."""

from collections.abc import Collection
from dataclasses import replace

from relay.core.errors import DeliveryError, DeliveryFailed, MessageBroken, RecipientsSuppressed
from relay.core.message import Confirmation, Message
from relay.delivery.outcomes import DeliverResult
from relay.store.outbox.recipients import Fate


def rest(message: Message, settled: Collection[str]) -> Message | DeliveryError:
    """Return a message for those who neither have it nor were refused for good.

    settled: the others' addresses, in lower case. Its headers stay what everybody else saw.
    """
    if not settled:
        return message
    others = message.without(settled)
    if not others.recipients:
        return MessageBroken("everybody has it, or was refused for good")
    if not others.to:
        # Some providers insist on one.
        first = others.recipients[0]
        others = replace(others.without({first.email.lower()}), to=(first,))
    return replace(others, addressed=(message.to, message.cc))


def concluded(message: Message | DeliveryError, result: DeliverResult) -> DeliverResult:
    """Return the result of a whole message: what some have is sent, though the rest never will.

    message: as it was found, for those who were left.
    """
    if not isinstance(message, Message) or message.addressed is None:
        return result
    refused = isinstance(result, DeliveryFailed) or (
        isinstance(result, RecipientsSuppressed) and not result.held
    )
    if not refused:
        return result
    dropped = tuple(address.email for address in message.recipients)
    return Confirmation("", dropped=dropped, words=str(result))


def fates(message: Message | DeliveryError, result: DeliverResult) -> tuple[Fate, ...]:
    """Return what became of recipients whose fate is not their message's.

    message: as it was sent.
    """
    if not isinstance(result, Confirmation) or not (result.later or result.dropped):
        return ()
    refused = {email.lower() for email in result.dropped}
    known = [Fate(email, "refused", result.words) for email in sorted(refused)]
    if result.later and isinstance(message, Message):
        others = refused | {email.lower() for email in result.later}
        taken = {address.email.lower() for address in message.recipients} - others
        known += [Fate(email, "taken", result.words) for email in sorted(taken)]
    return tuple(known)
