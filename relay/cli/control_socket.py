"""Where commands reach the daemon: a socket in its data folder, however long that one's path is."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

NAME = "relay.sock"
# A socket's address has room for 104 bytes on some systems, for 108 on others, the last one zero.
LONGEST = 103


@contextlib.contextmanager
def address(data: Path) -> Iterator[str]:
    """Name the socket as the system takes it: a long path is shortened by going to its folder."""
    path = data / NAME
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    with contextlib.chdir(data):
        yield NAME
