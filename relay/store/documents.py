"""Messages as JSON documents, as `contents` holds them."""

import json
from base64 import b64decode, b64encode
from dataclasses import fields
from typing import Any

from relay.core.addresses import Address
from relay.core.immutable import freeze, thaw
from relay.core.message import Attachment, Message
from relay.core.submission import File, Identity, IdentityKind, Submission

# What stands in the place of a document that was cleared.
CLEARED = ""

_NESTED = ("model", "metadata")
_ADDRESSES = ("to", "cc", "bcc", "reply_to")


class ContentsCleared(ValueError):
    """What this message said was cleared, because it was kept long enough."""


def dump(message: Message) -> str:
    """Write a message down; what is as it would be anyway is left out."""
    document: dict[str, Any] = {"sender": [message.sender.email, message.sender.name]}
    if message.writer is not None and message.has_recipient(message.writer):
        document["writer"] = [message.writer.email, message.writer.name]
    for name, default in _DEFAULTS.items():
        value = getattr(message, name)
        if value == default:
            continue
        if name in _ADDRESSES:
            value = [[address.email, address.name] for address in value]
        elif name == "attachments":
            value = [[one.name, one.content_type, one.content, one.content_id] for one in value]
        elif name == "metadata":
            value = dict(value)
        document[name] = thaw(value) if name == "model" else value
    return _encode(document)


def load(id: str, document: str) -> Message:
    """Read a message again, as it was accepted; raise KeyError, TypeError or ValueError.

    ContentsCleared is the ValueError of one whose contents are gone for good.
    """
    if document == CLEARED:
        raise ContentsCleared(id)
    values = dict(json.loads(document))
    for name in _ADDRESSES:
        values[name] = tuple(Address(*pair) for pair in values.get(name, ()))
    values["sender"] = Address(*values["sender"])
    if "writer" in values:
        values["writer"] = Address(*values["writer"])
    values["headers"] = tuple((name, value) for name, value in values.get("headers", ()))
    values["attachments"] = tuple(Attachment(*one) for one in values.get("attachments", ()))
    for name in _NESTED:
        values[name] = freeze(values.get(name, _DEFAULTS[name]))
    return Message(**values, id=id)


def dump_submission(submission: Submission, identity: Identity) -> str:
    """Write down a screened submission: its fields and files, for whoever reviews it.

    What a session post may choose hangs on that and on its key's kind, so they are kept too.
    """
    files = [
        [one.field_name, one.name, one.content_type, b64encode(one.content).decode("ascii")]
        for one in submission.files
    ]
    document = {"fields": thaw(submission.fields), **({"files": files} if files else {})}
    if submission.session:
        document["session"] = identity.kind
    if submission.reference:
        document["reference"] = submission.reference
    return _encode(document)


def load_submission(server: str, document: str) -> Submission:
    """Read a screened submission again; raise ContentsCleared where it is gone for good."""
    if document == CLEARED:
        raise ContentsCleared
    values = json.loads(document)
    files = tuple(
        File(field_name, name, content_type, b64decode(content))
        for field_name, name, content_type, content in values.get("files", ())
    )
    return Submission(
        server,
        freeze(values["fields"]),
        "session" in values,
        files=files,
        reference=values.get("reference", ""),
    )


def key_kind(document: str) -> IdentityKind:
    """Return the kind of key that a screened submission came with; `secret` outside sessions."""
    kind: IdentityKind = json.loads(document).get("session", "secret")
    return kind


# Made once: json.dumps would make one for every message.
_encode = json.JSONEncoder(separators=(",", ":")).encode

_DEFAULTS: dict[str, Any] = {
    field.name: {} if field.name == "metadata" else None if field.name == "to" else field.default
    for field in fields(Message)
    # The writer's address is kept where it is needed, and no longer than it is: where he is one of
    # the recipients, see above.
    if field.name not in ("id", "sender", "writer", "addressed")
}
