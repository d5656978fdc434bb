"""What every page of the console shares: who asks, what they may, and that they meant it.

A page of another site can make its visitor's browser ask for these pages. It cannot bring the
cookie (SameSite=Strict), nor the token that every form has, nor our own Origin; and under a name of
its own that it lets point here the Host header tells. A proxy may forward only where the settings
name it.
"""

import asyncio
import base64
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import SplitResult, quote, urlsplit

from tornado.web import HTTPError

from relay.core import clock
from relay.core.rate_limit import Caller
from relay.core.times import age, shown, utc
from relay.operators import exports
from relay.operators.people import csrf_token, role
from relay.operators.roles import Role
from relay.store.acts import By
from relay.store.operators import Person
from relay.web.base import SECURITY_HEADERS
from relay.web.client_address import caller, is_within
from relay.web.pages.handler import VisitHandler, is_cross_site, is_forwarded, own_hosts
from relay.web.responses import UnknownPath, VisitRefused, WrongMethod

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
COOKIE = "relay_console"
NOTICE = "relay_notice"
SECURE_COOKIE = "__Host-relay_console"

REFUSALS = {
    "host": "The console answers only under its own address: localhost, the host in "
    "settings.toml, or `public_url`.",
    "forwarded": "A proxy that the settings do not name forwards this. Name its network as "
    "`trusted_proxies` of [console], or open the page on the machine itself.",
    "cross_site": "This form is taken from its own page only. Nothing was done.",
    "csrf": "This form is from another session, or an old one. Nothing was done: go back, load the "
    "page again, and send it once more.",
    "role": "Your role may not do this. An admin can change it.",
}

# The screens, by the words of their links; who may see each.
NAVIGATION = (
    ("/", "Overview", Role.VIEWER),
    ("/messages", "Messages", Role.VIEWER),
    ("/to-do", "To do", Role.VIEWER),
    ("/screened", "Screened", Role.OPERATOR),
    ("/suppressions", "Suppressions", Role.OPERATOR),
    ("/servers", "Servers", Role.VIEWER),
    ("/templates", "Templates", Role.OPERATOR),
    ("/person", "Person", Role.ADMIN),
    ("/acts", "Acts", Role.OPERATOR),
    ("/operators", "Operators", Role.ADMIN),
)


class OpenHandler(VisitHandler):
    """Pages that are shown to anybody: to sign in. `operator` is None."""

    fixed_headers: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **SECURITY_HEADERS,
            "Content-Security-Policy": PAGE_POLICY,
            # By no-referrer browsers would name no Origin with the console's own forms.
            "Referrer-Policy": "same-origin",
        }
    )
    refusals = REFUSALS
    operator: Person | None = None
    session: str = ""

    def refusal(self) -> str | None:
        """Name the reason to refuse a visit under another name, forwarded, or from elsewhere."""
        if not (self.is_public or self.is_local):
            return "host"
        trusted = self.configuration.settings.console.trusted_proxies
        if is_forwarded(self.request) and not is_within(self.request.remote_ip or "", trusted):
            return "forwarded"
        origins = {f"http://{host}" for host in self._own_hosts()}
        if self._public is not None:
            origins.add(f"{self._public.scheme}://{self._public.netloc}".lower())
        return "cross_site" if is_cross_site(self.request, origins) else None

    @property
    def host(self) -> str:
        """The name under which the visitor came."""
        return self.request.headers.get("Host", "").lower()

    @property
    def is_local(self) -> bool:
        """Whether the visitor came under a name of this machine, or of where it listens."""
        return self.host in self._own_hosts()

    @property
    def is_public(self) -> bool:
        """Whether the visitor came under the name of `public_url`."""
        return self._public is not None and self.host == self._public.netloc.lower()

    @property
    def is_secure(self) -> bool:
        """Whether the visitor came by TLS: then its cookie is for TLS alone."""
        return self.is_public and self._public is not None and self._public.scheme == "https"

    @property
    def _public(self) -> SplitResult | None:
        url = self.configuration.settings.console.public_url
        return urlsplit(url) if url else None

    def _own_hosts(self) -> set[str]:
        return own_hosts(*(self.site.console or ("", 0)))

    @property
    def cookie_name(self) -> str:
        return SECURE_COOKIE if self.is_secure else COOKIE

    @property
    def visitor(self) -> Caller:
        """The client, as the console's own trusted proxies name it."""
        return caller(self.request, self.configuration.settings.console.trusted_proxies)

    def give_session(self, secret: str) -> None:
        """Set the browser's session, in the place of the one that it had."""
        self.set_cookie(
            self.cookie_name,
            secret,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.is_secure,
        )

    def go_to(self, path: str, words: str = "", *, is_bad: bool = False) -> None:
        """Answer a post: show another page, and there in words what was done or was not."""
        if words:
            notice = base64.urlsafe_b64encode(json.dumps([words[:500], is_bad]).encode()).decode()
            self.set_cookie(NOTICE, notice, path="/", httponly=True, samesite="Strict")
        self.redirect(path, status=303)

    def _notice(self) -> tuple[str, bool] | None:
        """Return what the post before this page has to say, once."""
        given = self.get_cookie(NOTICE)
        if given is None:
            return None
        self.clear_cookie(NOTICE, path="/")
        try:
            words, is_bad = json.loads(base64.urlsafe_b64decode(given))
        except (ValueError, TypeError):
            return None
        return str(words), bool(is_bad)

    async def form(self) -> dict[str, str]:
        """Read a posted form; what is no text is not there."""
        fields = (await self.body()).fields
        return {name: value for name, value in fields.items() if isinstance(value, str)}

    def get_template_namespace(self) -> dict[str, Any]:
        person = self.operator
        may = 0 if person is None else role(person)
        return {
            **super().get_template_namespace(),
            "operator": person,
            "console": self.configuration.settings.console,
            "may": may,
            "Role": Role,
            "csrf": csrf_token(self.session) if self.session else "",
            "notice": self._notice() if self.request.method == "GET" else None,
            "screens": [one for one in NAVIGATION if may >= one[2]],
            "shown": shown,
            "ago": lambda at: f"{age(clock.now() - at)} ago",
            "utc": utc,
        }


class ConsoleHandler(OpenHandler):
    """Pages for people who are signed in.

    role: who may see it. role_to_act: who may post to it, where that is another one.
    """

    role: ClassVar[Role]
    role_to_act: ClassVar[Role | None] = None
    operator: Person

    async def prepare(self) -> None:  # type: ignore[override]
        self.enter()
        self.check_page()
        self.decorate()
        if self.request.method not in self.methods:
            raise WrongMethod
        secret = self.get_cookie(self.cookie_name, "") or ""
        person = await self.site.people.of_session(secret) if secret else None
        if person is None:
            self._ask_to_sign_in()
            return
        self.session, self.operator = secret, person
        needed = self.role if self.request.method == "GET" else self.role_to_act or self.role
        if not self.may(needed):
            raise VisitRefused(REFUSALS["role"], reason="role")
        self.judge()

    def may(self, needed: Role) -> bool:
        """Whether the person's role is this one, or more."""
        return role(self.operator) >= needed

    async def unread(self) -> str:
        """Say what is on the disk instead of the settings in use; "" where it is the same.

        Nothing is said to viewers. The file is read, and what it says is built, in a thread.
        """
        return await asyncio.to_thread(self.site.unread) if self.may(Role.OPERATOR) else ""

    @property
    def by(self) -> By:
        """Who orders what is done here."""
        return By(self.operator.name, "console", self.visitor.address)

    async def form(self) -> dict[str, str]:
        """Read a posted form; raise VisitRefused for one that is not of this session."""
        fields = await super().form()
        token = fields.get("csrf", "").encode()
        if not hmac.compare_digest(token, csrf_token(self.session).encode()):
            raise VisitRefused(REFUSALS["csrf"], reason="csrf")
        return fields

    def _ask_to_sign_in(self) -> None:
        if self.request.method != "GET":
            raise VisitRefused(REFUSALS["csrf"], reason="csrf")
        asked = quote(self.request.uri or "/", safe="")
        self.redirect(f"/sign-in?next={asked}", status=303)


class ListExportHandler(ConsoleHandler):
    """Lists to be taken away: `?as=csv`, or `?as=json` for lines of JSON."""

    @property
    def form_asked(self) -> str:
        """The form that is asked for; raise HTTPError 400 for one that there is not."""
        form: str = self.get_query_argument("as", "csv")
        if form not in exports.FORMS:
            raise HTTPError(400)
        return form

    def hand_out(self, name: str, text: str) -> None:
        """Answer with a file of this name and of the form that is asked for."""
        form = self.form_asked
        self.set_header("Content-Type", f"{exports.FORMS[form]}; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}.{form}"')
        self.write(text)


class UnknownScreenHandler(OpenHandler):
    """Every path that is no page's."""

    def check_page(self) -> None:
        super().check_page()
        raise UnknownPath
