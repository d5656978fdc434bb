"""POST /rest/email/postmark/{server}/{stream}: what a provider says, and mail that came in.

Whoever knows one of the server's secrets may call, by HTTP Basic (any user name) or by a header of
its own. What it says is stored before it is answered, so that a provider may forget it.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import structlog

from relay.core.errors import UnknownServer, WebhookRefused
from relay.core.immutable import freeze
from relay.core.message import Callback, Reply
from relay.core.secret import digest
from relay.core.text import each, lines
from relay.hooks.chain import Chain
from relay.web import bodies, responses
from relay.web.base import RelayHandler
from relay.web.client_address import is_within

# The headers of an inbound mail, its addresses, its attachments.
MAX_STRUCTURE = 100_000

# The header that may carry the secret where a provider can set one.
SECRET_HEADER = "X-Relay-Webhook-Secret"  # noqa: S105 - a header's name

log = structlog.get_logger()


class WebhookHandler(RelayHandler):
    """Takes a provider's call: the server's plugins read it, the host acts upon it."""

    methods = ("POST",)
    media = bodies.JSON
    body_seconds = 120  # inbound mail is tens of megabytes with its attachments

    @property
    def max_bytes(self) -> int:
        return self.configuration.settings.limits.webhook_bytes

    @property
    def max_structure(self) -> int:
        return MAX_STRUCTURE

    @cached_property
    def chain(self) -> Chain:
        """The chain of the server that is called; without webhook secrets it is not there."""
        chain = self.configuration.chains.get(self.path_args[0].lower())
        if chain is None or not chain.server.webhook_digests:
            raise UnknownServer
        return chain

    def check_page(self) -> None:
        """Let any page ask: providers have none, and the secret decides."""

    def admit(self) -> None:
        """Refuse a stranger before anything else."""
        self._check_secret()
        super().admit()
        self.check_room()

    def _check_secret(self) -> None:
        """Raise WebhookRefused, or TooManyRequests after many refusals of an address."""
        server = self.chain.server
        try:
            given = digest(secret_of(self.request.headers))
            known = [hmac.compare_digest(given, one) for one in server.webhook_digests]
            if not any(known):
                raise WebhookRefused
            networks = server.webhook_networks
            if networks and not is_within(self.caller.address, networks):
                raise WebhookRefused(reason="webhook_network")
        except WebhookRefused as error:
            self.site.event_counts.refused(server.name, error)
            self.configuration.post_limiter.take(self.caller)
            raise

    async def post(self, *args: str) -> None:
        body = await self.aside(partial(read, self.content_type), self.raw_body())
        callback = Callback(
            server=self.chain.server.name,
            stream=self.path_args[1],
            body=body,
            received_at=self.started_at,
            metadata_key=self.site.outbox.metadata_key,
        )
        await self._take(callback)
        self.write_json(responses.success("noted"))

    async def _take(self, callback: Callback) -> None:
        group = self.configuration.chains[self.chain.server.group]
        event = self.chain.receive(callback)
        if event is None and group is not self.chain:
            event = group.receive(callback)
        if event is None:
            log.warning("callback.unknown", server=callback.server)
        elif isinstance(event, Reply):
            await self.site.replies.take(event, self.chain.server, self.started_at)
        else:
            await self.site.provider_events.take(
                event, self.chain, self.configuration.chains, self.started_at
            )


def read(content_type: str, body: bytes) -> Any:
    """Read a call's JSON object, its texts cleaned, frozen; raise MalformedBody."""
    charset = bodies.json_charset(content_type)
    return freeze(each(lines, bodies.json_object(body, MAX_STRUCTURE, charset)))


def secret_of(headers: Mapping[str, str]) -> bytes:
    """Return the secret that a call brings: the password of HTTP Basic, else of its own header.

    Headers arrive as Latin-1; encoding them so gives the bytes that were sent.
    """
    scheme, _, credentials = headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials.strip().encode("latin-1"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return b""
        return decoded.partition(b":")[2]
    return headers.get(SECRET_HEADER, "").strip().encode("latin-1", "replace")


ROUTES = [(r"/rest/email/postmark/([^/]+)/([^/]+)/?", WebhookHandler)]
