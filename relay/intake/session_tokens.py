"""Session tokens: made, looked up, spent by the commit of what they bring in, removed."""

import secrets
from dataclasses import dataclass
from typing import Literal

from relay.core.errors import TooManyRequests
from relay.core.secret import Secret, keyed_digest
from relay.store import tokens
from relay.store.engine.database import Store
from relay.store.tokens import TokenUse

# So many random bits, in an integer of this many digits that survives a JavaScript double.
BITS = 52
DIGITS = 16
# How often unspent tokens are counted anew; in between, those that are made are added.
COUNT_SECONDS = 10

FULL = "too many session tokens are unspent: try again later"


@dataclass(frozen=True, slots=True)
class SessionToken:
    """A token that may be spent: its digest, and its age in seconds where it is known.

    The commit that stores a message with the digest spends it, or refuses the message.
    """

    digest: bytes
    age: float | None


class SessionTokens:
    """The tokens of one installation; only their digests are stored. secret: makes these."""

    def __init__(self, store: Store, secret: Secret) -> None:
        self._store = store
        self._secret = secret
        self._unspent, self._counted_at = 0, float("-inf")

    async def make(self, now: float, seconds: float, most: int = 0) -> int:
        """Make a token that may be spent for so many seconds.

        most: how many may be unspent; 0 is no limit. Raise TooManyRequests.
        """
        if most:
            await self._count(now, most)
        token = secrets.randbelow(1 << BITS) + (1 << BITS)
        new = tokens.NewToken(self.digest(token), now + seconds, now)
        await self._store.write(tokens.create, new)
        return token

    async def _count(self, now: float, most: int) -> None:
        if abs(now - self._counted_at) >= COUNT_SECONDS:
            self._counted_at = now
            self._unspent = await self._store.read(tokens.unspent, now)
        if self._unspent >= most:
            raise TooManyRequests(COUNT_SECONDS, FULL)
        self._unspent += 1

    async def check(self, token: int, now: float) -> SessionToken:
        """Look up a token that is to be spent; raise TokenRefused."""
        digest = self.digest(token)
        made_at = await self._store.read(tokens.check, digest, now)
        return SessionToken(digest, None if made_at is None else now - made_at)

    async def spent_on(self, token: int, content: bytes) -> str | None:
        """Return the message that a token was spent on, if it was by the same content."""
        return await self._store.read(tokens.spent_on, TokenUse(self.digest(token), content))

    async def remove(self, given: object, now: float) -> Literal["removed", "not found"]:
        """Make a token unusable, as somebody wrote it; return whether there was one."""
        digits = str(given) if isinstance(given, int | str) else ""
        if not (digits.isascii() and digits.isdecimal() and len(digits) == DIGITS):
            return "not found"
        return await self._store.write(tokens.remove, (self.digest(int(digits)), now))

    def digest(self, token: int) -> bytes:
        """Return the form in which a token is stored."""
        return keyed_digest(self._secret, f"token {token}")
