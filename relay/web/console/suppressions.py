"""The addresses that get no mail: added, lifted, brought in and taken away."""

import csv
import io
from typing import Any, ClassVar

from tornado.web import HTTPError

from relay.core import clock
from relay.core.addresses import ANY_DOMAIN, parse
from relay.core.times import utc
from relay.operators import exports
from relay.operators.roles import Role
from relay.store import suppressions
from relay.store.engine.database import Connection
from relay.store.outbox import resend
from relay.store.suppressions import Reason, Word
from relay.web.console.handler import ConsoleHandler, ListExportHandler

LIMIT = 100
MOST_BROUGHT_IN = 1000
COLUMNS = ("group", "address", "reason", "since", "until", "message", "words")


class SuppressionsHandler(ConsoleHandler):
    """GET /suppressions: the list; POST /suppressions: add addresses, or lift one."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.OPERATOR

    async def get(self) -> None:
        await self.show()

    async def show(self, problem: str = "", typed: str = "") -> None:
        """Show the list; problem: what was wrong with what was typed, which is kept."""
        group = self.get_query_argument("group", "") or None
        below = self.get_query_argument("below", "").partition(" ")
        after = (below[0], below[2]) if below[2] else None
        page = await self.site.store.read(suppressions.page, group, clock.now(), after, LIMIT)
        self.render(
            "suppressions.html",
            page=page,
            group=group or "",
            groups=self.configuration.groups,
            problem=problem,
            typed=typed,
        )

    async def post(self) -> None:
        asked = await self.form()
        group, order = asked.get("group", ""), asked.get("order")
        if group not in self.configuration.groups or order not in ("add", "lift"):
            raise HTTPError(400)
        typed = asked.get("addresses", "")
        try:
            emails = addresses_of(typed)
        except ValueError as error:
            self.set_status(400)
            await self.show(str(error), typed)
            return
        reason: Reason = "manual" if order == "add" else "lifted"
        words = asked.get("words", "").strip() or f"by {self.operator.name}"
        now = clock.now()
        given = [Word(group, email, reason, now, words=words) for email in emails]
        changed = sum(await self.site.orders.suppress(given, self.by))
        await self._say(changed, order, emails)

    async def _say(self, changed: int, order: str, emails: list[str]) -> None:
        done = f"{changed} suppressed" if order == "add" else f"{changed} lifted"
        unchanged = len(emails) - changed
        words = f"{done}; {unchanged} so already." if unchanged else f"{done}."
        if order == "lift":
            held = sum([await self.site.store.read(resend.count, email) for email in emails])
            words += f" {held} held for it: see To do." if held else ""
        self.go_to("/suppressions", words)


class SuppressionsExportHandler(ListExportHandler):
    """GET /suppressions/export: all of them as CSV, or as lines of JSON."""

    role = Role.OPERATOR

    async def get(self) -> None:
        text = await self.site.store.read(_exported, self.form_asked, clock.now())
        self.hand_out("suppressions", text)


def addresses_of(text: str) -> list[str]:
    """Read addresses: one on each line, or the `address` column of a CSV; raise ValueError."""
    rows = list(csv.reader(io.StringIO(text)))
    if rows and "address" in rows[0]:
        place = rows[0].index("address")
        rows = [[row[place]] for row in rows[1:] if len(row) > place]
    found = []
    for number, row in enumerate(rows, 1):
        one = row[0].strip() if row else ""
        if not one:
            continue
        try:
            found.append(parse(one, ANY_DOMAIN).email.lower())
        except ValueError as error:
            raise ValueError(f"line {number}, {one[:100]}: {error}; nothing was done") from None
    if not found:
        raise ValueError("no address was given")
    if len(found) > MOST_BROUGHT_IN:
        raise ValueError(f"{MOST_BROUGHT_IN:,} addresses at a time; these are {len(found):,}")
    return list(dict.fromkeys(found))


def _exported(connection: Connection, form: str, now: float) -> str:
    words = sorted(suppressions.active(connection, now), key=lambda one: (one.server, one.address))
    return exports.text(COLUMNS, map(_row, words), form)


def _row(word: Word) -> dict[str, Any]:
    def moment(at: float | None) -> str:
        return "" if at is None else utc(at).isoformat(timespec="seconds")

    return {
        "group": word.server,
        "address": word.address,
        "reason": word.reason,
        "since": moment(word.since),
        "until": moment(word.until),
        "message": word.message or "",
        "words": word.words,
    }


ROUTES = [
    (r"/suppressions", SuppressionsHandler),
    (r"/suppressions/export", SuppressionsExportHandler),
]
