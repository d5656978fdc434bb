"""Files that hold an address, wherever in them: also in the free space of a database."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

CHUNK = 2**20


def holding(paths: Iterable[Path], texts: Sequence[str]) -> list[Path]:
    """Return which of some files, and of all files in some folders, hold a text in any case."""
    looked_for = [text.lower().encode() for text in texts]
    return sorted(path for path in _files(paths) if _holds(path, looked_for))


def _files(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for path in paths:
        found |= {one for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()}
    return found


def _holds(path: Path, texts: Sequence[bytes]) -> bool:
    """Return whether a file holds any of these; False for one that is gone, or not to be read."""
    kept = max(map(len, texts)) - 1
    end = b""
    with suppress(OSError), path.open("rb") as file:
        while chunk := file.read(CHUNK):
            seen = end + chunk.lower()
            if any(text in seen for text in texts):
                return True
            end = seen[-kept:]
    return False
