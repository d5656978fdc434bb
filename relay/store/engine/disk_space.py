"""How much room the disk has left: mail is refused while there still is some.

On a disk that is really full nothing can be written, not even that a message was sent.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 2**20
# Free bytes below which nothing new is taken: enough for the largest bodies twice, and a twentieth
# of the disk where that is more; of a large disk no more than this, of a small one no more than a
# quarter.
FEWEST, MOST = 256 * MEGABYTE, 2048 * MEGABYTE
PART, LARGEST_PART = 0.05, 0.25
FILES = 10_000
# It is red when it is nearly so low: at four fifths of the way.
RED = 0.8

LOOK_SECONDS = 1.0


class Space:
    """The file system of a folder, looked at once a second at most."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        look: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._look = look
        self._seen_at = float("-inf")
        self._left = 1.0

    @property
    def is_low(self) -> bool:
        """Whether nothing new may be stored."""
        return self.left < 1

    @property
    def is_nearly_low(self) -> bool:
        """Whether it is time for a person to make room."""
        return self.left * RED < 1

    @property
    def free_bytes(self) -> int:
        """How much room there is for whoever is not root; 0 where nobody can tell."""
        try:
            seen = self._look(self._folder)
        except OSError:
            return 0
        return seen.f_bavail * seen.f_frsize

    @property
    def left(self) -> float:
        """The free space as a multiple of the least that there must be."""
        now = self._clock()
        if now - self._seen_at >= LOOK_SECONDS:
            self._seen_at, self._left = now, self._measured()
        return self._left

    def _measured(self) -> float:
        try:
            seen = self._look(self._folder)
        except OSError:
            return 0.0
        left = seen.f_bavail * seen.f_frsize / floor(seen.f_blocks * seen.f_frsize)
        if not seen.f_files:  # a file system without a fixed number of files
            return left
        return min(left, seen.f_favail / max(min(seen.f_files * PART, FILES), 1))


def floor(size: int) -> float:
    """Return the free bytes that a file system of this size must keep."""
    return max(1, min(max(FEWEST, min(size * PART, MOST)), size * LARGEST_PART))
