"""One message: why it is as it is, all that happened to it, what it says, what can be ordered."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from tornado.web import HTTPError

from relay.core import clock, origin
from relay.core.file_types import file_name
from relay.core.immutable import thaw
from relay.core.message import Message
from relay.core.states import State
from relay.core.submission import Submission
from relay.hooks.chain import Chain
from relay.operators import timeline
from relay.operators.explanation import Circumstances, explain
from relay.operators.roles import Role
from relay.operators.timeline import Told, without_contents
from relay.store import documents, installation, suppressions
from relay.store.cluster import daemons
from relay.store.engine.database import Connection
from relay.store.outbox import operator_actions
from relay.store.queries import listing
from relay.store.queries.listing import StoredMessage
from relay.store.schema import BROKEN
from relay.store.suppressions import Word
from relay.web.console.handler import ConsoleHandler
from relay.web.pages.message import (
    AttachmentPart,
    HtmlPart,
    Mail,
    MailReader,
    RawPart,
    headers,
    pretty,
    size,
)

# What the buttons say, and what is done.
ORDERS = {
    "retry": ("Try again", "queues it for its next attempt now"),
    "release": ("Release", "lets it go on"),
    "found": ("It was sent", "you found it at the provider: it counts as sent"),
    "cancel": ("Cancel", "it is never sent"),
    "dismiss": ("Dismiss", "you have seen it: it leaves the list"),
    "release_submission": ("Send it", "takes the form as if it came now"),
    "drop_submission": ("Drop it", "clears what it says"),
}
# Orders after which it may arrive a second time, where nobody knows about the first.
SENDING = operator_actions.SENDING


class _Around(NamedTuple):
    """What the store has beside a message: pauses, words on its recipients, and whether it is sure.

    is_doubtful: whether the provider may have it, though it is not called sent. elsewhere: the
    providers that fail other daemons.
    """

    pauses: dict[str, float]
    suppressed: Sequence[Word]
    is_doubtful: bool
    elsewhere: Sequence[Mapping[str, Any]]


class MessageHandler(ConsoleHandler):
    """GET /messages/{id}: the page of a message, as far as the person's role may see it."""

    role = Role.VIEWER

    async def get(self, id: str) -> None:
        told = await self.site.store.read(timeline.gather, id)
        if told is None:
            raise HTTPError(404)
        may_read = self.may(Role.OPERATOR)
        around = await self.site.store.read(self._around, told.found)
        message, submission = None, None
        if may_read:
            message, submission = await asyncio.to_thread(_contents, told.found)
        else:
            told = without_contents(told)
        row = told.found.row
        why = explain(told.found, self._circumstances(around))
        self.render(
            "message.html",
            row=row,
            why=why,
            told=told,
            subject=told.found.content.subject or _subject(submission),
            recipients=self._recipients(told),
            entries=timeline.timeline(told),
            next=timeline.NEXT.get(row.state, ""),
            fields=timeline.fields(origin.load(told.found.content.origin)),
            may_read=may_read,
            message=message,
            submission=submission,
            suppressed=around.suppressed if may_read else (),
            is_doubtful=around.is_doubtful,
            orders=ORDERS,
            sending=SENDING,
            link=self._link,
            headers=[] if message is None else list(headers(message)),
            values=[] if submission is None else _values(submission),
            file_name=file_name,
            size=size,
            model="" if message is None or message.model is None else pretty(message.model),
        )

    def _around(self, connection: Connection, found: StoredMessage) -> _Around:
        known = self.configuration.chains.get(found.row.server)
        group = known.server.group if known else found.row.server
        recipients = found.content.recipients.split()
        id = found.row.id
        return _Around(
            installation.paused_servers(connection),
            suppressions.of(connection, group, recipients, clock.now()) if recipients else (),
            id in operator_actions.doubtful(connection, [id]),
            daemons.outages(connection),
        )

    def _circumstances(self, around: _Around) -> Circumstances:
        dispatcher, chains = self.site.dispatcher, self.configuration.chains
        outages = [one._asdict() for one in dispatcher.outages()]
        down = {(one["group"], one["plugin"]) for one in (*outages, *around.elsewhere)}
        return Circumstances(
            self.configuration.servers,
            clock.now(),
            self.configuration.settings.path.name,
            around.pauses,
            outages or around.elsewhere,
            [
                name
                for name, chain in chains.items()
                if not dispatcher.can_deliver(name) or _is_cut_off(chains[chain.server.group], down)
            ],
        )

    def _recipients(self, told: Told) -> list[tuple[str, str]]:
        """Return the recipients, each with what became of it."""
        state = told.found.row.state
        return [
            (address, told.fates[address][0] if address in told.fates else state)
            for address in told.found.content.recipients.split()
        ]

    @property
    def _link(self) -> str:
        base = self.configuration.settings.console.public_url
        host = f"{self.request.protocol}://{self.request.host}"
        return f"{(base or host).rstrip('/')}{self.request.path}"


class PartHandler(ConsoleHandler, MailReader):
    """What the pages of one message's parts share: they are for those who see contents."""

    role = Role.OPERATOR

    async def mail(self, id: str) -> Mail:
        found = await self.site.store.read(listing.find, id)
        message = None if found is None else (await asyncio.to_thread(_contents, found))[0]
        if found is None or message is None:
            raise HTTPError(404)
        return Mail(message, found)


class HtmlHandler(HtmlPart, PartHandler):
    """Its HTML part, for a frame in which nothing can happen."""


class RawHandler(RawPart, PartHandler):
    """Its source."""


class AttachmentHandler(AttachmentPart, PartHandler):
    """One of its attachments."""


def _is_cut_off(group: Chain, down: Collection[tuple[str, str]]) -> bool:
    """Return whether every plugin that delivers for a group fails somewhere."""
    name = group.server.name
    return bool(down) and all((name, plugin) in down for plugin in group.deliver_plugins)


def _contents(found: StoredMessage) -> tuple[Message | None, Submission | None]:
    """Read what a message says, or what was submitted where that is no message yet."""
    row, document = found.row, found.content.document
    try:
        if row.state == State.SCREENED or row.kind == BROKEN:
            return None, documents.load_submission(row.server, document)
        return documents.load(row.id, document), None
    except (KeyError, TypeError, ValueError):
        return None, None  # it was cleared, or cannot be read


def _subject(submission: Submission | None) -> str:
    subject = "" if submission is None else submission.fields.get("subject", "")
    return subject if isinstance(subject, str) else ""


def _values(submission: Submission) -> list[tuple[str, Any]]:
    """Return the fields of a submission for people, and the names of its files."""
    fields = [
        (name, value if isinstance(value, str) else pretty(thaw(value)))
        for name, value in submission.fields.items()
    ]
    return fields + [(one.field_name, f"file {one.name}") for one in submission.files]


_MESSAGE = r"/messages/([0-9a-f-]{36})"

ROUTES = [
    (_MESSAGE, MessageHandler),
    (rf"{_MESSAGE}/html", HtmlHandler),
    (rf"{_MESSAGE}/raw", RawHandler),
    (rf"{_MESSAGE}/attachments/([0-9]{{1,4}})", AttachmentHandler),
]
