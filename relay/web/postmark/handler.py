"""What every handler of Postmark's API shares: tokens, bodies, the error envelope."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import structlog

from relay.config.keys import find_key
from relay.core.errors import AuthenticationFailed
from relay.core.server import Key
from relay.hooks.chain import Chain
from relay.store.acts import By
from relay.web import bodies
from relay.web.base import RelayHandler, who
from relay.web.postmark import errors
from relay.web.postmark.reading import MAX_STRUCTURE, is_digits, json_value
from relay.web.responses import UnknownPath

SERVER_TOKEN = "X-Postmark-Server-Token"  # noqa: S105 - a header's name
ACCOUNT_TOKEN = "X-Postmark-Account-Token"  # noqa: S105 - a header's name

MEGABYTE = 2**20

# A list of messages takes longer than a form of the same size.
READ_ON_LOOP_BYTES = 64 * 1024

MADE_IN_SETTINGS = (
    "Servers, message streams, senders and webhooks are made in settings.toml, not by calls."
)

log = structlog.get_logger()


class PostmarkHandler(RelayHandler):
    """Reads Postmark's JSON, responds with its JSON, refuses in its envelope.

    `key` is who calls; `chain` the one server that a server token is good for, and `group_chain`
    the one through which its mail goes. `elsewhere` says where what is made by other calls at
    Postmark is made here; without it another method is answered by an empty body, as there.
    """

    methods: ClassVar[tuple[str, ...]] = ("GET",)
    largest: ClassVar[int] = 10 * MEGABYTE
    account: ClassVar[bool] = False
    # Those of its methods that change what the members of a group share.
    shared_methods: ClassVar[tuple[str, ...]] = ()
    elsewhere: ClassVar[str] = ""
    media = bodies.JSON
    body_seconds = 120

    key: Key
    chain: Chain
    group_chain: Chain

    @property
    def max_bytes(self) -> int:
        return self.largest

    @property
    def on_loop_bytes(self) -> int:
        return READ_ON_LOOP_BYTES

    @property
    def max_structure(self) -> int:
        return MAX_STRUCTURE

    @property
    def group(self) -> str:
        """The server whose templates and delivery are used."""
        return self.chain.server.group

    def check_page(self) -> None:
        """Let any page ask: a token decides, and browsers are told nothing they could read."""

    def admit(self) -> None:
        super().admit()
        if self.request.method in ("POST", "PUT"):
            self.check_room()

    def check_media(self) -> None:
        # A body that says to be too large is refused for that, when it has come to its end.
        if self.request.method in ("POST", "PUT") and self.declared_size <= self.max_bytes:
            super().check_media()

    def authenticate(self) -> None:
        """Find who calls; raise AuthenticationFailed, or TooManyRequests after many failures."""
        try:
            self._authenticate()
        except AuthenticationFailed as error:
            self.site.event_counts.refused("", error)
            self.configuration.post_limiter.take(self.caller)
            raise
        if self.request.method in self.shared_methods and self.group != self.chain.server.name:
            raise errors.members_only_read(self.group)

    def _authenticate(self) -> None:
        self.key = self._find_key()
        if self.account:
            return
        # A key for several servers names none of them.
        [server] = self.key.servers if len(self.key.servers) == 1 else ("*",)
        chain = self.configuration.chains.get(server)
        if chain is None:
            raise AuthenticationFailed(reason="wrong_server", key=self.key.id)
        self.chain = chain
        self.group_chain = self.configuration.chains[chain.server.group]

    def _find_key(self) -> Key:
        token = self.request.headers.get(ACCOUNT_TOKEN if self.account else SERVER_TOKEN, "")
        if not token:
            raise AuthenticationFailed(reason="no_header")
        key = find_key(self.configuration.keys, token.strip().encode("latin-1", "replace"))
        if key is None:
            raise AuthenticationFailed(reason="unknown_key")
        if key.kind != ("account" if self.account else "secret"):
            raise AuthenticationFailed(reason="key_kind", key=key.id)
        self.site.keys.used(key.id)
        return key

    @property
    def by(self) -> By:
        """Who orders what this call changes."""
        return By(self.key.id, "api", self.caller.address)

    async def json(self) -> Any:
        """Read the request's body as JSON; raise BodyTooLarge or MalformedBody."""
        return await self.aside(partial(json_value, self.content_type), self.raw_body())

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, its name in any case; None if it is absent or empty."""
        for given, values in self.request.query_arguments.items():
            if given.lower() == name.lower() and values[-1].strip():
                try:
                    return values[-1].decode("utf-8").strip()
                except UnicodeDecodeError:
                    return None
        return None

    def query_number(self, name: str) -> int | None:
        """Return a number of the query; None if it is absent or no number."""
        value = self.query(name)
        return int(value) if value is not None and is_digits(value) else None

    def respond(self, value: Any) -> None:
        """Respond with JSON: an object or a list."""
        self.respond_text(bodies.json_text(value))

    def respond_text(self, text: str) -> None:
        """Respond with JSON that is written already."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(text)

    async def respond_aside(self, make: Callable[[], Any]) -> None:
        """Respond with what a function makes, as JSON, all in a thread: for what may be large."""
        self.respond_text(await asyncio.to_thread(lambda: bodies.json_text(make())))

    def refuse(self, error: BaseException) -> None:
        refusal = errors.refusal(error)
        if refusal.status == 405 and not self.elsewhere:
            self.finish()
            return
        words = refusal.words or ""
        if refusal.status in (404, 405):
            words = f"{words} {self.elsewhere}".strip()
        if self.account and refusal.code == 10:
            words = words.replace("Server token", "Account token")
        self.set_header("X-PM-ApiErrorCode", str(refusal.code))
        self.respond(errors.envelope(refusal.code, words))

    def facts(self, error: BaseException) -> dict[str, Any]:
        refusal = errors.refusal(error)
        return {"status": refusal.status, "code": refusal.code}

    def log_refusal(self, error: BaseException, known: dict[str, Any]) -> None:
        """Log a refusal without its words: they may repeat an address."""
        reason = getattr(error, "reason", None)
        why = {"reason": reason} if reason else {}
        caller = {"key": self.key.id} if "key" in self.__dict__ else {}
        said = {**known, **why, **caller, **who(error)}
        log.info("call.refused", client=self.caller.address, **said)


class UnknownPostmarkPathHandler(PostmarkHandler):
    """Every path below those of Postmark's API that is not served here."""

    def check_page(self) -> None:
        raise UnknownPath


class UnknownSettingPathHandler(UnknownPostmarkPathHandler):
    """Such a path of what the settings make."""

    elsewhere = MADE_IN_SETTINGS
