"""What was kept back: robots' submissions, and those that a plugin failed at."""

from typing import ClassVar

from tornado.web import HTTPError

from relay.operators.roles import Role
from relay.store.outbox import screened
from relay.store.queries import listing
from relay.store.schema import BROKEN
from relay.web.console.handler import ConsoleHandler

LIMIT = 50


class ScreenedHandler(ConsoleHandler):
    """GET /screened: the list, newest first; POST /screened: release or drop what is ticked."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.OPERATOR

    async def get(self) -> None:
        below = self.get_query_argument("below", None)
        page = await self.site.store.read(listing.screened, below, LIMIT)
        rates = await self.site.store.read(screened.rates)
        self.render("screened.html", page=page, rates=rates, broken=BROKEN, below=below)

    async def post(self) -> None:
        asked = await self.form()
        ids = [name.removeprefix("id_") for name in asked if name.startswith("id_")]
        order = asked.get("order")
        if order not in ("release", "drop"):
            raise HTTPError(400)
        if not ids:
            self.go_to("/screened", "Nothing was ticked, and nothing was done.", is_bad=True)
            return
        act = self.site.orders.drop if order == "drop" else self.site.orders.release
        verdicts = await act(ids, self.by)
        refused = [verdict for verdict in verdicts if not verdict.done]
        done = f"{len(verdicts) - len(refused)} {'dropped' if order == 'drop' else 'released'}"
        words = "".join(f"; {verdict.id}: {verdict.words}" for verdict in refused[:3])
        self.go_to("/screened", f"{done}{words}.", is_bad=bool(refused))


ROUTES = [(r"/screened", ScreenedHandler)]
