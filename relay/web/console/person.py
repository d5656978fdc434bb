"""What is stored about one address: seen, exported, erased. The address stands in no URL."""

from typing import ClassVar

from relay.core import clock
from relay.core.mentions import Mentions
from relay.operators import person
from relay.operators.roles import Role
from relay.store.person import export
from relay.store.person.search import Found
from relay.web.console.handler import ConsoleHandler

# So many of the messages that are not over are named.
NAMED = 50

UNTYPED = "Type the same address again to erase it. Nothing was done."


class PersonHandler(ConsoleHandler):
    """GET /person: a form for an address; POST /person: what is stored about it."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")
    role = Role.ADMIN

    def get(self) -> None:
        self.show("")

    async def post(self) -> None:
        typed = await self.form()
        address = typed.get("address", "").strip()
        try:
            mentions = Mentions(address)
        except ValueError as error:
            self.set_status(400)
            self.show(address, problem=f"{address}: {error}" if address else "Type an address.")
            return
        await self.answer(mentions, typed)

    async def answer(self, mentions: Mentions, typed: dict[str, str]) -> None:
        """Show what there is about an address."""
        self.show(mentions.address, await self.site.persons.find(mentions.address))

    def show(
        self,
        address: str,
        found: Found | None = None,
        problem: str = "",
        done: tuple[str, ...] = (),
    ) -> None:
        """Show the page; `done` are lines on what was erased."""
        self.render(
            "person.html",
            address=address,
            found=found,
            counts=person.counts(found) if found is not None else {},
            waiting=person.waiting(found) if found is not None else [],
            named=NAMED,
            problem=problem,
            done=done,
        )


class ExportHandler(PersonHandler):
    """POST /person/export: all of it as JSON, a piece at a time."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)

    async def answer(self, mentions: Mentions, typed: dict[str, str]) -> None:
        found = await self.site.persons.find(mentions.address)
        await self.site.persons.handed_out(mentions.address, self.by)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="person.json"')
        document = export.Document(mentions.address, clock.now())
        for section, query in export.sections(found, mentions):
            self.write(document.piece(section, await self.site.store.read(query)))
            await self.flush()
        self.finish(document.end())


class ErasureHandler(PersonHandler):
    """POST /person/erase with the address typed twice: erase it; `waiting` cancels what waits."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)

    async def answer(self, mentions: Mentions, typed: dict[str, str]) -> None:
        address, persons = mentions.address, self.site.persons
        if typed.get("again", "").strip().lower() != address:
            self.set_status(400)
            self.show(address, await persons.find(address), UNTYPED)
            return
        outcome = await persons.erase(address, self.by, cancel="waiting" in typed)
        if outcome.problem:
            self.set_status(409)
        done = () if outcome.problem else tuple(person.report(outcome))
        self.show(address, await persons.find(address), outcome.problem, done)


ROUTES = [
    (r"/person", PersonHandler),
    (r"/person/export", ExportHandler),
    (r"/person/erase", ErasureHandler),
]
