"""Reply addresses: what stands for a writer in Reply-To, so that answers return through Relay.

`r+<id>.<tag>@inbound.example.gov`: a random id, and a keyed hash of it that only this installation
can make. Letters and digits are those of base32 in lower case, because mail changes case on its
way. The store knows the writer behind an id; the address itself says nothing about anybody.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from relay.core.addresses import ANY_DOMAIN, Address, parse
from relay.core.message import Message
from relay.core.secret import Secret, keyed_digest
from relay.core.server import Server

# In characters of base32, of five bits each.
ID_CHARACTERS = 16
TAG_CHARACTERS = 10
# What RFC 5321 lets stand before the @, less the code and what parts it.
MAX_LOCAL = 64 - ID_CHARACTERS - TAG_CHARACTERS - len("+.")

_CODE = rf"[a-z2-7]{{{ID_CHARACTERS}}}\.[a-z2-7]{{{TAG_CHARACTERS}}}"


class ReplyRoute(NamedTuple):
    """The way of an answer: whose id it names, and until when (epoch seconds).

    `writer` is a header's value: name and address.
    """

    id: str
    writer: str
    expires_at: float


class Addressed(NamedTuple):
    """A reply address as it was read: its id, and the address that it was made of."""

    id: str
    inbox: str


def inbox(text: str) -> Address:
    """Read the address that reply addresses are made of; raise ValueError."""
    address = parse(text, ANY_DOMAIN)
    local = address.email.rpartition("@")[0]
    if address.name or "+" in local or len(local) > MAX_LOCAL:
        words = f"no name, no +, and {MAX_LOCAL} characters at most before the @"
        raise ValueError(f'looks like "r@inbound.example.gov": {words}')
    return Address(address.email.lower())


def routed(
    message: Message, server: Server, secret: Secret, now: float
) -> tuple[Message, ReplyRoute | None]:
    """Put a reply address in the place of the writer's own, where the server has them.

    Only the Reply-To that is the writer's is replaced, and the model's `ReplyTo` with it.
    """
    if server.replies is None:
        return message, None
    writer = _writer(message)
    if writer is None:
        return message, None
    id = base64.b32encode(secrets.token_bytes(ID_CHARACTERS * 5 // 8)).decode().lower()
    local, _, domain = server.replies.email.rpartition("@")
    address = Address(f"{local}+{id}.{_tag(id, secret)}@{domain}", writer.name)
    begins = now if message.send_at is None else message.send_at
    changed = replace(message, reply_to=(address,), model=_model(message.model, address))
    return changed, ReplyRoute(id, str(writer), begins + server.reply_seconds)


def read(email: str, secret: Secret) -> Addressed | None:
    """Read a reply address; None for one that this installation did not make."""
    local, _, domain = email.lower().rpartition("@")
    before, _, code = local.partition("+")
    if not re.fullmatch(_CODE, code):
        return None
    id, _, tag = code.partition(".")
    genuine = hmac.compare_digest(tag.encode(), _tag(id, secret).encode())
    return Addressed(id, f"{before}@{domain}") if genuine else None


def without(text: str, inbox: Address, instead: str) -> str:
    """Put something else in the place of every reply address in a text or in HTML."""
    local, _, domain = map(re.escape, inbox.email.rpartition("@"))
    pattern = rf"{local}(?:\+|%2b){_CODE}(?:@|%40){domain}"
    return re.sub(pattern, lambda match: instead, text, flags=re.IGNORECASE)


def _writer(message: Message) -> Address | None:
    """Return the Reply-To that is the writer's own; None where somebody else is answered."""
    if message.writer is None or len(message.reply_to) != 1:
        return None
    [answered], email = message.reply_to, message.writer.email.lower()
    shown = message.sender.email.lower() == email
    return answered if answered.email.lower() == email and not shown else None


def _model(model: Mapping[str, Any] | None, address: Address) -> Mapping[str, Any] | None:
    return {**model, "ReplyTo": str(address)} if model and "ReplyTo" in model else model


def _tag(id: str, secret: Secret) -> str:
    digest = keyed_digest(secret, f"reply address {id}")
    return base64.b32encode(digest).decode().lower()[:TAG_CHARACTERS]
