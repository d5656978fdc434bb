"""The people of the installation: invited, changed, signed out and removed by an admin."""

from typing import Any, ClassVar

from relay.operators.changes import carry_out, link_url
from relay.operators.people import Refused
from relay.operators.roles import ROLES, Role
from relay.store.operators import Person
from relay.web.console.handler import ConsoleHandler
from relay.web.responses import UnknownPath

DONE = {
    "role": "{name} has another role now.",
    "sign-out": "All sessions of {name} are over.",
    "remove": "{name} is removed.",
    "second-factor": "{name} signs in with the password alone until there is a second factor.",
}


class OperatorsHandler(ConsoleHandler):
    """GET /operators: all of them; POST: invite one, whose link is shown this once."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.ADMIN

    async def get(self) -> None:
        await self.show()

    async def post(self) -> None:
        typed = await self.form()
        await self.order("invite", typed.get("name", ""), typed)

    async def order(self, order: str, name: str, typed: dict[str, str]) -> None:
        """Carry an order out, and show what came of it."""
        name, asked = name.strip().lower(), {**typed, "name": name}
        console = self.configuration.settings.console
        try:
            done = await carry_out(self.site.people, order, asked, self.by, console)
        except Refused as problem:
            self.set_status(400)
            await self.show(problem=str(problem))
            return
        secret = done.get("secret")
        link = link_url(console, self.site.console, secret) if secret else ""
        await self.show(done=DONE.get(order, "").format(name=name), link=link, name=name)

    async def show(self, **said: Any) -> None:
        """Show the page; `done` and `problem` are what is said of a form, `link` is of `name`."""
        shown = {"done": "", "problem": "", "link": "", "name": "", **said}
        self.render("operators.html", **shown, people=await self.site.people.listed(), roles=ROLES)


class OperatorHandler(OperatorsHandler):
    """GET /operators/{name}: one of them; POST: what `order` says."""

    async def get(self, name: str) -> None:  # type: ignore[override]
        self.render("operator.html", person=await self._person(name), roles=ROLES)

    async def post(self, name: str) -> None:  # type: ignore[override]
        typed = await self.form()
        await self.order(typed.get("order", ""), name, typed)

    async def _person(self, name: str) -> Person:
        try:
            return await self.site.people.named(name)
        except Refused:
            raise UnknownPath from None


ROUTES = [(r"/operators", OperatorsHandler), (r"/operators/([^/]{1,100})", OperatorHandler)]
