"""The lock of a data folder: who has it is alone with the database."""

import fcntl
import os
from pathlib import Path
from typing import IO

from relay.core.errors import ConfigurationError


def take(data: Path) -> IO[str]:
    """Take the lock of a data folder until the file is closed; raise ConfigurationError."""
    try:
        lock = (data / "relay.lock").open("a+")
    except OSError as error:
        raise ConfigurationError(f"{data} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigurationError(f"{data}: another daemon uses this folder") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
