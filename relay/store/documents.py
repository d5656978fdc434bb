"""Messages as JSON documents, as `contents` holds them."""

import json
from dataclasses import fields
from typing import Any

from relay.addresses import Address
from relay.message import Message, Submission, freeze, thaw

_NESTED = ("model", "metadata")
_ADDRESSES = ("to", "cc", "bcc", "reply_to")


def dump(message: Message) -> str:
    """Write a message down; what is empty is left out."""
    document: dict[str, Any] = {"sender": [message.sender.email, message.sender.name]}
    for name in _NAMES:
        value = getattr(message, name)
        if name in _ADDRESSES:
            value = [[address.email, address.name] for address in value]
        if value or value in ("", {}):
            document[name] = thaw(value) if name in _NESTED else value
    return json.dumps(document, separators=(",", ":"))


def load(id: str, document: str) -> Message:
    """Read a message again, as it was accepted; raise KeyError, TypeError or ValueError."""
    values = dict(json.loads(document))
    for name in _ADDRESSES:
        values[name] = tuple(Address(*pair) for pair in values.get(name, ()))
    values["sender"] = Address(*values["sender"])
    values["headers"] = tuple((name, value) for name, value in values.get("headers", ()))
    values["model"] = freeze(values.get("model"))
    return Message(**values, id=id)


def dump_submission(submission: Submission) -> str:
    """Write down a screened submission: all its fields, for whoever reviews it."""
    return json.dumps({"fields": thaw(submission.fields)}, separators=(",", ":"))


_NAMES = [field.name for field in fields(Message) if field.name not in ("id", "sender")]
