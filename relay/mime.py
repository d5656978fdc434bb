"""A message as RFC 5322 text, with every header's value kept the text it is.

Built with the older classes of `email` on purpose: their Header encodes a value as literal text,
where the newer ones decode `=?...?=` inside it and so let it break out, on Pythons still in use.
"""

import re
from dataclasses import replace
from email import message_from_bytes
from email.charset import QP, Charset
from email.errors import MessageError
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.utils import format_datetime

from relay.addresses import Address
from relay.ids import timestamp
from relay.message import Message
from relay.times import utc

_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP

# A line has 998 characters at most, and plain text is folded only where it has blanks.
_UNFOLDABLE = re.compile(r"[^ ]{900}")


def as_bytes(message: Message, domain: str = "relay") -> bytes:
    """Serialise a message; raise ValueError if it does not read back as the headers it was given.

    The Message-ID is made of the message's id, so that every attempt has the same one. Bcc is left
    out, as it is in what recipients get. A message with a template has its model's subject and
    parts: what the template would be given.
    """
    message = _with_parts(message)
    root = _body(message)
    try:
        given = [(name, value) for name, value in _headers(message, domain) if value]
        for name, value in given:
            root[name] = value
        content = root.as_bytes()
    except MessageError:
        raise ValueError("a header would break into several") from None
    expected = [*_structure(message), *(name for name, _ in given)]
    if message_from_bytes(content).keys() != expected:
        raise ValueError("the headers do not read back as they were written")
    return content


def _headers(message: Message, domain: str) -> list[tuple[str, str]]:
    return [
        ("Message-ID", f"<{message.id}@{domain}>"),
        ("Date", format_datetime(utc(timestamp(message.id)))),
        ("From", _addresses([message.sender])),
        ("To", _addresses(message.to)),
        ("Cc", _addresses(message.cc)),
        ("Reply-To", _addresses(message.reply_to)),
        ("Subject", _encoded(message.subject or "")),
        ("X-Relay-Message-Id", message.id),
        *((name, _encoded(value)) for name, value in message.headers),
    ]


def _with_parts(message: Message) -> Message:
    if message.template is None:
        return message
    model = {name: value for name, value in (message.model or {}).items() if isinstance(value, str)}
    subject, plain, markup = map(model.get, ("subject", "TextBody", "HtmlBody"))
    return replace(message, subject=subject, text=plain, html=markup)


def _structure(message: Message) -> list[str]:
    if message.html and message.text is not None:
        return ["Content-Type", "MIME-Version"]
    return ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]


def _body(message: Message) -> MIMEMultipart | MIMENonMultipart:
    if message.html and message.text is not None:
        return MIMEMultipart(
            "alternative", _subparts=[_part("plain", message.text), _part("html", message.html)]
        )
    if message.html:
        return _part("html", message.html)
    return _part("plain", message.text or "")


def _part(kind: str, content: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", kind)
    part.set_payload(content, _UTF8)
    return part


def _encoded(value: str) -> str:
    """Encode a value as literal text: ASCII without encoded words stays readable."""
    plain = value.isascii() and "=?" not in value and not _UNFOLDABLE.search(value)
    return Header(value, "us-ascii" if plain else "utf-8", maxlinelen=76).encode()


def _addresses(addresses: list[Address] | tuple[Address, ...]) -> str:
    return ",\n ".join(_address(address) for address in addresses)


def _address(address: Address) -> str:
    if address.name.isascii() and "=?" not in address.name:
        return str(address)
    return f"{Header(address.name, 'utf-8').encode()} <{address.email}>"
