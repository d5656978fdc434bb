"""What writers proved themselves with: spent by one message each, given back, forgotten."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete

from relay.core.errors import VerificationFailed
from relay.store.engine.expressions import upsert
from relay.store.engine.writer import one_by_one
from relay.store.schema import proofs

# How much longer than it is good a proof is remembered: clocks differ, and plugins may be mistaken.
REMEMBERED_SECONDS = 24 * 3600.0


class ProofUse(NamedTuple):
    """A proof that a message spends, by its digest, and until when its plugin would take it."""

    digest: bytes
    expires_at: float


class Spending(NamedTuple):
    """A proof that a message is to be stored against."""

    proof: ProofUse
    message: str
    now: float


def spend(connection: Connection, batch: Sequence[Spending]) -> list[VerificationFailed | None]:
    """Spend proofs; of several that bring the same one, the first gets it.

    Another daemon that spends the same one at this moment has it, or waits for this transaction.
    """
    if not batch:
        return []
    first = {one.proof.digest: one for one in reversed(batch)}
    # In the order in which every daemon locks them.
    rows = [_row(first[digest]) for digest in sorted(first)]
    statement = upsert(connection, proofs).on_conflict_do_nothing().returning(proofs.c.digest)
    won = set(connection.execute(statement, rows).scalars())
    results: list[VerificationFailed | None] = []
    for one in batch:
        is_mine = one.proof.digest in won and first[one.proof.digest] is one
        results.append(None if is_mine else VerificationFailed(reason="proof_used"))
    return results


def _row(one: Spending) -> dict[str, object]:
    expires_at = max(one.proof.expires_at, one.now) + REMEMBERED_SECONDS
    return {"digest": one.proof.digest, "message": one.message, "expires_at": expires_at}


def give_back(connection: Connection, messages: Sequence[str]) -> None:
    """Make the proofs good again that were spent on these messages."""
    if messages:
        connection.execute(delete(proofs).where(proofs.c.message.in_(messages)))


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Drop the proofs that nobody takes any more at each of these times; count them."""
    return connection.execute(delete(proofs).where(proofs.c.expires_at < now)).rowcount
