"""From a submission to a stored message: authenticate, check, screen, validate, compose, store.

Each refusal is an error of its own, in this order: unknown server, authentication, token, fields.
What a robot sent is stored too, apart, and answered as if it were a message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from relay import records
from relay.chain import Chain
from relay.composition import compose
from relay.errors import (
    AuthenticationFailed,
    InvalidSubmission,
    SubmissionError,
    TemplateNotFound,
    TemplateRenderError,
    TokenRefused,
    Unavailable,
    UnknownServer,
)
from relay.ids import message_id, timestamp
from relay.message import Identity, Message, Server, Submission
from relay.policy import check_policy
from relay.secret import Secret, keyed_digest
from relay.store import documents, outbox, tokens
from relay.store.database import Store
from relay.templates.library import Library, Warnings

FULL_RETRY_AFTER_SECONDS = 120

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was stored: a message, or None for a robot's submission, which nobody will deliver."""

    id: str
    message: Message | None


class Acceptance:
    """Judges submissions and stores what they make.

    chains: every server's chain, by name. library: the stored templates. secret: what tokens are
    hashed with. metadata_key: the name under which a message carries its own id to the provider.
    waiting: how many messages are stored and not settled; above `max_waiting` nothing more is taken
    (0: no limit).
    """

    def __init__(
        self,
        store: Store,
        chains: Mapping[str, Chain],
        library: Library,
        *,
        secret: Secret,
        metadata_key: str,
        unknown_server: str = "",
        max_waiting: int = 0,
        waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self._store = store
        self._chains = chains
        self._library = library
        self._secret = secret
        self._metadata_key = metadata_key
        self._unknown_server = unknown_server.lower()
        self._max_waiting = max_waiting
        self._waiting = waiting

    def chain(self, name: str) -> Chain:
        """Find the chain that takes posts to a name; raise UnknownServer."""
        chain = self._chains.get(name.lower()) or self._chains.get(self._unknown_server)
        if chain is None or not chain.takes_forms:
            raise UnknownServer
        return chain

    async def accept(
        self,
        submission: Submission,
        before_commit: Callable[[Message], None] = lambda message: None,
    ) -> Accepted:
        """Store what a submission makes, in one commit with the token it spends.

        before_commit is called with the message, so that nothing of its delivery is missed.
        Raise SubmissionError, and then nothing was stored.
        """
        chain = self.chain(submission.server)
        try:
            return await self._accept(chain, submission, before_commit)
        except SubmissionError as error:
            chain.observe("refused", submission=submission, error=error)
            raise

    async def _accept(
        self, chain: Chain, submission: Submission, before_commit: Callable[[Message], None]
    ) -> Accepted:
        if self._max_waiting and self._waiting() >= self._max_waiting:
            raise Unavailable(FULL_RETRY_AFTER_SECONDS, reason="outbox_full")
        identity = _identify(chain, submission)
        token = await self._token(chain, submission, identity)
        decoy = chain.screen(submission)
        if decoy is not None:
            id = await self._keep_back(submission, chain.server, identity, token, decoy.reason)
            chain.observe("screened", submission=submission, decoy=decoy)
            return Accepted(id, None)
        message, warnings = await self._message(chain, submission)
        before_commit(message)
        record = records.record(message, chain.server, identity.key, warnings, token)
        await self._store.write(outbox.add, record)
        records.log_accepted(message, record, self._secret)
        chain.observe("accepted", message=message)
        return Accepted(message.id, message)

    async def _message(self, chain: Chain, submission: Submission) -> tuple[Message, Warnings]:
        """Make the message, rendered where its template is stored here."""
        message = compose(chain, submission)
        check_policy(message, chain.server)
        message = records.identified(message, self._metadata_key)
        if message.template is None:
            return message, ()
        try:
            return await self._library.rendered(message, chain.server.group)
        except TemplateNotFound:
            return message, ()  # the provider may have it
        except TemplateRenderError as error:
            raise InvalidSubmission({"template_id": [str(error)]}, reason="template") from None

    async def _token(
        self, chain: Chain, submission: Submission, identity: Identity
    ) -> bytes | None:
        """Look up the claimed session token; give its digest, to be spent by the commit."""
        claim = chain.check_token(submission, identity)
        if claim is None:
            if submission.session:
                raise TokenRefused(reason="token_missing")
            return None
        digest = token_digest(self._secret, claim.token)
        await self._store.read(tokens.check, digest, submission.received_at)
        return digest

    async def _keep_back(
        self,
        submission: Submission,
        server: Server,
        identity: Identity,
        token: bytes | None,
        reason: str,
    ) -> str:
        """Store a robot's submission for review; give its id."""
        id = message_id()
        await self._store.write(
            outbox.add,
            outbox.NewMessage(
                id=id,
                server=server.name,
                state="screened",
                created_at=timestamp(id),
                key=identity.key,
                document=documents.dump_submission(submission),
                token=token,
                words=reason,
            ),
        )
        log.info("submission.screened", id=id, server=server.name, reason=reason)
        return id


def token_digest(secret: Secret, token: int) -> bytes:
    """Give the form in which a session token is stored."""
    return keyed_digest(secret, f"token {token}")


def _identify(chain: Chain, submission: Submission) -> Identity:
    identity = chain.authenticate(submission)
    if identity is None:
        given = submission.headers.get("authorization") or submission.fields.get("key")
        raise AuthenticationFailed(reason="unknown_key" if given else "no_header")
    return identity
