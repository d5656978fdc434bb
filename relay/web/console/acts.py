"""Who did what, when, by which way, from where."""

from tornado.web import HTTPError

from relay.operators import exports
from relay.operators.roles import Role
from relay.store import acts
from relay.store.acts import Wanted
from relay.store.engine.database import Connection
from relay.web.console.handler import ConsoleHandler

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


class ActsExportHandler(ConsoleHandler):
    """GET /acts/export: all of them as CSV, or as lines of JSON."""

    role = Role.OPERATOR

    async def get(self) -> None:
        form = self.get_query_argument("as", "csv")
        if form not in exports.FORMS:
            raise HTTPError(400)
        text = await self.site.store.read(_exported, form)
        kind = "text/csv" if form == "csv" else "application/x-ndjson"
        self.set_header("Content-Type", f"{kind}; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="acts.{form}"')
        self.write(text)


def _exported(connection: Connection, form: str) -> str:
    rows = map(exports.act_row, acts.everything(connection))
    return "".join(f"{line}\n" for line in exports.lines(exports.ACT, rows, form))


ROUTES = [(r"/acts", ActsHandler), (r"/acts/export", ActsExportHandler)]
