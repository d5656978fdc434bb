"""From a submission to a stored message: authenticate, check, screen, validate, verify, compose.

Each refusal is an error of its own, in this order: unknown server, authentication, a repeated
request, token, fields, verification.
What a robot sent, or what cannot be verified now, is stored too, apart, and answered as if it were
a message. What was let in and breaks a plugin after that is kept until the plugin is mended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from relay.core import origin
from relay.core.errors import (
    IdempotencyRunning,
    SubmissionError,
    SubmissionKept,
    TokenRefused,
    UnknownServer,
    VerificationFailed,
)
from relay.core.ids import message_id, timestamp
from relay.core.immutable import freeze
from relay.core.logs import raised_by
from relay.core.message import Message
from relay.core.origin import Origin
from relay.core.secret import keyed_digest
from relay.core.server import Server
from relay.core.states import State
from relay.core.submission import Decoy, Identity, Submission, Unsure, Verified
from relay.forms.send_time import ScheduleError, scheduled_time
from relay.hooks.chain import Chain
from relay.intake.authentication import begin_request, claimed, content_of, identify
from relay.intake.idempotency import (
    HEADER,
    KEPT,
    IdempotentRequests,
    Repeat,
    Request,
    fingerprint_of,
    repeat_of,
)
from relay.intake.keys import Keys
from relay.intake.message_builder import MessageBuilder, validated
from relay.intake.outbox import Guard, Outbox, Outgoing
from relay.intake.session_tokens import SessionTokens
from relay.intake.verification import Verifier
from relay.store import acts, documents, idempotency
from relay.store.acts import Act, Acted, By
from relay.store.engine.database import Store
from relay.store.idempotency import BrokenSubmission
from relay.store.outbox import references, screened
from relay.store.outbox.enqueue import NewMessage
from relay.store.outbox.screened import Kept, Release
from relay.store.proofs import ProofUse
from relay.store.schema import BROKEN
from relay.store.tokens import TokenUse

SEND_TIME = "senddatetime"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was stored: a message, or None for a robot's submission, which nobody will deliver.

    `scheduled` tells whether it is to be sent later, or would be. `request` is what its caller
    named by a key, to be answered and ended; `repeat` the answer that it was given before.
    `reference` is what its writer may ask by, where writers are told that.
    """

    id: str
    message: Message | None
    scheduled: bool = False
    request: Request | None = None
    repeat: Repeat | None = None
    reference: str = ""

    @property
    def result(self) -> str:
        """The word by which it is counted."""
        if self.repeat is not None:
            return "repeated"
        return State.SCREENED if self.message is None else "accepted"


@dataclass(eq=False, repr=False)
class Acceptance:
    """Judges submissions and stores what they make.

    chain: finds the chain that takes posts to a name, or raises UnknownServer.
    idempotency: the requests that were named by a key.
    """

    store: Store
    chain: Callable[[str], Chain]
    builder: MessageBuilder
    outbox: Outbox
    tokens: SessionTokens
    idempotency: IdempotentRequests
    keys: Keys
    verifier: Verifier

    async def accept(
        self,
        submission: Submission,
        before_commit: Callable[[Message], None] | None = None,
        path: str = "",
        *,
        has_page: bool = False,
    ) -> Accepted:
        """Store what a submission makes, in one commit with the token it spends.

        before_commit is called with the message, so that nothing of its delivery is missed. path:
        where it was posted; an Idempotency-Key is good for one path. has_page: whether its visitor
        goes back to a page, for whom it is no error to have pressed Send twice. Raise
        SubmissionError, and then nothing was stored, or SubmissionKept.
        """
        chain = self.chain(submission.server)
        identity: Identity | None = None
        try:
            identity = identify(chain, submission)
            self.keys.used(identity.key)
            begun = None
            if HEADER in submission.headers:
                begun = await begin_request(self.idempotency, chain, submission, identity, path)
            if isinstance(begun, Repeat):
                return await self._repeated(begun)
            content = await content_of(submission, chain.server.name) if has_page else None
            try:
                return await self._accept(
                    chain, submission, identity, begun, before_commit, content, has_page=has_page
                )
            except BaseException as error:
                if begun is not None:
                    self.idempotency.end(begun)
                if not isinstance(error, TokenRefused | VerificationFailed):
                    raise
                before = await self._sent_before(chain, submission, identity, content)
                if before is None:
                    raise
                return before
        except SubmissionError as error:
            error.key = identity.key if identity else error.key
            chain.observe("refused", submission=submission, error=error)
            raise

    async def _accept(
        self,
        chain: Chain,
        submission: Submission,
        identity: Identity,
        request: Request | None,
        before_commit: Callable[[Message], None] | None,
        content: bytes | None,
        *,
        has_page: bool,
    ) -> Accepted:
        use, claim = None, claimed(chain, submission, identity)
        if claim is not None:
            token = await self.tokens.check(claim.token, submission.received_at)
            use = TokenUse(token.digest, content)
            submission = replace(submission, token_age=token.age)
        submission = await self.builder.numbered(chain, submission)
        reference = submission.reference
        decoy = chain.screen(submission)
        passed = chain.screens if decoy is None else ()
        came_from = origin.of(
            submission, identity, claim, chain.authenticators, passed, has_page=has_page
        )
        try:
            made = decoy or await self._made(chain, submission, identity, came_from, use)
        except SubmissionError:
            raise
        except Exception as error:
            await self._keep(chain, submission, identity, came_from, use, request, error)
            raise SubmissionKept from error
        if isinstance(made, Decoy):
            row = _kept_back(submission, chain.server, identity, came_from, use, made.reason)
            await self.outbox.put_screened(row, request)
            log.info("submission.screened", id=row.id, server=row.server, reason=made.reason)
            chain.observe("screened", submission=submission, decoy=made)
            return Accepted(row.id, None, row.due_at is not None, request, reference=reference)
        [message] = await self.outbox.put([made], request=request, before_commit=before_commit)
        scheduled = message.send_at is not None
        return Accepted(message.id, message, scheduled, request, reference=reference)

    async def _made(
        self,
        chain: Chain,
        submission: Submission,
        identity: Identity,
        came_from: Origin,
        use: TokenUse | None,
    ) -> Outgoing | Decoy:
        """Make the message of a submission; one that nobody can verify now is held like a robot's.

        Raise SubmissionError.
        """
        form = validated(chain, submission, identity)
        verdict = await self.verifier.ask(chain, submission)
        unsure = f"unsure: {verdict.reason}" if isinstance(verdict, Unsure) else ""
        if unsure and chain.server.when_unsure == "hold":
            return Decoy(unsure)
        proof = None
        if isinstance(verdict, Verified) and verdict.proof:
            proof = self._use_of(verdict, chain.server)
        made = await self.builder.make(
            chain, submission, form, identity, came_from, token=use, proof=proof
        )
        return (
            replace(made, warnings=(*made.warnings, f"not verified: {unsure}")) if unsure else made
        )

    def _use_of(self, verdict: Verified, server: Server) -> ProofUse:
        """Return what is stored of a proof that is good for one message of a server."""
        digest = keyed_digest(self.outbox.secret, f"proof {server.name} {verdict.proof}")
        return ProofUse(digest, verdict.expires_at)

    async def _keep(
        self,
        chain: Chain,
        submission: Submission,
        identity: Identity,
        came_from: Origin,
        use: TokenUse | None,
        request: Request | None,
        error: Exception,
    ) -> None:
        """Keep a submission that a plugin failed at, unless the same content is kept already."""
        reason = f"{type(error).__name__}{raised_by(error)}"
        row = _kept_back(submission, chain.server, identity, came_from, use, reason, broken=True)
        name = fingerprint_of([KEPT, (await content_of(submission, chain.server.name)).hex()])
        content = Request(name, name, submission.received_at).entry([row])
        kept = BrokenSubmission(content, request.entry([row]) if request else None)
        try:
            await self.store.write(idempotency.keep, kept)
        except IdempotencyRunning:
            return
        log.warning("submission.kept", id=row.id, server=row.server, reason=reason)

    async def _sent_before(
        self, chain: Chain, submission: Submission, identity: Identity, content: bytes | None
    ) -> Accepted | None:
        """Return what came of the same content, which spent the same token; None for any other."""
        claim = claimed(chain, submission, identity)
        if claim is None or content is None:
            return None
        id = await self.tokens.spent_on(claim.token, content)
        found = await self.store.read(idempotency.known, [id]) if id else []
        return await self._repeated(repeat_of(found[0])) if found else None

    async def _repeated(self, repeat: Repeat) -> Accepted:
        if repeat.answer == KEPT:
            raise SubmissionKept
        reference = await self.store.read(references.told_number, repeat.message)
        return Accepted(repeat.message, None, repeat=repeat, reference=reference)

    async def release(self, id: str, now: float, by: By) -> bool:
        """Queue what a submission that was kept back asks for, under its own id, as if it came now.

        It runs from the schema onwards. False where it is not there, or was released before. Raise
        SubmissionError where it could not be accepted either.
        """
        kept = await self.store.read(screened.find, id)
        if kept is None:
            return False
        chain = self.chain(kept.server)
        if chain.server.name != kept.server:
            raise UnknownServer
        submission = await self.builder.numbered(chain, _kept_submission(kept, now))
        identity = Identity(kept.key, documents.key_kind(kept.document))
        came_from = origin.load(kept.origin) or Origin()
        form = validated(chain, submission, identity)
        outgoing = await self.builder.make(chain, submission, form, identity, came_from, id=id)

        def release(rows: Sequence[NewMessage]) -> Acted:
            [row] = rows
            due_at = now if row.due_at is None else row.due_at  # its age counts from now
            act = Act(now, by, "release", id, kept.state, row.state)
            one = Release(row._replace(due_at=due_at), now, by.who)
            return Acted(screened.release, one, lambda found: [act] if found else [])

        async def released(found: bool) -> None:
            if found:
                log.info("submission.released", id=id, server=chain.server.name, reason=kept.reason)

        guard = Guard(acts.acted, release, lambda found, row: found, released)
        return bool(await self.outbox.put([outgoing], guard=guard))


def _kept_back(
    submission: Submission,
    server: Server,
    identity: Identity,
    came_from: Origin,
    token: TokenUse | None,
    reason: str,
    *,
    broken: bool = False,
) -> NewMessage:
    """Make the row of a submission that is kept for a person: a robot's, or one that broke."""
    id = message_id()
    return NewMessage(
        id=id,
        server=server.name,
        state=State.QUARANTINED if broken else State.SCREENED,
        kind=BROKEN if broken else "plain",
        created_at=timestamp(id),
        due_at=_would_be_due(submission, server),
        key=identity.key,
        document=documents.dump_submission(submission, identity),
        token=token,
        words=reason,
        origin=origin.dump(came_from),
    )


def _kept_submission(kept: Kept, now: float) -> Submission:
    """Read a submission again, to be accepted after all.

    What it wanted sent later is, while that time lies ahead; after that it is sent at once.
    """
    submission = documents.load_submission(kept.server, kept.document)
    fields = {name: submission.fields[name] for name in submission.fields if name != SEND_TIME}
    if kept.due_at > max(now, kept.created_at):
        fields[SEND_TIME] = kept.due_at
    elif kept.due_at <= kept.created_at and SEND_TIME in submission.fields:
        fields[SEND_TIME] = submission.fields[SEND_TIME]
    return replace(submission, fields=freeze(fields), received_at=now)


def _would_be_due(submission: Submission, server: Server) -> float | None:
    """Return for when a robot's submission would be scheduled; None for at once."""
    now = submission.received_at
    try:
        at = scheduled_time(submission.fields.get(SEND_TIME, ""), now)
    except ScheduleError:
        return None
    return at if at > now and server.scheduling else None
