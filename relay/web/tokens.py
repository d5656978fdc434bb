"""Session tokens: /rest/email_token/create and /remove, and their aliases."""

from collections.abc import Collection

from relay.config.keys import find_key, token_of
from relay.core.errors import AuthenticationFailed
from relay.core.server import Key
from relay.web.base import RelayHandler


class TokenHandler(RelayHandler):
    """What making and removing tokens share: who may, and how often.

    `is_limited` says whether that has limits for who calls.
    """

    is_limited: bool

    def origins(self) -> Collection[str]:
        return self.configuration.token_origins

    def limit(self) -> None:
        try:
            key = self._key()
        except AuthenticationFailed as error:
            if self.configuration.settings.token_key_required:
                self.site.event_counts.refused("", error)
                raise
            key = None
        self.is_limited = key is None or key.kind != "secret"
        if self.is_limited:
            self.configuration.token_limiter.take(self.caller)

    def _key(self) -> Key:
        """Find the key that a call brings; raise AuthenticationFailed."""
        given = self.request.headers.get("Authorization")
        key = find_key(self.configuration.keys, token_of(given)) if given else None
        if key is None:
            raise AuthenticationFailed(reason="no_header" if given is None else "unknown_key")
        self.site.keys.used(key.id)
        return key


class CreateTokenHandler(TokenHandler):
    """Makes a token."""

    watched = ""

    def admit(self) -> None:
        super().admit()
        self.check_room()

    async def post(self) -> None:
        await self.body()
        settings = self.configuration.settings
        most = settings.limits.max_unspent_tokens if self.is_limited else 0
        token = await self.site.tokens.make(self.started_at, settings.token_seconds, most)
        self.site.event_counts.post_taken(self.watched, self.started_at)
        self.write({"token_session": token})


class RemoveTokenHandler(TokenHandler):
    """Makes a token unusable; says whether there was one."""

    async def post(self) -> None:
        fields = (await self.body()).fields
        given = fields.get("token_session", fields.get("data"))
        self.write({"token_session": await self.site.tokens.remove(given, self.started_at)})


ROUTES = [
    (r"/rest/(?:email_)?token/create/?", CreateTokenHandler),
    (r"/rest/(?:email_)?token/remove/?", RemoveTokenHandler),
]
