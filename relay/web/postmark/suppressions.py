"""/message-streams/{id}/suppressions: the addresses that get no mail, listed, added and lifted.

They are the server's whole group's, so that every stream has the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, ClassVar, Literal, NamedTuple

from relay.core import addresses, clock
from relay.core.times import utc
from relay.store.suppressions import Word
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.reading import Fields
from relay.web.postmark.servers import StreamsHandler

# Postmark's limit for one call.
MAX_CHANGES = 50


class Why(NamedTuple):
    """Why an address gets no mail, and who said so, in Postmark's words."""

    reason: str
    origin: str


WHYS: Mapping[str, Why] = {
    "bounced": Why("HardBounce", "Recipient"),
    "complained": Why("SpamComplaint", "Recipient"),
    "unsubscribed": Why("ManualSuppression", "Recipient"),
    "refused": Why("HardBounce", "Recipient"),
    "manual": Why("ManualSuppression", "Customer"),
}
# What only the recipient may take back.
THEIRS = ("complained", "unsubscribed")

INVALID = "An invalid email address was provided."
NOT_YOURS = "You do not have the required authority to change this suppression."


class SuppressionsHandler(StreamsHandler):
    """What these calls share."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    shared_methods = ("POST",)

    async def change(
        self,
        stream: str,
        reason: Literal["manual", "lifted"],
        status: str,
        objection: Callable[[str, Mapping[str, str]], str],
    ) -> None:
        """Note one word on each address of the body; answer what came of each."""
        await self.stream(stream)
        given = _emails(Fields(await self.json()))
        read = [_email(one, self.chain.server.named_domains) for one in given]
        now = clock.now()
        rows = await self.site.suppressions.about(self.group, read, now)
        known = {row.address: row.reason for row in rows}
        words = [objection(email, known) if email else INVALID for email in read]
        good = [email for email, wrong in zip(read, words, strict=True) if not wrong]
        await self.site.orders.suppress(
            [Word(self.group, email, reason, now, words="by the API") for email in good], self.by
        )
        responses = [
            {"EmailAddress": one, "Status": "Failed" if wrong else status, "Message": wrong or None}
            for one, wrong in zip(given, words, strict=True)
        ]
        self.respond({"Suppressions": responses})


class SuppressionsDumpHandler(SuppressionsHandler):
    """GET .../suppressions/dump: those of a reason, an origin, some days (UTC), or one address."""

    methods: ClassVar[tuple[str, ...]] = ("GET",)

    async def get(self, stream: str) -> None:
        await self.stream(stream)
        first, last = self._day("fromdate", date.min), self._day("todate", date.max)
        wanted = [(self.query(name) or "").lower() for name in ("SuppressionReason", "Origin")]
        email = self.query("EmailAddress")
        only = None if email is None else [email.lower()]
        rows = await self.site.suppressions.about(self.group, only, clock.now())
        await self.respond_aside(lambda: {"Suppressions": list(_shown(rows, first, last, *wanted))})

    def _day(self, name: str, otherwise: date) -> date:
        given = self.query(name)
        try:
            return otherwise if given is None else datetime.fromisoformat(given).date()
        except ValueError:
            raise PostmarkError(300, f"The '{name}' is not a date.") from None


class AddHandler(SuppressionsHandler):
    """POST .../suppressions with up to 50 addresses."""

    async def post(self, stream: str) -> None:
        await self.change(stream, "manual", "Suppressed", lambda email, known: "")


class LiftHandler(SuppressionsHandler):
    """POST .../suppressions/delete with up to 50 addresses."""

    async def post(self, stream: str) -> None:
        def objection(email: str, known: Mapping[str, str]) -> str:
            return NOT_YOURS if known.get(email) in THEIRS else ""

        await self.change(stream, "lifted", "Deleted", objection)


def _shown(
    rows: Sequence[Any], first: date, last: date, reason: str, origin: str
) -> Iterator[dict[str, Any]]:
    for row in rows:
        why, since = WHYS[row.reason], utc(row.since)
        if (
            first <= since.date() <= last
            and reason in ("", why.reason.lower())
            and origin in ("", why.origin.lower())
        ):
            yield {
                "EmailAddress": row.address,
                "SuppressionReason": why.reason,
                "Origin": why.origin,
                "CreatedAt": since.isoformat(timespec="seconds"),
            }


def _emails(fields: Fields) -> list[str]:
    """Read the addresses of a body; raise PostmarkError."""
    listed = fields.items("Suppressions")
    if not 0 < len(listed) <= MAX_CHANGES:
        raise PostmarkError(300, f"'Suppressions' are 1 to {MAX_CHANGES} addresses.")
    return [Fields(one, "Suppressions").text("EmailAddress") or "" for one in listed]


def _email(given: str, domains: frozenset[str]) -> str:
    """Return an address as it is compared; "" for none."""
    try:
        return addresses.parse(given, domains).email.lower()
    except ValueError:
        return ""


_PLACE = r"(?i)/message-streams/([^/]+)/suppressions"

ROUTES = [
    (rf"{_PLACE}/dump/?", SuppressionsDumpHandler),
    (rf"{_PLACE}/?", AddHandler),
    (rf"{_PLACE}/delete/?", LiftHandler),
]
