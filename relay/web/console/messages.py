"""The messages: searched by words over every state, newest first, and taken away as a list."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tornado.web import HTTPError

from relay.core import clock
from relay.core.states import State
from relay.core.times import shown, utc
from relay.operators import exports, query
from relay.operators.query import Query
from relay.operators.roles import Role
from relay.store import acts
from relay.store.acts import Act
from relay.store.engine.database import Connection
from relay.store.queries import word_search
from relay.store.queries.word_search import Found, Wanted
from relay.store.words.texts import FoundMessage
from relay.web.console.handler import ConsoleHandler, ListExportHandler

LIMIT = 50
# So many are taken away at once, and read at a time.
MOST_EXPORTED, CHUNK = 10_000, 500
COLUMNS = (
    *("id", "created_at", "state", "server", "reference", "writer"),
    *("recipients", "subject", "tag", "words"),
)
OF_ROLE = "Your role searches by server, state, time and id alone."


class Chip(NamedTuple):
    """A state or a server that one click searches for, or does no more."""

    name: str
    path: str
    is_on: bool


class SearchHandler(ConsoleHandler):
    """What the list and its export share: what is looked for."""

    role = Role.VIEWER

    @property
    def words(self) -> str:
        """What was typed."""
        return self.get_query_argument("q", "").strip()[:500]

    def query(self) -> Query:
        """Read what is looked for, as far as the person's role may look."""
        read = query.parse(self.words, now=clock.now())
        wanted = read.wanted
        if self.may(Role.OPERATOR) or not (wanted.terms or wanted.tag or wanted.reference):
            return read
        allowed = wanted._replace(terms=(), tag="", reference="")
        return Query(allowed, [*read.problems, OF_ROLE])


class MessagesHandler(SearchHandler):
    """GET /messages?q=: what was found, newest first; ?below= is the next page."""

    async def get(self) -> None:
        below, asked = self.get_query_argument("below", None), self.query()
        found = Found([], None)
        if not asked.problems:
            found = await self.site.store.read(word_search.find, asked.wanted, below, LIMIT)
        older = found.below and f"/messages?{urlencode({'q': self.words, 'below': found.below})}"
        self.render(
            "messages.html",
            words=self.words,
            problems=asked.problems,
            found=found,
            older=older,
            below=below,
            states=list(self._chips("state", State, asked.wanted.states)),
            servers=list(self._chips("server", self.configuration.chains, asked.wanted.servers)),
            notes=list(notes(found)),
            urlencode=urlencode,
        )

    def _chips(self, name: str, values: Any, chosen: Any) -> Iterator[Chip]:
        """Return what one click adds to the search, or takes away."""
        parts = [one for one in self.words.split() if not one.lower().startswith(f"{name}:")]
        for value in values:
            is_on = value in chosen
            others = [one for one in chosen if one != value] if is_on else [*chosen, value]
            asked = [*parts, *([f"{name}:{','.join(others)}"] if others else [])]
            yield Chip(str(value), f"/messages?{urlencode({'q': ' '.join(asked)})}", is_on)


class MessagesExportHandler(SearchHandler, ListExportHandler):
    """GET /messages/export?q=: what was found, as CSV or as lines of JSON."""

    role = Role.OPERATOR

    async def get(self) -> None:
        form, asked = self.form_asked, self.query()
        if asked.problems:
            raise HTTPError(400)
        await self.site.store.write(acts.noted, Act(clock.now(), self.by, "export", "messages"))
        self.hand_out("messages", await self.site.store.read(_exported, asked.wanted, form))


def notes(found: Found) -> Iterator[str]:
    """Say what was not searched."""
    if found.searched_to is not None:
        yield f"Searched back to {shown(found.searched_to)}; older messages may be there."
    for since, until in found.unindexed:
        span = f"before {shown(until)}" if since is None else f"{shown(since)} to {shown(until)}"
        yield f"Not searched yet, because the index is being made: {span}."


def _exported(connection: Connection, wanted: Wanted, form: str) -> str:
    return exports.text(COLUMNS, map(_row, _all(connection, wanted)), form)


def _all(connection: Connection, wanted: Wanted) -> Iterator[FoundMessage]:
    """Return what is found, page after page, MOST_EXPORTED at most."""
    below, left = None, MOST_EXPORTED
    while left > 0:
        found = word_search.find(connection, wanted, below, min(CHUNK, left))
        yield from found.rows
        left -= len(found.rows)
        below = found.below
        if below is None:
            return


def _row(one: FoundMessage) -> dict[str, Any]:
    at = utc(one.created_at).isoformat(timespec="seconds")
    return {**one._asdict(), "created_at": at, "state": str(one.state)}


ROUTES = [(r"/messages", MessagesHandler), (r"/messages/export", MessagesExportHandler)]
