"""Who is let in: the caller by its key, a repeated request by its name, a session by its token."""

import asyncio
import hashlib

from relay.core.errors import AuthenticationFailed, TokenRefused
from relay.core.submission import Claim, Identity, Submission
from relay.forms.email_form import PROOF_FIELDS
from relay.hooks.chain import Chain
from relay.intake.idempotency import HEADER, IdempotentRequests, Repeat, Request, fingerprint_of

# What a post brings to be let in with: no part of what it asks for.
CREDENTIALS = frozenset({"token_session", "key"})


async def begin_request(
    idempotency: IdempotentRequests,
    chain: Chain,
    submission: Submission,
    identity: Identity,
    path: str,
) -> Request | Repeat:
    """Begin a request that is named by a key, or find the one that it repeats.

    It raises what IdempotentRequests.begin does.
    """
    scope = (identity.kind, identity.key, chain.server.name, path)
    return await idempotency.begin(
        submission.headers[HEADER],
        scope,
        lambda: fingerprint_of(_asked(submission)),
        submission.received_at,
    )


async def content_of(submission: Submission, server: str) -> bytes:
    """Digest what a submission asks of a server, in a thread where there are files to read."""

    def content() -> bytes:
        return fingerprint_of([server, _asked(submission)])

    return await asyncio.to_thread(content) if submission.files else content()


def _asked(submission: Submission) -> object:
    left_out = PROOF_FIELDS | (CREDENTIALS if submission.session else frozenset())
    fields = submission.fields
    asked = {name: fields[name] for name in fields if name not in left_out}
    if not submission.files:
        return asked
    files = [
        [file.field_name, file.name, hashlib.sha256(file.content).hexdigest()]
        for file in submission.files
    ]
    return {"fields": asked, "files": files}


def identify(chain: Chain, submission: Submission) -> Identity:
    """Return who posted a submission; raise AuthenticationFailed."""
    identity = chain.authenticate(submission)
    if identity is None:
        given = submission.headers.get("authorization") or submission.fields.get("key")
        raise AuthenticationFailed(reason="unknown_key" if given else "no_header")
    # Every visitor has it. Keys of the store may be newer than what was checked at the start.
    if identity.kind == "publishable" and chain.server.recipients is None:
        raise AuthenticationFailed(reason="key_kind", key=identity.key)
    return identity


def claimed(chain: Chain, submission: Submission, identity: Identity) -> Claim | None:
    """Return the session token that a submission brings, not looked up yet.

    None where it needs none; raise TokenRefused where a session post lacks it.
    """
    claim = chain.check_token(submission, identity)
    if claim is None and submission.session:
        raise TokenRefused(reason="token_missing")
    return claim
