"""Secrets: values that never print themselves, and where they come from."""

import hashlib
import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Secret:
    """A value that shows itself only when asked by `reveal()`; its repr and str do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value: to the provider's header, never to a log, an error or a page."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


def resolve(reference: Any, environment: Mapping[str, str], folder: Path) -> Secret:
    """Read a `{ env = "NAME" }` or `{ file = "path" }`; raise ValueError in words for a person.

    A file's path is relative to the settings' folder. A file that its group or others may write
    is refused: whoever can write it chooses the secret.
    """
    if not isinstance(reference, Mapping) or len(reference) != 1:
        raise ValueError('a secret stands elsewhere: write { env = "NAME" } or { file = "path" }')
    [(kind, name)] = reference.items()
    if kind not in ("env", "file") or not isinstance(name, str) or not name:
        raise ValueError('write { env = "NAME" } or { file = "path" }')
    value = _from_environment(name, environment) if kind == "env" else _from_file(folder / name)
    if not value:
        raise ValueError(f"{name} is empty")
    return Secret(value)


def _from_environment(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise ValueError(f"the environment variable {name} is not set")
    value = environment[name].strip()
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the environment variable {name} is not UTF-8") from None
    return value


def _from_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {type(error).__name__}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"{path} may be written by others: chmod go-w it")
    return value


def private_file(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # one that a crash left behind keeps its mode
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def digest(key: bytes) -> bytes:
    """The form in which a key is held: SHA-256, enough for keys of high entropy."""
    return hashlib.sha256(key).digest()


def keyed_digest(secret: Secret, value: str) -> bytes:
    """HMAC-SHA-256, for values too short to be safe as a plain hash: tokens, addresses."""
    return hmac.digest(secret.reveal().encode(), value.encode(), "sha256")
