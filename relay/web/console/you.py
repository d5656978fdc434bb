"""A person's own page: the password, the second factor, the sessions."""

from typing import Any, ClassVar

from relay.core.errors import TooManyRequests
from relay.operators import second_factor
from relay.operators.people import Refused
from relay.operators.roles import Role
from relay.store import operators
from relay.web.console.handler import ConsoleHandler

NOT_YOURS = "this is not your password"
TOO_MANY = "too many tries: wait some minutes"


class YouHandler(ConsoleHandler):
    """GET /you: who one is here; the forms of the page are posted below it."""

    role = Role.VIEWER

    async def get(self) -> None:
        await self.show()

    async def post(self) -> None:
        """Carry a form of the page out, and show what came of it."""
        typed = await self.form()
        try:
            await self.show(**await self.carry_out(typed))
        except Refused as problem:
            self.set_status(400)
            await self.show(problem=str(problem))

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        """Do what was asked; return what the page says of it. Raise Refused."""
        raise NotImplementedError

    async def check_password(self, typed: dict[str, str]) -> None:
        """Raise Refused for who does not know the person's password: a thief of the session."""
        try:
            self.site.sign_in_limits.take(self.visitor.address, self.operator.name)
        except TooManyRequests:
            raise Refused(TOO_MANY) from None
        if not await self.site.people.has_password(self.operator, typed.get("present", "")):
            raise Refused(NOT_YOURS)

    async def show(self, **said: Any) -> None:
        """Show the page; `done` and `problem` are what is said of a form, `codes` new ones."""
        self.operator = person = await self.site.people.named(self.operator.name)
        secret = second_factor.offered(self.session, person)
        shown = {"done": "", "problem": "", "codes": (), **said}
        self.render(
            "you.html",
            **shown,
            secret=secret,
            picture=second_factor.picture(secret, person.name),
            left=second_factor.left(person),
            sessions=await self.site.store.read(operators.sessions, person.id),
        )


class YourFormHandler(YouHandler):
    """A form of the page; to load its address shows the page."""

    methods: ClassVar[tuple[str, ...]] = ("GET", "POST")


class PasswordHandler(YourFormHandler):
    """POST /you/password: set another password; this session alone goes on."""

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        await self.check_password(typed)
        if typed.get("password", "") != typed.get("again", ""):
            raise Refused("the two passwords differ")
        await self.site.people.set_password(self.operator, typed.get("password", ""), self.by)
        person = await self.site.people.named(self.operator.name)
        self.session = (await self.site.people.begin(person, self.by)).secret
        self.give_session(self.session)
        return {"done": "Your password is set. All your other sessions are over."}


class SecondFactorHandler(YourFormHandler):
    """POST /you/second-factor: set one up, by a code of the app that read its secret."""

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        await self.check_password(typed)
        secret = second_factor.offered(self.session, self.operator)
        codes = await self.site.people.add_second_factor(
            self.operator, secret, typed.get("code", ""), self.by
        )
        return {"done": "You sign in with a code from now on.", "codes": codes}


class DropSecondFactorHandler(YourFormHandler):
    """POST /you/second-factor/remove: sign in with the password alone."""

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        await self.check_password(typed)
        await self.site.people.drop_second_factor(self.operator, self.by)
        return {"done": "You sign in with your password alone from now on."}


class RecoveryCodesHandler(YourFormHandler):
    """POST /you/recovery-codes: make new ones."""

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        await self.check_password(typed)
        codes = await self.site.people.renew_recovery_codes(self.operator, self.by)
        return {"done": "The old codes are good no more.", "codes": codes}


class SignOutElsewhereHandler(YourFormHandler):
    """POST /you/sign-out-elsewhere: end all one's sessions but this one."""

    async def carry_out(self, typed: dict[str, str]) -> dict[str, Any]:
        await self.site.people.sign_out_elsewhere(self.operator, self.session, self.by)
        return {"done": "All your other sessions are over."}


class SignOutEverywhereHandler(YourFormHandler):
    """POST /you/sign-out-everywhere: end all one's sessions, this one too."""

    async def post(self) -> None:
        await self.form()
        await self.site.people.sign_out_everywhere(self.operator, self.by)
        self.clear_cookie(self.cookie_name, path="/", secure=self.is_secure)
        self.redirect("/sign-in", status=303)


ROUTES = [
    (r"/you", YouHandler),
    (r"/you/password", PasswordHandler),
    (r"/you/second-factor", SecondFactorHandler),
    (r"/you/second-factor/remove", DropSecondFactorHandler),
    (r"/you/recovery-codes", RecoveryCodesHandler),
    (r"/you/sign-out-elsewhere", SignOutElsewhereHandler),
    (r"/you/sign-out-everywhere", SignOutEverywhereHandler),
]
