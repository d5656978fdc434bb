"""/messages/outbound: the messages of the caller's own server, and what became of each.

Times are in UTC, in questions as in answers. Asking for `processed` messages finds those that were
sent too, as it does there.
"""

import math
from datetime import UTC, datetime, timedelta

from relay.core import addresses
from relay.intake.outbox import MAX_METADATA
from relay.store.queries import search
from relay.store.queries.listing import StoredMessage
from relay.store.queries.search import Search
from relay.web.postmark import history
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.handler import PostmarkHandler
from relay.web.postmark.history import STATUSES, ServerNames
from relay.web.postmark.servers import default_stream, is_sandbox

MAX_COUNT = 500
MAX_REACH = 10_000
LABEL = "metadata_"


class OutboundHandler(PostmarkHandler):
    """What the calls about messages share: the caller's server."""

    def names(self) -> ServerNames:
        """Return what is the same for all messages of the server."""
        group = self.group_chain
        return ServerNames(
            default_stream(group.server), is_sandbox(group), self.site.outbox.metadata_key
        )

    async def stored(self, id: str) -> StoredMessage:
        """Return a message of the caller's server; every other is unknown."""
        server = self.chain.server.name
        stored = await self.site.store.read(search.one, server, id.lower())
        if stored is None:
            raise PostmarkError(701, "This message was not found.")
        return stored


class SearchHandler(OutboundHandler):
    """GET /messages/outbound: what the caller looks for, newest first."""

    async def get(self) -> None:
        names = self.names()
        count, offset = self._page()
        found = await self.site.store.read(search.find, self._search(names), offset, count)
        shown = [history.shown_message(listed, names) for listed in found.page]
        self.respond({"TotalCount": found.total, "Messages": shown})

    def _page(self) -> tuple[int, int]:
        count, offset = self.query_number("count"), self.query_number("offset")
        if count is None or offset is None or not 1 <= count <= MAX_COUNT:
            words = f"'count' (1 to {MAX_COUNT}) and 'offset' must be given."
            raise PostmarkError(700, words)
        if count + offset > MAX_REACH:
            raise PostmarkError(700, f"'count' and 'offset' together are {MAX_REACH} at most.")
        return count, offset

    def _search(self, names: ServerNames) -> Search:
        given = self._filters()
        status = given.get("status")
        return Search(
            server=self.chain.server.name,
            since=_moment(given, "fromdate"),
            before=_moment(given, "todate", timedelta(days=1), timedelta(seconds=1)),
            states=_states(status) if status is not None else None,
            recipient=_address(given.get("recipient")),
            sender=_address(given.get("fromemail")),
            tag=given.get("tag"),
            subject=given.get("subject"),
            streams=_streams(given.get("messagestream"), names.stream),
            labels=self._labels(),
        )

    def _filters(self) -> dict[str, str]:
        """Return the parameters that say something, names in lower case."""
        items = self.request.query_arguments.items()
        given = {name.lower(): _text(values[-1]).strip() for name, values in items}
        return {name: value for name, value in given.items() if value}

    def _labels(self) -> list[tuple[str, str]]:
        labels = []
        for given, values in self.request.query_arguments.items():
            # The names of parameters come as Latin-1, whatever they are.
            name = _text(given.encode("latin-1")).lower()
            if name.startswith(LABEL):
                labels.append((name.removeprefix(LABEL), _text(values[-1])))
        if len(labels) > MAX_METADATA:
            raise PostmarkError(700, f"No message has more than {MAX_METADATA} metadata fields.")
        return labels


class DetailsHandler(OutboundHandler):
    """GET /messages/outbound/{id}/details: one message with its parts, its source, its history."""

    async def get(self, id: str) -> None:
        names = self.names()
        stored = await self.stored(id)
        await self.respond_aside(lambda: history.details(stored, names))


class MessageDumpHandler(OutboundHandler):
    """GET /messages/outbound/{id}/dump: one message's source."""

    async def get(self, id: str) -> None:
        stored = await self.stored(id)
        await self.respond_aside(lambda: history.dump(stored))


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise PostmarkError(700, "The query is not UTF-8.") from None


def _address(value: str | None) -> str | None:
    """Return an address as it is stored; what is none is found nowhere."""
    try:
        return addresses.parse(value).email.lower() if value else None
    except ValueError:
        return (value or "").lower()


def _states(status: str) -> list[str]:
    words = {"processed": ("Processed", "Sent")}.get(status.lower(), (status.capitalize(),))
    states = [state for state, word in STATUSES.items() if word in words]
    if not states:
        raise PostmarkError(700, "'status' is queued, sent or processed.")
    return states


def _streams(stream: str | None, default: str) -> list[str] | None:
    """Return the streams to look for; messages that name none have none in the store."""
    if stream is None:
        return None
    return [stream, ""] if stream.lower() == default.lower() else [stream]


def _moment(
    given: dict[str, str],
    name: str,
    day: timedelta = timedelta(),
    second: timedelta = timedelta(),
) -> float | None:
    """Read a time in epoch seconds, with `day` added to a date and `second` to a time of day."""
    if name not in given:
        return None
    try:
        moment = datetime.fromisoformat(given[name])
        moment += day if len(given[name]) <= len("2014-02-01") else second
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        return math.inf  # the last day that there is, and one more
    except ValueError:
        words = f"'{name}' looks like 2014-02-01 or 2014-02-01T07:25:01, in UTC."
        raise PostmarkError(700, words) from None


ROUTES = [
    (r"(?i)/messages/outbound/?", SearchHandler),
    (r"(?i)/messages/outbound/([^/]+)/details/?", DetailsHandler),
    (r"(?i)/messages/outbound/([^/]+)/dump/?", MessageDumpHandler),
]
