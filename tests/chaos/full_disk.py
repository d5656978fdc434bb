"""A daemon whose disk fills up under load, in a namespace where that is a small disk of its own.

Run as `unshare -rm python -m tests.chaos.full_disk FOLDER`; ends with 0 when all is well.
"""

import subprocess
import sys
from pathlib import Path

from tests.chaos.rig import FULL, Rig, until

DISK = "32m"
BLOCK = b"x" * 2**16
ROUNDS = 5 if FULL else 1


def fill(path: Path) -> None:
    """Write until nothing more can be written."""
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(BLOCK)
        except OSError:
            pass


def refusals(rig: Rig) -> int:
    return sum(words == "503" for one in rig.callers for words in [*one.answers.values()])


def promises(rig: Rig) -> int:
    words = [words for one in rig.callers for words in [*one.answers.values()]]
    return sum(one.startswith("Message ") for one in words)


def main(folder: Path) -> None:
    """Fill the disk and free it again, under load; then compare the accounts."""
    data = folder / "var"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data)], check=True)
    with Rig(folder, 7) as rig:
        rig.provider.set(rates={"busy": 0.05, "lost": 0.05}, latency=0.01)
        rig.call()
        for _ in range(ROUNDS):
            promised, refused = promises(rig), refusals(rig)
            until(lambda: promises(rig) > promised + 20, lambda: "nothing was promised")  # noqa: B023
            fill(data / "filling")
            until(lambda: refusals(rig) > refused + 100, lambda: "nothing was refused")  # noqa: B023
            (data / "filling").unlink()
        promised = promises(rig)
        until(lambda: promises(rig) > promised + 20, rig.daemon.log)
        rig.hang_up()
        rig.settled()
        assert rig.daemon.process.poll() is None, rig.daemon.log()
        found = rig.ledger()
        assert found.faults == {}, found.faults
        assert found.doubled == set(), found.doubled
        assert rig.odd == [], rig.odd
        assert set(found.states.values()) == {"sent"}, set(found.states.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
