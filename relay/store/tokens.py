"""Session tokens: made, looked up, spent with the message they bring in, given back, forgotten."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from relay.core.errors import TokenRefused
from relay.store.engine.writer import one_by_one
from relay.store.schema import tokens

# How long a spent or expired token is remembered, so that a refusal can say which it was.
REMEMBERED_SECONDS = 24 * 3600.0


class NewToken(NamedTuple):
    """A token to be kept, by its digest, until a time."""

    digest: bytes
    expires_at: float
    made_at: float | None = None


class TokenUse(NamedTuple):
    """A token that a message spends, by its digest; and a digest of the content, to be known by."""

    digest: bytes
    content: bytes | None = None


class Spending(NamedTuple):
    """A token that a message is to be stored against."""

    token: TokenUse
    message: str
    now: float


def create(connection: Connection, batch: Sequence[NewToken]) -> Sequence[None]:
    """Keep new tokens."""
    connection.execute(insert(tokens), [token._asdict() for token in batch])
    return [None] * len(batch)


def check(connection: Connection, digest: bytes, now: float) -> float | None:
    """Return when a token was made, if that is known; raise TokenRefused unless it may be used."""
    row = connection.execute(select(tokens).where(tokens.c.digest == digest)).first()
    if row is None:
        raise TokenRefused(reason="token_unknown")
    if row.message is not None:
        raise TokenRefused(reason="token_used")
    if row.expires_at <= now:
        raise TokenRefused(reason="token_expired")
    made_at: float | None = row.made_at
    return made_at


def unspent(connection: Connection, now: float) -> int:
    """Count the tokens that are still good for a message."""
    query = select(func.count()).where(tokens.c.message.is_(None), tokens.c.expires_at > now)
    count: int = connection.execute(query).scalar_one()
    return count


def spend(connection: Connection, batch: Sequence[Spending]) -> list[TokenRefused | None]:
    """Spend tokens; of several that want the same one, the first gets it."""
    if not batch:
        return []
    digests = [spending.token.digest for spending in batch]
    query = select(tokens.c.digest, tokens.c.expires_at).where(
        tokens.c.digest.in_(digests), tokens.c.message.is_(None)
    )
    query = query.order_by(tokens.c.digest)  # in the order in which every daemon locks them
    usable = {row.digest: row.expires_at for row in connection.execute(query.with_for_update())}
    won: list[dict[str, object]] = []
    results: list[TokenRefused | None] = []
    for spending in batch:
        digest, content = spending.token
        if usable.pop(digest, 0.0) > spending.now:
            won.append({"spent": digest, "by": spending.message, "on": content})
            results.append(None)
        else:
            results.append(TokenRefused(reason="token_used"))
    if won:
        statement = update(tokens).where(tokens.c.digest == bindparam("spent"))
        values: dict[str, Any] = {"message": bindparam("by"), "content": bindparam("on")}
        connection.execute(statement.values(values), won)
    return results


def spent_on(connection: Connection, use: TokenUse) -> str | None:
    """Return the message that a token was spent on; None if its content was another one."""
    query = select(tokens.c.message).where(
        tokens.c.digest == use.digest, tokens.c.content == use.content
    )
    return connection.execute(query).scalar()


def give_back(connection: Connection, messages: Sequence[str]) -> None:
    """Make the tokens usable again that were spent on these messages."""
    if messages:
        statement = update(tokens).where(tokens.c.message.in_(messages))
        connection.execute(statement.values(message=None))


@one_by_one
def remove(connection: Connection, token: tuple[bytes, float]) -> Literal["removed", "not found"]:
    """Make unspent tokens unusable; a spent, expired or unknown one is "not found"."""
    digest, now = token
    statement = delete(tokens).where(
        tokens.c.digest == digest, tokens.c.message.is_(None), tokens.c.expires_at > now
    )
    return "removed" if connection.execute(statement).rowcount else "not found"


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Drop the tokens that expired long before each of these times; count them."""
    expired = tokens.c.expires_at < now - REMEMBERED_SECONDS
    return connection.execute(delete(tokens).where(expired)).rowcount
