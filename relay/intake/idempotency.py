"""Requests that their callers name by a key: repeated, they are answered again, not done again.

The request is stored in one commit with its messages, so that a daemon that dies before it answers
knows of it afterwards. Its answer is written down when it was given; until then it is known in
memory, and after a crash it is told from what became of the messages.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from relay.core.errors import (
    IdempotencyConflict,
    IdempotencyKeyInvalid,
    IdempotencyRunning,
    Unavailable,
)
from relay.core.immutable import thaw
from relay.core.states import State
from relay.store import idempotency
from relay.store.engine.database import Store
from relay.store.idempotency import (
    RETRY_AFTER_SECONDS,
    Answered,
    IdempotencyEntry,
    Known,
    KnownMessage,
)
from relay.store.outbox.enqueue import NewMessage
from relay.store.schema import BROKEN

HEADER = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600.0
MAX_CHARACTERS = 255

# The answer of a request that broke a plugin: what it asked for is kept.
KEPT = "kept"

# A string as structured fields write it (RFC 9651), or the bare characters.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-~][!-~]*")

log = structlog.get_logger()


@dataclass(slots=True)
class Request:
    """A request that runs; its answer is None until it was given."""

    digest: bytes
    fingerprint: bytes
    now: float
    answer: str | None = None
    status: int = 200
    message: str = ""

    def entry(self, messages: Sequence[NewMessage], answer: str | None = None) -> IdempotencyEntry:
        """Make the row that is stored with the messages."""
        status = None if answer is None else self.status
        expires_at = self.now + KEPT_SECONDS
        return IdempotencyEntry(
            self.digest, self.fingerprint, expires_at, self.now, messages, status, answer
        )


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request that was made before: what it was answered, and the first of its messages.

    Of one whose answer was never written down, the answer is what its message says now:
    `sent`, `scheduled`, `failed` (with the provider's `words`), `queued`, or `kept` where a plugin
    failed at it.
    """

    status: int
    answer: str
    message: str
    words: str = ""


class IdempotentRequests:
    """Knows the requests that run and those that were answered in the last 24 hours."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[bytes, Request] = {}

    async def begin(
        self,
        key: str,
        scope: Sequence[str],
        fingerprint: Callable[[], bytes],
        now: float,
    ) -> Request | Repeat:
        """Begin a request, or find the one that it repeats.

        scope: who asks, and where: the same key is another one elsewhere. fingerprint: gives the
        digest of what is asked for. Every Request must be given to `end`. Raise
        IdempotencyKeyInvalid, IdempotencyConflict or IdempotencyRunning.
        """
        digest = fingerprint_of([*scope, parse(key)])
        request = Request(digest, fingerprint(), now)
        known = self._known(request)
        if known is None:
            stored = await self._store.read(idempotency.find, digest, now)
            # It may have begun meanwhile, and what runs knows better than what was stored.
            known = self._known(request) or (stored and _repeat(stored, request))
        if known is None:
            self._running[digest] = request
        return known or request

    def _known(self, request: Request) -> Repeat | None:
        """Find the answer of the same request that was just given; raise if it still runs."""
        first = self._running.get(request.digest)
        if first is None:
            return None
        _check_same(first.fingerprint, request)
        if first.answer is None:
            raise IdempotencyRunning(RETRY_AFTER_SECONDS)
        return Repeat(first.status, first.answer, first.message)

    async def answered(self, request: Request, answer: str, message: str = "") -> None:
        """Write down what was answered. It is told already, so a store that fails is no matter."""
        request.answer, request.message = answer, message
        try:
            row = Answered(request.digest, request.status, answer)
            await self._store.write(idempotency.answer, row)
        except Unavailable:
            log.warning("answer.unstored", id=message)

    async def drop(self, request: Request) -> None:
        """Forget a request whose message was refused for good: its caller may mend it."""
        try:
            await self._store.write(idempotency.drop, request.digest)
        except Unavailable:
            log.warning("answer.unstored")

    def end(self, request: Request) -> None:
        """Take note that a request no longer runs, however it ended."""
        self._running.pop(request.digest, None)


def _repeat(known: Known, request: Request) -> Repeat:
    _check_same(known.fingerprint, request)
    first = known.messages[0].id if known.messages else ""
    if known.answer is not None and known.status is not None:
        return Repeat(known.status, known.answer, first)
    return repeat_of(known.messages[0]) if known.messages else Repeat(200, State.QUEUED, first)


def repeat_of(row: KnownMessage) -> Repeat:
    """Return what the request of a message is answered now."""
    scheduled = row.state in (State.SCHEDULED, State.SCREENED) and row.due_at > row.created_at
    # A robot is told what a clean submission most likely would have been.
    alike = {State.SCREENED: State.SENT, State.SUPPRESSED: State.FAILED}
    if row.kind == BROKEN and row.state == State.QUARANTINED:
        return Repeat(500, KEPT, row.id)
    told = State.SCHEDULED if scheduled else alike.get(row.state, row.state)
    is_told = told in (State.SENT, State.SCHEDULED, State.FAILED)
    return Repeat(200, told if is_told else State.QUEUED, row.id, row.words or "")


def _check_same(fingerprint: bytes, request: Request) -> None:
    if fingerprint != request.fingerprint:
        raise IdempotencyConflict


def parse(key: str) -> str:
    """Read an Idempotency-Key: a quoted string, or bare; `"a"` and `a` are the same key.

    Raise IdempotencyKeyInvalid.
    """
    quoted = _QUOTED.fullmatch(key)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else key
    if not 0 < len(name) <= MAX_CHARACTERS or not (quoted or _BARE.fullmatch(key)):
        raise IdempotencyKeyInvalid
    return name


def fingerprint_of(content: Any) -> bytes:
    """Digest a parsed body: the order of names, and how it was written, make no difference."""
    digest = hashlib.sha256()
    # A long list piece by piece, so that a thread that does it leaves the others their turns.
    for part in content if isinstance(content, list) else [content]:
        digest.update(json.dumps(thaw(part), sort_keys=True, separators=(",", ":")).encode())
        digest.update(b"\n")
    return digest.digest()
