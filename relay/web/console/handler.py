"""What every page of the console shares: who asks, what they may, and that they meant it.

A page of another site can make its visitor's browser ask for these pages. It cannot bring the
cookie (SameSite=Strict), nor the token that every form has, nor our own Origin; and under a name of
its own that it lets point here the Host header tells. A proxy may forward only where the settings
name it.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import structlog
from tornado.web import stream_request_body

from relay.core import clock
from relay.core.rate_limit import Caller
from relay.core.times import age, shown, utc
from relay.operators.people import csrf_token, role
from relay.operators.roles import Role
from relay.store.acts import By
from relay.store.operators import Person
from relay.web.base import SECURITY_HEADERS, BaseHandler
from relay.web.client_address import caller, is_within
from relay.web.pages.handler import ERRORS, PART_POLICY, own_hosts
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

log = structlog.get_logger()


@stream_request_body
class OpenHandler(BaseHandler):
    """Pages that are shown to anybody: to sign in. `operator` is None."""

    security_headers: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **SECURITY_HEADERS,
            "Content-Security-Policy": PAGE_POLICY,
            # By no-referrer browsers would name no Origin with the console's own forms.
            "Referrer-Policy": "same-origin",
        }
    )
    failed = "page.failed"
    operator: Person | None = None
    session: str = ""

    def check_page(self) -> None:
        """Raise VisitRefused for a request under another name, forwarded, or from elsewhere."""
        reason = self._refusal()
        if reason is not None:
            raise VisitRefused(REFUSALS[reason], reason=reason)

    def _refusal(self) -> str | None:
        console = self.configuration.settings.console
        hosts = own_hosts(*(self.site.console or ("", 0)))
        origins = {f"http://{host}" for host in hosts}
        if console.public_url:
            public = urlsplit(console.public_url)
            hosts |= {public.netloc.lower()}
            origins |= {f"{public.scheme}://{public.netloc}".lower()}
        if self.request.headers.get("Host", "").lower() not in hosts:
            return "host"
        names = {name.lower() for name in self.request.headers}
        forwards = any(name in _FORWARDS or name.startswith("x-forwarded-") for name in names)
        if forwards and not is_within(self.request.remote_ip or "", console.trusted_proxies):
            return "forwarded"
        if self.request.method == "POST":
            origin = self.request.headers.get("Origin", "").lower()
            sent_by = self.request.headers.get("Sec-Fetch-Site", "same-origin")
            if origin not in origins or sent_by != "same-origin":
                return "cross_site"
        return None

    @property
    def is_secure(self) -> bool:
        """Whether people reach the console by TLS: then its cookie is for TLS alone."""
        public = self.configuration.settings.console.public_url
        host = self.request.headers.get("Host", "").lower()
        return (
            bool(public)
            and public is not None
            and (public.startswith("https:") and urlsplit(public).netloc.lower() == host)
        )

    @property
    def cookie_name(self) -> str:
        return SECURE_COOKIE if self.is_secure else COOKIE

    @property
    def visitor(self) -> Caller:
        """The client, as the console's own trusted proxies name it."""
        return caller(self.request, self.configuration.settings.console.trusted_proxies)

    def give_session(self, secret: str) -> None:
        """Give the browser a session, in the place of the one that it had."""
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

    def write_part(self, markup: str) -> None:
        """Write HTML that somebody else wrote, for a frame in which nothing can happen."""
        self.set_header("Content-Security-Policy", PART_POLICY)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(markup)

    def refuse(self, error: BaseException) -> None:
        heading, words = ERRORS.get(self.get_status(), ERRORS[500])
        if isinstance(error, VisitRefused):
            words = str(error)
        self.render("error.html", heading=heading, words=words)

    def log_refusal(self, error: BaseException, known: dict[str, Any]) -> None:
        why = {"reason": error.reason} if isinstance(error, VisitRefused) else {}
        log.info("page.refused", **known, **why)


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


class UnknownScreenHandler(OpenHandler):
    """Every path that is no page's."""

    def check_page(self) -> None:
        super().check_page()
        raise UnknownPath


_FORWARDS = ("forwarded", "x-real-ip")
