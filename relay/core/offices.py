"""Who a form's mail is for: its offices, whose mail is never given up because an inbox is dead."""

from relay.core.addresses import Address, listed
from relay.core.message import Message
from relay.core.server import Server

ANYBODY = "*"


def named(server: Server) -> frozenset[str]:
    """Return the patterns of addresses that a server names as its offices'."""
    return (server.recipients or frozenset()) - {ANYBODY}


def offices(message: Message, server: Server) -> tuple[Address, ...]:
    """Return those recipients of a message of a server with forms whose mail it is.

    They are those whom the server's `recipients` name, in full or by their domain, but for the
    writer's own address: what he gets is a copy, a receipt or an answer. Where nobody else gets it,
    an office wrote to itself: an address that is named in full.
    """
    patterns = named(server)
    writer = "" if message.writer is None else message.writer.email.lower()
    known = [one for one in message.recipients if listed(one, patterns)]
    others = tuple(one for one in known if one.email.lower() != writer)
    return others or tuple(one for one in known if one.email.lower() in patterns)
