"""Who did what, when, by which way, from where."""

from relay.operators import exports
from relay.operators.roles import Role
from relay.store import acts
from relay.store.acts import Wanted
from relay.store.engine.database import Connection
from relay.web.console.handler import ConsoleHandler, ListExportHandler

LIMIT = 100


class ActsHandler(ConsoleHandler):
    """GET /acts: newest first; ?q= is who, what, or to what."""

    role = Role.OPERATOR

    async def get(self) -> None:
        word = self.get_query_argument("q", "").strip()
        below = self.get_query_argument("below", "")
        wanted = Wanted(word, below=int(below) if below.isdecimal() and len(below) < 19 else None)
        page = await self.site.store.read(acts.page, wanted, LIMIT)
        self.render("acts.html", page=page, word=word)


class ActsExportHandler(ListExportHandler):
    """GET /acts/export: all of them as CSV, or as lines of JSON."""

    role = Role.OPERATOR

    async def get(self) -> None:
        self.hand_out("acts", await self.site.store.read(_exported, self.form_asked))


def _exported(connection: Connection, form: str) -> str:
    rows = map(exports.act_row, acts.everything(connection))
    return exports.text(exports.ACT, rows, form)


ROUTES = [(r"/acts", ActsHandler), (r"/acts/export", ActsExportHandler)]
