"""Requests that their callers named by a key: stored with their messages, found when repeated."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from relay.core.errors import IdempotencyRunning, SubmissionError
from relay.core.states import State
from relay.store.engine.expressions import upsert
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.schema import idempotency, messages

RETRY_AFTER_SECONDS = 1


class IdempotencyEntry(NamedTuple):
    """A request, by its digest, with what it stores; `answer` where it is known beforehand."""

    digest: bytes
    fingerprint: bytes
    expires_at: float
    now: float
    messages: Sequence[NewMessage]
    status: int | None = None
    answer: str | None = None


class BrokenSubmission(NamedTuple):
    """What is kept of a submission that a plugin failed at, by the digest of its content.

    request: what its caller named by a key, if anything.
    """

    content: IdempotencyEntry
    request: IdempotencyEntry | None


class Answered(NamedTuple):
    """What a request was answered."""

    digest: bytes
    status: int
    answer: str


class KnownMessage(NamedTuple):
    """A message of an earlier request, as it stands now."""

    id: str
    state: State
    kind: str
    created_at: float
    due_at: float
    words: str | None


class Known(NamedTuple):
    """An earlier request: its answer, None if it was never written down, and its messages."""

    fingerprint: bytes
    status: int | None
    answer: str | None
    messages: Sequence[KnownMessage]


def find(connection: Connection, digest: bytes, now: float) -> Known | None:
    """Look up a request that is not forgotten yet."""
    query = select(idempotency).where(
        idempotency.c.digest == digest, idempotency.c.expires_at > now
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Known(row.fingerprint, row.status, row.answer, known(connection, row.messages.split()))


def known(connection: Connection, ids: Sequence[str]) -> list[KnownMessage]:
    """Return what stands of messages, by their ids."""
    stored = select(*(messages.c[name] for name in KnownMessage._fields))
    stored = stored.where(messages.c.id.in_(ids)).order_by(messages.c.id)
    return [KnownMessage(*one) for one in connection.execute(stored)]


def add(connection: Connection, batch: Sequence[IdempotencyEntry]) -> list[SubmissionError | None]:
    """Store requests, each in one commit with its messages and what these spend.

    One whose digest is taken, or whose token or proof is gone, is not stored: its result is the
    refusal.
    """
    won = _taken(connection, batch)
    results: list[SubmissionError | None] = []
    for entry in batch:
        is_first = won.pop(entry.digest, None) is not None
        results.append(None if is_first else IdempotencyRunning(RETRY_AFTER_SECONDS))
    first = [index for index, refusal in enumerate(results) if refusal is None]
    stored = [(index, message) for index in first for message in batch[index].messages]
    refusals = enqueue.add(connection, [message for _, message in stored])
    for (index, _), not_stored in zip(stored, refusals, strict=True):
        results[index] = results[index] or not_stored
    unstored = [batch[index].digest for index in first if results[index] is not None]
    if unstored:
        connection.execute(delete(idempotency).where(idempotency.c.digest.in_(unstored)))
    return results


def keep(connection: Connection, batch: Sequence[BrokenSubmission]) -> list[Any]:
    """Keep submissions that a plugin failed at, each with the token and the request that it spends.

    Of the same content, what is kept already changes nothing; results are as those of `add`.
    """
    results = []
    for one in batch:
        [refusal] = add(connection, [one.content])
        if refusal is None and one.request is not None:
            _taken(connection, [one.request])
        results.append(refusal)
    return results


def _taken(
    connection: Connection, batch: Sequence[IdempotencyEntry]
) -> dict[bytes, IdempotencyEntry]:
    """Take the digests that are free; return by which requests. Old ones are forgotten, now.

    Another daemon that takes the same one at this moment has it, or waits for this transaction.
    """
    first = {entry.digest: entry for entry in reversed(batch)}
    expired = idempotency.c.expires_at <= min(entry.now for entry in batch)
    mine = idempotency.c.digest.in_(list(first))
    connection.execute(delete(idempotency).where(mine, expired))
    taking = upsert(connection, idempotency).on_conflict_do_nothing()
    rows = [_row(first[digest]) for digest in sorted(first)]
    taken = connection.execute(taking.returning(idempotency.c.digest), rows).scalars()
    return {digest: first[digest] for digest in taken}


def _row(entry: IdempotencyEntry) -> dict[str, object]:
    return {
        "digest": entry.digest,
        "fingerprint": entry.fingerprint,
        "expires_at": entry.expires_at,
        "messages": " ".join(message.id for message in entry.messages),
        "status": entry.status,
        "answer": entry.answer,
    }


def answer(connection: Connection, batch: Sequence[Answered]) -> Sequence[None]:
    """Write down what requests were answered."""
    statement = update(idempotency).where(idempotency.c.digest == bindparam("request"))
    statement = statement.values(status=bindparam("new_status"), answer=bindparam("new_answer"))
    connection.execute(
        statement,
        [
            {"request": one.digest, "new_status": one.status, "new_answer": one.answer}
            for one in batch
        ],
    )
    return [None] * len(batch)


def drop(connection: Connection, batch: Sequence[bytes]) -> Sequence[None]:
    """Forget requests at once: what they asked for was refused after all."""
    connection.execute(delete(idempotency).where(idempotency.c.digest.in_(batch)))
    return [None] * len(batch)


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Forget the requests that expired before each of these times; count them."""
    expired = idempotency.c.expires_at <= now
    return connection.execute(delete(idempotency).where(expired)).rowcount
