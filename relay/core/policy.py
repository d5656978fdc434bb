"""What a server may send, to whom and as whom, and which recipients are its offices.

An office's mail is never given up because its inbox is dead.
"""

from dataclasses import replace

from relay.core.addresses import Address, listed
from relay.core.errors import InvalidSubmission
from relay.core.message import Message
from relay.core.server import Server

# Postmark's limit over to, cc and bcc together.
MAX_RECIPIENTS = 50
# A session post's: whoever sees its page has all that it needs.
MAX_SESSION_RECIPIENTS = 5
ANYBODY = "*"


def check_policy(message: Message, server: Server, *, session: bool = False) -> None:
    """Refuse a form's message that its server may not send; raise InvalidSubmission.

    No plugin has a say here, so no mapping can make an open relay of its server. session: whether
    a session token brought it in, which anybody can have.
    """
    most = MAX_SESSION_RECIPIENTS if session else MAX_RECIPIENTS
    if not message.to:
        raise _recipients("to_address", most)
    check_addresses(message, server, most)
    if message.send_at is not None and not server.scheduling:
        words = ["messages cannot be scheduled here"]
        raise InvalidSubmission({"senddatetime": words}, reason="scheduling")
    for name, _ in message.headers:
        if name.lower() not in server.headers:
            raise InvalidSubmission({"headers": [f"{name} may not be set"]}, reason="header")


def check_addresses(message: Message, server: Server, most: int = MAX_RECIPIENTS) -> None:
    """Refuse recipients and a sender that are not the server's; raise InvalidSubmission.

    This holds for every message, however it came; `reason` is `recipient` or `sender`. most: how
    many recipients there may be.
    """
    if not 0 < len(message.recipients) <= most:
        raise _recipients("to_address", most)
    refused = stranger(message, server)
    if refused is not None:
        words = ["not a recipient that this server sends to"]
        name, address = refused
        raise InvalidSubmission({name: words}, reason="recipient", domain=address.domain)
    if not can_send_as(message.sender, server):
        words = ["not a sender that this server may send as"]
        fields = {"from_address": words}
        raise InvalidSubmission(fields, reason="sender", domain=message.sender.domain)


def stranger(message: Message, server: Server) -> tuple[str, Address] | None:
    """Return the first recipient that the server may not send to, behind its field's name."""
    if server.recipients is None:
        return None
    for name, addresses in (
        ("to_address", message.to),
        ("cc", message.cc),
        ("bcc", message.bcc),
    ):
        for address in addresses:
            if not listed(address, server.recipients):
                return name, address
    return None


def can_send_as(sender: Address, server: Server) -> bool:
    """Return whether an address may stand as From: the server's own, or one of its `senders`."""
    own = server.sender is not None and sender.email.lower() == server.sender.email.lower()
    return own or listed(sender, server.senders)


def without_recipient_names(message: Message) -> Message:
    """Return a message whose recipients are bare addresses."""
    if not any(one.name for one in message.recipients):
        return message
    to, cc, bcc = (
        tuple(Address(one.email) for one in addresses)
        for addresses in (message.to, message.cc, message.bcc)
    )
    return replace(message, to=to, cc=cc, bcc=bcc)


def _recipients(field: str, most: int) -> InvalidSubmission:
    words = [f"1 to {most} recipients, cc and bcc included"]
    return InvalidSubmission({field: words}, reason="recipient")


def office_patterns(server: Server) -> frozenset[str]:
    """Return the patterns of addresses that a server names as its offices'."""
    return (server.recipients or frozenset()) - {ANYBODY}


def offices(message: Message, server: Server) -> tuple[Address, ...]:
    """Return those recipients of a message of a server with forms whose mail it is.

    They are those whom the server's `recipients` name, in full or by their domain, but for the
    writer's own address: what he gets is a copy, a receipt or an answer. Where nobody else gets it,
    an office wrote to itself: an address that is named in full.
    """
    patterns = office_patterns(server)
    writer = "" if message.writer is None else message.writer.email.lower()
    known = [one for one in message.recipients if listed(one, patterns)]
    others = tuple(one for one in known if one.email.lower() != writer)
    return others or tuple(one for one in known if one.email.lower() in patterns)
