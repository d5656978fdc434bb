"""A message as RFC 5322 text, with every header's value kept the text it is.

Built with the older classes of `email` on purpose: their Header encodes a value as literal text,
where the newer ones decode `=?...?=` inside it and so let it break out, on Pythons still in use.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from email import message_from_bytes
from email.charset import QP, Charset
from email.errors import MessageError
from email.header import Header
from email.message import Message as Part
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime
from typing import Any

from relay.core.addresses import Address
from relay.core.file_types import disposition, named_media_type
from relay.core.ids import timestamp
from relay.core.message import Attachment, Message
from relay.core.times import utc

_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP

# A line has 998 characters at most, and plain text is folded only where it has blanks.
_UNFOLDABLE = re.compile(r"[^ ]{900}")

# Headers are folded where they are made: a reader may not unfold what is folded in quotes.
_WRITTEN = compat32.clone(max_line_length=998)

# What a Content-ID or a Message-ID has between its angle brackets.
_ID = re.compile(r"[!-;=?-~]{1,500}")


def as_bytes(
    message: Message, domain: str = "relay", labels: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Serialise a message; raise ValueError if it does not read back as the headers it was given.

    The Message-ID is made of the message's id, so that every attempt has the same one, unless the
    message brings its own with X-PM-KeepID. Bcc is left out, as it is in what recipients get, and
    so are the X-PM- headers, which speak to the provider. A message whose template is not stored
    has its model's subject and parts: what the template would be given.

    labels: further headers, for the mail server.
    """
    message = _with_parts(message)
    root = _content(message)
    try:
        given = [(name, value) for name, value in _headers(message, domain) if value]
        given += [(name, _encoded(value)) for name, value in labels]
        for name, value in given:
            root[name] = value
        content = root.as_bytes(policy=_WRITTEN)
    except MessageError:
        raise ValueError("a header would break into several") from None
    expected = [part.keys() for part in root.walk()]
    if [part.keys() for part in message_from_bytes(content).walk()] != expected:
        raise ValueError("the headers do not read back as they were written")
    return content


def _headers(message: Message, domain: str) -> list[tuple[str, str]]:
    given = [(name, value) for name, value in message.headers if not _is_control(name)]
    to, cc = message.addressed or (message.to, message.cc)
    return [
        ("Message-ID", _kept_id(message) or f"<{message.id}@{domain}>"),
        ("Date", format_datetime(utc(timestamp(message.id)))),
        ("From", _addresses([message.sender])),
        ("To", _addresses(to)),
        ("Cc", _addresses(cc)),
        ("Reply-To", _addresses(message.reply_to)),
        ("Subject", _encoded(message.subject or "")),
        ("X-Relay-Message-Id", message.id),
        *((name, _encoded(value)) for name, value in given),
    ]


def _is_control(name: str) -> bool:
    return name.lower() == "message-id" or name.lower().startswith("x-pm-")


def _kept_id(message: Message) -> str | None:
    """Return the caller's own Message-ID, where it says so and it is one."""
    named = {name.lower(): value.strip() for name, value in message.headers}
    id = named.get("message-id", "")
    kept = named.get("x-pm-keepid", "").lower() == "true"
    return id if kept and id[:1] == "<" and id[-1:] == ">" and _ID.fullmatch(id[1:-1]) else None


def _with_parts(message: Message) -> Message:
    if message.template is None or message.is_rendered:
        return message
    model = {name: value for name, value in (message.model or {}).items() if isinstance(value, str)}
    subject, plain, markup = map(model.get, ("subject", "TextBody", "HtmlBody"))
    return replace(message, subject=subject, text=plain, html=markup)


def _content(message: Message) -> Part:
    """Build the parts: alternatives, what the HTML part refers to, and beside them the files."""
    inline: list[Attachment] = []
    files: list[Attachment] = []
    for one in message.attachments:
        (inline if message.html and _content_id(one) else files).append(one)
    root = _alternatives(message, inline)
    return _multipart("mixed", message, [root, *map(_file, files)]) if files else root


def _alternatives(message: Message, inline: Sequence[Attachment]) -> Part:
    if not message.html:
        return _text("plain", message.text or "")
    markup: Part = _text("html", message.html)
    if inline:
        shown = [_file(one, _content_id(one)) for one in inline]
        markup = _multipart("related", message, [markup, *shown], type="text/html")
    if message.text is None:
        return markup
    return _multipart("alternative", message, [_text("plain", message.text), markup])


def _multipart(kind: str, message: Message, parts: Sequence[Part], **values: Any) -> Part:
    # No part has a line with it: "=_" stands in neither of the encodings that are used here.
    boundary = "=_" + hashlib.sha256(f"{kind} {message.id}".encode()).hexdigest()[:32]
    return MIMEMultipart(kind, boundary, parts, **values)


def _text(kind: str, content: str) -> Part:
    part = MIMENonMultipart("text", kind)
    part.set_payload(content, _UTF8)
    return part


def _file(attachment: Attachment, content_id: str | None = None) -> Part:
    part = Part()
    part["Content-Type"] = named_media_type(attachment.content_type, attachment.name)
    part["Content-Transfer-Encoding"] = "base64"
    kind = "attachment" if content_id is None else "inline"
    part["Content-Disposition"] = disposition(kind, attachment.name)
    if content_id is not None:
        part["Content-ID"] = f"<{content_id}>"
    content = base64.b64decode(attachment.content, validate=True)
    part.set_payload(base64.encodebytes(content).decode("ascii"))
    return part


def _content_id(attachment: Attachment) -> str | None:
    """Return what the HTML part calls an attachment, behind `cid:`; None if it is no such name."""
    id = (attachment.content_id or "").removeprefix("cid:")
    return id if _ID.fullmatch(id) else None


def _encoded(value: str) -> str:
    """Encode a value as literal text: ASCII without encoded words stays readable."""
    return Header(value, "us-ascii" if _is_plain(value) else "utf-8", maxlinelen=76).encode()


def _is_plain(value: str) -> bool:
    return value.isascii() and "=?" not in value and not _UNFOLDABLE.search(value)


def _addresses(addresses: list[Address] | tuple[Address, ...]) -> str:
    return ",\n ".join(_address(address) for address in addresses)


def _address(address: Address) -> str:
    if _is_plain(address.name):
        return str(address)
    return f"{Header(address.name, 'utf-8').encode()} <{address.email}>"
