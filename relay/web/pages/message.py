"""One message that the embedded mailbox took: headers, parts, attachments, history, source."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from tornado.web import HTTPError

from relay.core.file_types import UNKNOWN_MEDIA, disposition, file_name, media_type
from relay.core.immutable import thaw
from relay.core.message import Message
from relay.core.mime import as_bytes
from relay.core.states import State
from relay.store import documents
from relay.store.queries import listing
from relay.store.queries.listing import StoredMessage
from relay.web.pages.handler import PART_POLICY, PageHandler, VisitHandler

KILOBYTE = 1024
# How HTML names a part of its own mail (RFC 2392).
_REFERENCE = re.compile(r"cid:([^\s\"'<>()]+)")


class Mail(NamedTuple):
    """A message, and what the outbox has of it."""

    message: Message
    found: StoredMessage


class MailReader(VisitHandler):
    """What shows a part of a message, whoever may see it."""

    async def mail(self, id: str) -> Mail:
        """Return a message; raise HTTPError 404 for one that is not shown here."""
        raise NotImplementedError


class HtmlPart(MailReader):
    """GET /messages/{id}/html: the HTML part, for a frame in which nothing can happen."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        if not mail.message.html:
            raise HTTPError(404)
        self.write_part(await asyncio.to_thread(with_images, mail.message.html, mail.message))


class RawPart(MailReader):
    """GET /messages/{id}/raw: the message as it would be mailed."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.write(await asyncio.to_thread(as_bytes, mail.message))


class AttachmentPart(MailReader):
    """GET /messages/{id}/attachments/{n}: the n-th attachment, from 1; to be saved, never shown."""

    async def get(self, id: str, number: str) -> None:
        message = (await self.mail(id)).message
        if not 1 <= int(number) <= len(message.attachments):
            raise HTTPError(404)
        attachment = message.attachments[int(number) - 1]
        content = await asyncio.to_thread(base64.b64decode, attachment.content)
        self.set_header("Content-Security-Policy", PART_POLICY)
        self.set_header("Content-Type", UNKNOWN_MEDIA)
        self.set_header("Content-Disposition", disposition("attachment", attachment.name))
        self.write(content)


class MailHandler(PageHandler, MailReader):
    """What the pages of one message share: finding it."""

    async def mail(self, id: str) -> Mail:
        """Return a message that the mailbox took; raise HTTPError 404 for any other."""
        found = await self.site.store.read(listing.find, id)
        if found is None or (found.row.delivery, found.row.state) != ("mailbox", State.SENT):
            raise HTTPError(404)
        if found.row.cleared_at is not None:
            raise HTTPError(404)
        # In a thread, as its source below: a message may have megabytes.
        message = await asyncio.to_thread(documents.load, id, found.content.document)
        return Mail(message, found)


class MessageHandler(MailHandler):
    """GET /messages/{id}: the message for people."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        self.render(
            "message.html",
            message=mail.message,
            row=mail.found.row,
            subject=mail.found.content.subject,
            headers=list(headers(mail.message)),
            history=listing.history(mail.found),
            file_name=file_name,
            size=size,
            model=pretty(mail.message.model),
        )


class HtmlHandler(HtmlPart, MailHandler):
    """The HTML part of what the mailbox took."""


class RawHandler(RawPart, MailHandler):
    """The source of what the mailbox took."""


class AttachmentHandler(AttachmentPart, MailHandler):
    """An attachment of what the mailbox took."""


def headers(message: Message) -> Iterator[tuple[str, str]]:
    """Name what stands above a message beside its subject; what is empty is left out."""
    named = [
        ("From", str(message.sender)),
        ("To", _joined(message.to)),
        ("Cc", _joined(message.cc)),
        ("Bcc", _joined(message.bcc)),
        ("Reply-To", _joined(message.reply_to)),
        ("Tag", message.tag),
        ("Stream", message.stream),
        *message.headers,
        ("Metadata", _metadata(message)),
    ]
    return ((name, value) for name, value in named if value)


def with_images(markup: str, message: Message) -> str:
    """Put the images that come with a message where its HTML part refers to them."""
    images = {
        one.content_id.removeprefix("cid:"): f"data:{kind};base64,{one.content}"
        for one in message.attachments
        if one.content_id and (kind := media_type(one.content_type)).lower().startswith("image/")
    }
    return _REFERENCE.sub(lambda found: images.get(unquote(found[1]), found[0]), markup)


def size(content: str) -> str:
    """Write for people how many bytes there are in base64 without line breaks."""
    count = len(content) * 3 // 4 - content[-2:].count("=")
    if count < KILOBYTE:
        return f"{count} bytes"
    if count < KILOBYTE**2:
        return f"{count / KILOBYTE:.1f} kB"
    return f"{count / KILOBYTE**2:.1f} MB"


def pretty(model: Any) -> str:
    """Write a template's model as JSON for people."""
    return json.dumps(thaw(model), indent=2, ensure_ascii=False)


def _metadata(message: Message) -> str:
    """Write what the caller labelled its message with, without the relay's own label."""
    given = {name: value for name, value in message.metadata.items() if value != message.id}
    return "; ".join(f"{name}: {value}" for name, value in given.items())


def _joined(addresses: Sequence[object]) -> str:
    return ", ".join(map(str, addresses))


ROUTES = [
    (r"/messages/([0-9a-f-]{36})", MessageHandler),
    (r"/messages/([0-9a-f-]{36})/html", HtmlHandler),
    (r"/messages/([0-9a-f-]{36})/raw", RawHandler),
    (r"/messages/([0-9a-f-]{36})/attachments/([0-9]{1,4})", AttachmentHandler),
]
