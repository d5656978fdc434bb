"""What Postmark's webhooks tell: deliveries, bounces, complaints, subscriptions, inbound mail.

Postmark signs nothing and may tell a thing several times; the host checks who calls and takes each
thing once.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from relay import Address, Attachment, Message, hookimpl
from relay.provider import Callback, ProviderEvent, Reply

# Types of bounces after which Postmark sends no more to an address. Others mean the mail alone.
HARD = {"HardBounce", "BadEmailAddress", "ManuallyDeactivated", "SpamComplaint", "Unsubscribe"}
# Bounces of mail that arrived.
ARRIVED = {"SpamComplaint": "complained", "Unsubscribe": "unsubscribed"}
# Why an address is suppressed, in our words.
REASONS = {"HardBounce": "bounced", "SpamComplaint": "complained"}
# What stands for no message at all, in changes of subscriptions that an operator made.
NO_ID = "00000000-0000-0000-0000-000000000000"

_BLANKS = re.compile(r"[\t\r\n]+")


@hookimpl
def receive(callback: Callback) -> Reply | Sequence[ProviderEvent] | None:
    """Read one call: an inbound mail, or a record of one message; None for anything else."""
    body = callback.body
    kind = body.get("RecordType")
    if kind is None or kind == "Inbound":
        return _reply(body) if _is_inbound(body) else None
    if kind == "Delivery":
        return [_event(callback, "delivered", body.get("Recipient"), body.get("DeliveredAt"))]
    if kind == "Bounce":
        return [_bounce(callback)]
    if kind == "SpamComplaint":
        at, email = body.get("BouncedAt"), body.get("Email")
        return [_event(callback, "complained", email, at, permanent=True, words=_said(body))]
    if kind == "SubscriptionChange":
        return [_subscription(callback)]
    if kind in ("Open", "Click", "LinkClick"):
        return [_event(callback, "other", body.get("Recipient"), body.get("ReceivedAt"))]
    return None


def _bounce(callback: Callback) -> ProviderEvent:
    """Read a bounce. A soft one, or one of the mail's own making, says nothing of the address."""
    body = callback.body
    kind = _text(body, "Type")
    permanent = kind in HARD or body.get("Inactive") is True
    return _event(
        callback,
        ARRIVED.get(kind, "bounced"),
        body.get("Email"),
        body.get("BouncedAt"),
        permanent=permanent,
        words=_said(body),
    )


def _subscription(callback: Callback) -> ProviderEvent:
    body = callback.body
    stops = body.get("SuppressSending") is True
    why, origin = _text(body, "SuppressionReason"), _text(body, "Origin")
    own = REASONS.get(why) or ("unsubscribed" if origin == "Recipient" else "manual")
    words = ", by ".join(part for part in (why or "may be written to again", origin) if part)
    return _event(
        callback,
        "unsubscribed" if stops else "resubscribed",
        body.get("Recipient"),
        body.get("ChangedAt"),
        permanent=stops,
        words=words,
        reason=own if stops else "",
    )


def _event(callback: Callback, kind: Any, recipient: Any, time: Any, **more: Any) -> ProviderEvent:
    body = callback.body
    id, record = _text(body, "MessageID"), _text(body, "RecordType")
    email = recipient.strip() if isinstance(recipient, str) else ""
    told = "\n".join((record, id, str(time or ""), email.lower(), _text(body, "Type"), kind))
    return ProviderEvent(
        kind=kind,
        identity=told,
        message=_own_id(body.get("Metadata"), callback.metadata_key),
        provider_id="" if id == NO_ID else id,
        recipient=_line(email),
        at=_seconds(time),
        **more,
    )


def _own_id(labels: Any, key: str) -> str:
    """Return the id that the message travelled with; "" where it had none."""
    named = labels.items() if isinstance(labels, Mapping) else ()
    found = (value for name, value in named if key and str(name).lower() == key.lower())
    value = next(found, "")
    return value if isinstance(value, str) else ""


def _said(body: Mapping[str, Any]) -> str:
    """Return Postmark's words on a bounce: its type, what that means, what the server said."""
    parts = (_text(body, name) for name in ("Type", "Description", "Details"))
    return _line(": ".join(part for part in parts if part))[:400]


def _is_inbound(body: Mapping[str, Any]) -> bool:
    return "MessageID" in body and ("ToFull" in body or "OriginalRecipient" in body)


def _reply(body: Mapping[str, Any]) -> Reply:
    """Read an inbound mail: its words, and whom it was sent to."""
    message = Message(
        sender=Address(
            _line(_text(body, "From")) or "unknown@invalid", _line(_text(body, "FromName"))
        ),
        to=(),
        subject=_line(_text(body, "Subject")),
        text=_text(body, "TextBody") or None,
        html=_text(body, "HtmlBody") or None,
        attachments=tuple(_attachments(body.get("Attachments"))),
    )
    headers = tuple(
        (_line(_text(one, "Name")), _line(_text(one, "Value")))
        for one in _objects(body.get("Headers"))
    )
    return Reply(_text(body, "MessageID"), _address(body), message, headers)


def _address(body: Mapping[str, Any]) -> str:
    """Return the address that carries the hash: the envelope's first, since headers can be lists.

    An address that only stands in Cc counts, too: people answer to all.
    """
    hash = _text(body, "MailboxHash")
    original = _text(body, "OriginalRecipient").strip()
    if original and (not hash or f"+{hash.lower()}@" in original.lower()):
        return _line(original)
    named = [one for name in ("ToFull", "CcFull", "BccFull") for one in _objects(body.get(name))]
    carrying = (one for one in named if hash and _text(one, "MailboxHash") == hash)
    found = next(carrying, None)
    return _line(_text(found, "Email")) if found is not None else _line(original)


def _attachments(listed: Any) -> list[Attachment]:
    return [
        Attachment(
            name=_line(_text(one, "Name")) or f"attachment-{number}",
            content_type=_line(_text(one, "ContentType")) or "application/octet-stream",
            content=_in_one_line(_text(one, "Content")),
            content_id=_line(_text(one, "ContentID")) or None,
        )
        for number, one in enumerate(_objects(listed), 1)
    ]


def _in_one_line(content: str) -> str:
    """Take line breaks out of base64; megabytes that have none are not copied."""
    broken = any(blank in content for blank in " \t\r\n")
    return "".join(content.split()) if broken else content


def _objects(listed: Any) -> list[Mapping[str, Any]]:
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return []
    return [one for one in listed if isinstance(one, Mapping)]


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _line(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def _seconds(time: Any) -> float:
    """Read a time as Postmark writes it, `2026-11-21T16:33:54.9070259Z`; 0 for anything else."""
    try:
        moment = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
