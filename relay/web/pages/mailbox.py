"""What the embedded mailbox took: listed newest first, and searched."""

from tornado.httputil import url_concat

from relay.core.ids import timestamp
from relay.store.queries import listing
from relay.web.pages.handler import PageHandler

ROWS = 25
MAX_WORDS = 200
# A row names this many recipients and counts the others.
NAMED = 3


class MailboxHandler(PageHandler):
    """GET /: a page of messages, those with `q` in a recipient or the subject, below an id."""

    async def get(self) -> None:
        words = self.get_query_argument("q", "")[:MAX_WORDS]
        below = self.get_query_argument("below", "") or None
        page = await self.site.store.read(listing.mailbox, below, ROWS, words)
        self.render(
            "mailbox.html",
            mails=page.rows,
            words=words,
            below=below,
            newest=url_concat("/", {"q": words} if words else {}),
            older=_older(page.below, words) if page.below else None,
            timestamp=timestamp,
            recipients=recipients,
        )


def recipients(stored: str) -> str:
    """Name the recipients of a message, the first few of many."""
    addresses = stored.split()
    named = ", ".join(addresses[:NAMED])
    others = len(addresses) - NAMED
    return f"{named} and {others} more" if others > 0 else named


def _older(below: str, words: str) -> str:
    return url_concat("/", {"q": words, "below": below} if words else {"below": below})


ROUTES = [(r"/", MailboxHandler)]
