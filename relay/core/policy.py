"""What a server may send, to whom and as whom: the last word before a message is stored."""

from relay.core.addresses import Address, listed
from relay.core.errors import InvalidSubmission
from relay.core.message import Message
from relay.core.server import Server

# Postmark's limit over to, cc and bcc together.
MAX_RECIPIENTS = 50


def check_policy(message: Message, server: Server) -> None:
    """Refuse a form's message that its server may not send; raise InvalidSubmission.

    No plugin has a say here, so no mapping can make an open relay of its server.
    """
    if not message.to:
        raise _recipients("to_address")
    check_addresses(message, server)
    if message.send_at is not None and not server.scheduling:
        words = ["messages cannot be scheduled here"]
        raise InvalidSubmission({"senddatetime": words}, reason="scheduling")
    for name, _ in message.headers:
        if name.lower() not in server.headers:
            raise InvalidSubmission({"headers": [f"{name} may not be set"]}, reason="header")


def check_addresses(message: Message, server: Server) -> None:
    """Refuse recipients and a sender that are not the server's; raise InvalidSubmission.

    This holds for every message, however it came; `reason` is `recipient` or `sender`.
    """
    if not 0 < len(message.recipients) <= MAX_RECIPIENTS:
        raise _recipients("to_address")
    refused = stranger(message, server)
    if refused is not None:
        words = ["not a recipient that this server sends to"]
        raise InvalidSubmission({refused[0]: words}, reason="recipient")
    if not may_send_as(message.sender, server):
        words = ["not a sender that this server may send as"]
        raise InvalidSubmission({"from_address": words}, reason="sender")


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


def may_send_as(sender: Address, server: Server) -> bool:
    """Return whether an address may stand as From: the server's own, or one of its `senders`."""
    own = server.sender is not None and sender.email.lower() == server.sender.email.lower()
    return own or listed(sender, server.senders)


def _recipients(field: str) -> InvalidSubmission:
    words = [f"1 to {MAX_RECIPIENTS} recipients, cc and bcc included"]
    return InvalidSubmission({field: words}, reason="recipient")
