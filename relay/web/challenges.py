"""GET /rest/challenge/{server}: what a page must solve before its form is taken."""

from collections.abc import Collection

from relay.hooks.chain import Chain
from relay.web.base import RelayHandler
from relay.web.responses import UnknownPath

# A session token has 16 digits.
MAX_TOKEN = 100


class ChallengeHandler(RelayHandler):
    """Makes a challenge, for the session token that the query names where there is one."""

    methods = ("GET", "OPTIONS")

    @property
    def chain(self) -> Chain:
        return self.configuration.chain(self.path_args[0])

    def origins(self) -> Collection[str]:
        return self.chain.server.origins

    def limit(self) -> None:
        self.configuration.challenge_limiter.take(self.caller)

    def get(self, name: str) -> None:
        challenge = self.chain.challenge(self.get_query_argument("token_session", "")[:MAX_TOKEN])
        if challenge is None:
            raise UnknownPath
        self.write(dict(challenge))


ROUTES = [(r"/rest/challenge/([^/]+)/?", ChallengeHandler)]
