"""Signing in and out: by name and password, by a link that is good once."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import structlog

from relay.core.errors import TooManyRequests
from relay.operators.people import FIRST, Proof, Refused
from relay.operators.roles import Role
from relay.store.acts import By
from relay.store.operators import Person
from relay.web.console.handler import ConsoleHandler, OpenHandler

WRONG = "This name, password and code do not belong together."
TOO_MANY = "Too many have tried. Wait a minute, and try again."

log = structlog.get_logger()


class SignInHandler(OpenHandler):
    """GET /sign-in: the form; POST /sign-in: sign in."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")

    def get(self) -> None:
        self.show("")

    async def post(self) -> None:
        typed = await self.form()
        name = typed.get("name", "").strip().lower()
        try:
            self.site.sign_in_limits.take(self.visitor.address, name)
        except TooManyRequests:
            log.warning("sign_in.limited")
            self.set_status(429)
            self.show(TOO_MANY, name)
            return
        try:
            proof = await self.proof(name, typed)
            await begin(self, proof.person, proof.spent)
        except Refused:
            log.warning("sign_in.refused")
            self.set_status(403)
            self.show(WRONG, name)

    async def proof(self, name: str, typed: dict[str, str]) -> Proof:
        """Return who it is, by all that is asked for; raise Refused, as late for nobody."""
        password, code = typed.get("password", ""), typed.get("code", "")
        proof = await self.site.people.proven(name, password, code)
        allowed = self.configuration.settings.console.passwords or name == FIRST
        if proof is None or not allowed:
            raise Refused(WRONG)
        return proof

    def show(self, problem: str, name: str = "") -> None:
        """Show the form."""
        self.render("sign_in.html", problem=problem, name=name, next=self.next())

    def next(self) -> str:
        """Return the path that was asked for before; only one of these pages."""
        return local_path(self.get_query_argument("next", "/"))


class SignOutHandler(ConsoleHandler):
    """POST /sign-out: end this session."""

    methods: ClassVar[tuple[str, ...]] = ("POST",)
    role = Role.VIEWER

    async def post(self) -> None:
        await self.form()
        await self.site.people.end(self.session)
        self.clear_cookie(self.cookie_name, path="/", secure=self.is_secure)
        self.redirect("/sign-in", status=303)


class LinkHandler(OpenHandler):
    """GET /sign-in/link/{secret}: a form to set one's password; POST: set it, and sign in.

    The first admin's link, opened on the machine itself, signs in at once.
    """

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")

    async def get(self, secret: str) -> None:
        person = await self._person(secret)
        if person is None:
            return
        if (
            person.name == FIRST
            and person.password is None
            and self.is_local
            and self.visitor.local
        ):
            await begin(self, person)
        else:
            self.render("link.html", person=person, problem="")

    async def post(self, secret: str) -> None:
        person = await self._person(secret)
        if person is None:
            return
        typed = await self.form()
        by = By(person.name, "console", self.visitor.address)
        try:
            if typed.get("password", "") != typed.get("again", ""):
                raise Refused("the two passwords differ")
            await self.site.people.set_password(person, typed.get("password", ""), by)
        except Refused as problem:
            self.set_status(400)
            self.render("link.html", person=person, problem=str(problem))
            return
        if person.totp_secret is not None:
            self.redirect("/sign-in", status=303)  # the link is not the second factor
        else:
            await begin(self, await self.site.people.named(person.name))

    async def _person(self, secret: str) -> Person | None:
        person = await self.site.people.of_link(secret)
        by_password = self.configuration.settings.console.passwords
        if person is None or not (by_password or person.name == FIRST):
            person = None
            self.set_status(404)
            words = "This link was used, or is too old, or a newer one was made. Ask an admin."
            self.render("error.html", heading="No such link", words=words)
        return person

    @property
    def logged_path(self) -> str:
        return "/sign-in/link"


async def begin(
    handler: OpenHandler,
    person: Person,
    spent: Mapping[str, Any] | None = None,
    next: str | None = None,
) -> None:
    """Sign a person in, and go on by a page: who comes from elsewhere has no cookie at once."""
    by = By(person.name, "console", handler.visitor.address)
    signed_in = await handler.site.people.begin(person, by, spent)
    handler.give_session(signed_in.secret)
    asked = handler.get_query_argument("next", "/") if next is None else next
    handler.render("signed_in.html", next=local_path(asked))


def local_path(asked: str) -> str:
    """Return a path of these pages; "/" for anything else."""
    parts = urlsplit(asked)
    is_path = not parts.scheme and not parts.netloc and asked.startswith("/")
    is_path = is_path and not asked.startswith(("//", "/\\")) and asked.isprintable()
    return asked if is_path else "/"


ROUTES = [
    (r"/sign-in", SignInHandler),
    (r"/sign-out", SignOutHandler),
    (r"/sign-in/link/([A-Za-z0-9_-]{20,100})", LinkHandler),
]
