"""What a server may send, to whom and as whom: the last word before a message is stored."""

from relay.addresses import listed
from relay.errors import InvalidSubmission
from relay.message import Message, Server

# Postmark's limit over to, cc and bcc together.
MAX_RECIPIENTS = 50


def check_policy(message: Message, server: Server) -> None:
    """Refuse a message that its server may not send; raise InvalidSubmission.

    No plugin has a say here, so no mapping can make an open relay of its server.
    """
    if not message.to or len(message.recipients) > MAX_RECIPIENTS:
        words = [f"1 to {MAX_RECIPIENTS} recipients, cc and bcc included"]
        raise InvalidSubmission({"to_address": words}, reason="recipient")
    if server.recipients is not None:
        for name, addresses in (
            ("to_address", message.to),
            ("cc", message.cc),
            ("bcc", message.bcc),
        ):
            if not all(listed(address, server.recipients) for address in addresses):
                words = ["not a recipient that this server sends to"]
                raise InvalidSubmission({name: words}, reason="recipient")
    own = server.sender is not None and message.sender.email == server.sender.email
    if not own and not listed(message.sender, server.senders):
        words = ["not a sender that this server may send as"]
        raise InvalidSubmission({"from_address": words}, reason="sender")
    for name, _ in message.headers:
        if name.lower() not in server.headers:
            raise InvalidSubmission({"headers": [f"{name} may not be set"]}, reason="header")
