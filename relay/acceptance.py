"""From a submission to a stored message: authenticate, check, screen, validate, compose, store.

Each refusal is an error of its own, in this order: unknown server, authentication, a repeated
request, token, fields.
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
    UnknownServer,
)
from relay.idempotency import HEADER, Repeat, Repeats, Request, fingerprint_of
from relay.ids import message_id, timestamp
from relay.message import Identity, Message, Server, Submission
from relay.policy import check_policy
from relay.schedule import ScheduleError, scheduled_time
from relay.secret import Secret, keyed_digest
from relay.store import documents, idempotency, outbox, tokens
from relay.store.database import Store
from relay.store.outbox import NewMessage
from relay.templates.library import Library, Warnings

# What a post brings to be let in with: no part of what it asks for.
CREDENTIALS = frozenset({"token_session", "key"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was stored: a message, or None for a robot's submission, which nobody will deliver.

    `scheduled` tells whether it is to be sent later, or would be. `request` is what its caller
    named by a key, to be answered and ended; `repeat` the answer that it was given before.
    """

    id: str
    message: Message | None
    scheduled: bool = False
    request: Request | None = None
    repeat: Repeat | None = None


class Acceptance:
    """Judges submissions and stores what they make.

    chains: every server's chain, by name. library: the stored templates. secret: what tokens are
    hashed with. metadata_key: the name under which a message carries its own id to the provider.
    repeats: the requests that were named by a key.
    """

    def __init__(
        self,
        store: Store,
        chains: Mapping[str, Chain],
        library: Library,
        *,
        secret: Secret,
        metadata_key: str,
        repeats: Repeats,
        unknown_server: str = "",
    ) -> None:
        self._store = store
        self._chains = chains
        self._library = library
        self._secret = secret
        self._metadata_key = metadata_key
        self._repeats = repeats
        self._unknown_server = unknown_server.lower()

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
        path: str = "",
    ) -> Accepted:
        """Store what a submission makes, in one commit with the token it spends.

        before_commit is called with the message, so that nothing of its delivery is missed. path:
        where it was posted; an Idempotency-Key is good for one path. Raise SubmissionError, and
        then nothing was stored.
        """
        chain = self.chain(submission.server)
        try:
            identity = identify(chain, submission)
            begun = await self._begin(chain, submission, identity, path)
            if isinstance(begun, Repeat):
                return Accepted(begun.message, None, repeat=begun)
            try:
                return await self._accept(chain, submission, identity, begun, before_commit)
            except BaseException:
                if begun is not None:
                    self._repeats.end(begun)
                raise
        except SubmissionError as error:
            chain.observe("refused", submission=submission, error=error)
            raise

    async def _begin(
        self, chain: Chain, submission: Submission, identity: Identity, path: str
    ) -> Request | Repeat | None:
        left_out = CREDENTIALS if submission.session else frozenset()

        def fingerprint() -> bytes:
            fields = submission.fields
            return fingerprint_of({name: fields[name] for name in fields if name not in left_out})

        scope = (identity.kind, identity.key, chain.server.name, path)
        key = submission.headers.get(HEADER)
        return await self._repeats.begin(key, scope, fingerprint, submission.received_at)

    async def _accept(
        self,
        chain: Chain,
        submission: Submission,
        identity: Identity,
        request: Request | None,
        before_commit: Callable[[Message], None],
    ) -> Accepted:
        token = await self._token(chain, submission, identity)
        decoy = chain.screen(submission)
        if decoy is not None:
            row = _kept_back(submission, chain.server, identity, token, decoy.reason)
            await self._add(row, request)
            log.info("submission.screened", id=row.id, server=row.server, reason=decoy.reason)
            chain.observe("screened", submission=submission, decoy=decoy)
            return Accepted(row.id, None, row.due_at is not None, request)
        message, warnings = await self._message(chain, submission)
        before_commit(message)
        row = records.record(message, chain.server, identity.key, warnings, token)
        await self._add(row, request)
        records.log_accepted(message, row, self._secret)
        chain.observe("accepted", message=message)
        return Accepted(message.id, message, row.due_at is not None, request)

    async def _add(self, row: NewMessage, request: Request | None) -> None:
        if request is None:
            await self._store.write(outbox.add, row)
        else:
            await self._store.write(idempotency.add, request.entry([row]))

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


def _kept_back(
    submission: Submission,
    server: Server,
    identity: Identity,
    token: bytes | None,
    reason: str,
) -> NewMessage:
    """Make the row of a robot's submission, which is kept for review."""
    id = message_id()
    return NewMessage(
        id=id,
        server=server.name,
        state="screened",
        created_at=timestamp(id),
        due_at=_would_be_due(submission, server),
        key=identity.key,
        document=documents.dump_submission(submission),
        token=token,
        words=reason,
    )


def _would_be_due(submission: Submission, server: Server) -> float | None:
    """Tell for when a robot's submission would be scheduled; None for at once."""
    now = submission.received_at
    try:
        at = scheduled_time(submission.fields.get("senddatetime", ""), now)
    except ScheduleError:
        return None
    return at if at > now and server.scheduling else None


def token_digest(secret: Secret, token: int) -> bytes:
    """Give the form in which a session token is stored."""
    return keyed_digest(secret, f"token {token}")


def identify(chain: Chain, submission: Submission) -> Identity:
    """Tell who posted a submission; raise AuthenticationFailed."""
    identity = chain.authenticate(submission)
    if identity is None:
        given = submission.headers.get("authorization") or submission.fields.get("key")
        raise AuthenticationFailed(reason="unknown_key" if given else "no_header")
    return identity
