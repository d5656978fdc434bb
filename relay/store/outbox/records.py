"""Messages on their way into the outbox: with an id of their own, as rows, as log lines."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from relay.core.ids import message_id, timestamp
from relay.core.logs import fingerprint
from relay.core.message import Message
from relay.core.secret import Secret
from relay.core.server import Server
from relay.store import documents
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.references import REFERENCE_HEADER

# Postmark's limit of metadata names for one message.
MAX_METADATA = 10

log = structlog.get_logger()


def identified(message: Message, metadata_key: str, id: str | None = None) -> Message:
    """Set a message's id, which also travels as metadata, so that it can be looked up.

    It is a new one where none is given. Where the caller's own metadata leaves no room, it stays
    as it is.
    """
    id = id or message_id()
    labels = dict(message.metadata)
    if len(labels) < MAX_METADATA:
        labels[metadata_key] = id
    return replace(message, id=id, metadata=labels)


def referenced(message: Message, reference: str) -> Message:
    """Let a message show the reference number that its writer is told, if there is one."""
    if not reference:
        return message
    headers = ((REFERENCE_HEADER, reference),)
    return replace(message, headers=(*message.headers, *headers))


def record(
    message: Message,
    server: Server,
    key: str,
    warnings: Sequence[str] = (),
    token: bytes | None = None,
    labels: Sequence[str] = (),
) -> NewMessage:
    """Make the row of a message that is queued, or scheduled for later.

    key: the id of the key that brought it. warnings: for its history. token: the digest of the
    session token it spends. labels: names in its metadata by which it can be searched.
    """
    return NewMessage(
        id=message.id,
        server=server.name,
        state="queued" if message.send_at is None else "scheduled",
        due_at=message.send_at,
        created_at=timestamp(message.id),
        key=key,
        kind="plain" if message.template is None else "template",
        recipients=" ".join(address.email.lower() for address in message.recipients),
        subject=_subject(message),
        sender=message.sender.email.lower(),
        tag=message.tag or "",
        stream=message.stream or "",
        metadata={name: message.metadata[name] for name in labels},
        document=documents.dump(message),
        warnings=tuple(warnings),
        token=token,
    )


def log_accepted(message: Message, row: NewMessage, secret: Secret) -> None:
    """Log that a message was stored, without a whole address."""
    to = [f"{fingerprint(secret, address)}@{address.domain}" for address in message.recipients]
    log.info("message.accepted", id=row.id, server=row.server, key=row.key, to=to)


def _subject(message: Message) -> str:
    if message.subject is not None:
        return message.subject
    given = (message.model or {}).get("subject", "")
    return given if isinstance(given, str) else ""
