"""How it stands, on one page."""

from relay.operators.roles import Role
from relay.web.console.handler import ConsoleHandler


class OverviewHandler(ConsoleHandler):
    """GET /: the state in one sentence, every server, every provider."""

    role = Role.VIEWER

    async def get(self) -> None:
        self.render("overview.html")


ROUTES = [(r"/", OverviewHandler)]
