"""Passwords: hashed by argon2 in a thread, a few at a time; the commonest are refused."""

import asyncio
import base64
import secrets
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LEAST_CHARACTERS = 12
# Each takes 64 MB for some milliseconds.
AT_ONCE = 2

_hasher = PasswordHasher()


def objection(password: str, name: str) -> str:
    """Say why a person may not have a password; "" where he may."""
    if len(password) < LEAST_CHARACTERS:
        return f"a password has {LEAST_CHARACTERS} characters and more"
    if len(password) > 1000:
        return "a password has 1,000 characters at most"
    if password.lower() in _common() or len(set(password)) < 4:
        return "this is one of the commonest passwords: others try it first"
    if name.lower() in password.lower() and len(password) - len(name) < 8:
        return "a password is not mostly the name"
    return ""


class Passwords:
    """Hashes and verifies; the time is the same whether or not there is anything to verify."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def hashed(self, password: str) -> str:
        """Return the hash of a password, as argon2 writes it."""
        async with self._turns:
            return await asyncio.to_thread(_hasher.hash, password)

    async def is_right(self, password: str, known: str | None) -> bool:
        """Whether a password is the one that was hashed; None is nobody's."""
        async with self._turns:
            right = await asyncio.to_thread(_verify, known or _nobodys_hash(), password)
        return right and known is not None


def _verify(known: str, password: str) -> bool:
    try:
        return _hasher.verify(known, password)
    except (Argon2Error, InvalidHashError):
        return False


def _nobodys_hash() -> str:
    """Return a hash that takes as long to verify as any other, and that no password has."""
    cost = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    salt, value = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_hasher.salt_len, _hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${value}"


@cache
def _common() -> frozenset[str]:
    path = Path(__file__).with_name("common_passwords.txt")
    return frozenset(path.read_text(encoding="utf-8").split())
