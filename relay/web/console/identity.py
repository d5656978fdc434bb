"""Signing in at an identity provider: there, and back."""

import asyncio
import hmac
from typing import ClassVar

import structlog
from tornado.web import create_signed_value, decode_signed_value

from relay.config.settings import OidcSettings
from relay.core import clock
from relay.core.errors import TooManyRequests
from relay.core.secret import keyed_digest
from relay.operators import identity
from relay.operators.identity import Attempt
from relay.operators.people import Refused
from relay.store.acts import By
from relay.web.console.handler import OpenHandler
from relay.web.console.sign_in import TOO_MANY, begin, local_path
from relay.web.responses import UnknownPath

COOKIE = "relay_attempt"
ATTEMPT_DAYS = 600 / 86_400
CALLBACK = "/sign-in/identity/callback"

TOO_LATE = "this attempt is over, or began in another browser: begin again"

log = structlog.get_logger()


class IdentityHandler(OpenHandler):
    """What the way there and the way back share."""

    methods: ClassVar[tuple[str, ...]] = ("GET",)

    async def get(self) -> None:
        try:
            self.site.sign_in_limits.take(self.visitor.address)
            await self.go_on(self.provider)
        except (Refused, TooManyRequests) as problem:
            words = str(problem) if isinstance(problem, Refused) else TOO_MANY
            log.warning("identity.refused", problem=words)
            self.set_status(403 if isinstance(problem, Refused) else 429)
            self.render("sign_in.html", problem=f"Not signed in: {words}", name="", next="/")

    async def go_on(self, provider: OidcSettings) -> None:
        """Do what the page is for; raise Refused."""
        raise NotImplementedError

    @property
    def provider(self) -> OidcSettings:
        """The identity provider of the settings; raise UnknownPath where there is none."""
        provider = self.configuration.settings.console.oidc
        if provider is None:
            raise UnknownPath
        return provider

    @property
    def back(self) -> str:
        """Where the provider is to send people: to the name under which they came."""
        public = self.configuration.settings.console.public_url
        return f"{public if self.is_public else f'http://{self.host}'}{CALLBACK}"

    @property
    def secret(self) -> str:
        """What the cookie of an attempt is signed with."""
        return keyed_digest(self.site.secret, "identity provider").hex()


class StartHandler(IdentityHandler):
    """GET /sign-in/identity: to the provider, and remember in the browser what began."""

    async def go_on(self, provider: OidcSettings) -> None:
        attempt = identity.new_attempt()
        address = await asyncio.to_thread(identity.address, provider, attempt, self.back)
        asked = local_path(self.get_query_argument("next", "/"))
        signed = create_signed_value(
            self.secret, COOKIE, "\n".join([*attempt, asked]), clock=clock.now
        )
        # Lax, for the provider sends people back from another site.
        self.set_cookie(
            COOKIE, signed, path=CALLBACK, httponly=True, samesite="Lax", secure=self.is_secure
        )
        self.redirect(address, status=303)


class CallbackHandler(IdentityHandler):
    """GET /sign-in/identity/callback: back from the provider, with a code or a refusal."""

    async def go_on(self, provider: OidcSettings) -> None:
        signed = self.get_cookie(COOKIE)
        self.clear_cookie(COOKIE, path=CALLBACK)
        kept = decode_signed_value(
            self.secret, COOKIE, signed, max_age_days=ATTEMPT_DAYS, clock=clock.now
        )
        if kept is None:
            raise Refused(TOO_LATE)
        *values, asked = kept.decode().split("\n")
        attempt = Attempt(*values)
        state = self.get_query_argument("state", "")
        if not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise Refused(TOO_LATE)
        if self.get_query_argument("iss", provider.issuer) != provider.issuer:
            raise Refused(identity.NOT_THE_ISSUER)
        if "code" not in self.request.query_arguments:
            raise Refused(f"the identity provider says {self._error()}")
        code = self.get_query_argument("code")
        known = await asyncio.to_thread(identity.known, provider, attempt, self.back, code)
        origin = self.visitor.address
        person = await self.site.people.come(known, By(known.name, "console", origin))
        await begin(self, person, next=asked)

    def _error(self) -> str:
        said = self.get_query_argument("error", "nothing")[:50]
        return said if said.replace("_", "").isalnum() else "nothing"


ROUTES = [(r"/sign-in/identity", StartHandler), (CALLBACK, CallbackHandler)]
