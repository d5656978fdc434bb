"""One message that the embedded mailbox took: its headers, its parts, its history, its source."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tornado.web import HTTPError

from relay.message import Message, thaw
from relay.mime import as_bytes
from relay.store import documents, listing
from relay.web.pages.handler import PageHandler

# What somebody else wrote: nothing of it runs, and nothing of it is fetched from anywhere.
PART_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "form-action 'none'; frame-ancestors 'self'; base-uri 'none'"
)


class Mail(NamedTuple):
    """A message, its row in the outbox, its searchable contents and its attempts in order."""

    message: Message
    row: Any
    content: Any
    attempts: Sequence[Any]


class MailHandler(PageHandler):
    """What the pages of one message share: finding it."""

    async def mail(self, id: str) -> Mail:
        """Give a message that the mailbox took; raise HTTPError 404 for every other."""
        found = await self.site.store.read(listing.find, id)
        if found is None or (found[0].delivery, found[0].state) != ("mailbox", "sent"):
            raise HTTPError(404)
        row, content, attempts = found
        # In a thread, as its source below: a message may have megabytes.
        message = await asyncio.to_thread(documents.load, id, content.document)
        return Mail(message, row, content, attempts)


class MessageHandler(MailHandler):
    """GET /messages/{id}: the message for people."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        self.render(
            "message.html",
            message=mail.message,
            row=mail.row,
            subject=mail.content.subject,
            headers=list(headers(mail)),
            history=list(history(mail)),
            model=pretty(mail.message.model),
        )


class HtmlHandler(MailHandler):
    """GET /messages/{id}/html: the HTML part, for a frame in which nothing can happen."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        if not mail.message.html:
            raise HTTPError(404)
        self.set_header("Content-Security-Policy", PART_POLICY)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(mail.message.html)


class RawHandler(MailHandler):
    """GET /messages/{id}/raw: the message as it would be mailed."""

    async def get(self, id: str) -> None:
        mail = await self.mail(id)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.write(await asyncio.to_thread(as_bytes, mail.message))


def headers(mail: Mail) -> Iterator[tuple[str, str]]:
    """Name what stands above a message beside its subject; what is empty is left out."""
    message = mail.message
    named = [
        ("From", str(message.sender)),
        ("To", _joined(message.to)),
        ("Cc", _joined(message.cc)),
        ("Bcc", _joined(message.bcc)),
        ("Reply-To", _joined(message.reply_to)),
        ("Tag", message.tag),
        *message.headers,
    ]
    return ((name, value) for name, value in named if value)


def history(mail: Mail) -> Iterator[tuple[float, str]]:
    """Tell what became of a message, each with its time in epoch seconds."""
    row = mail.row
    yield row.created_at, f"accepted with key {row.key}" if row.key else "accepted"
    for attempt in mail.attempts:
        seconds = attempt.ended_at - attempt.started_at
        words = f": {attempt.words}" if attempt.words else ""
        yield (
            attempt.ended_at,
            f"{attempt.outcome} by {attempt.delivery} after {seconds:.2f} s{words}",
        )


def pretty(model: Any) -> str:
    """Write a template's model as JSON for people."""
    return json.dumps(thaw(model), indent=2, ensure_ascii=False)


def _joined(addresses: Sequence[object]) -> str:
    return ", ".join(map(str, addresses))


ROUTES = [
    (r"/messages/([0-9a-f-]{36})", MessageHandler),
    (r"/messages/([0-9a-f-]{36})/html", HtmlHandler),
    (r"/messages/([0-9a-f-]{36})/raw", RawHandler),
]
