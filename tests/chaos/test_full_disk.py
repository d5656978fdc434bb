"""A disk that is full: nothing is promised, nothing is lost, and it goes on when there is room."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

pytestmark = pytest.mark.slow

UNSHARE = ("unshare", "--map-root-user", "--mount")


def refusal() -> str:
    """Tell why there can be no disk of our own here; "" if there can."""
    mount = ("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    try:
        tried = subprocess.run([*UNSHARE, *mount], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare is missing"
    return tried.stderr.strip()


@pytest.mark.timeout(300)
def test_on_a_full_disk_nothing_is_promised_and_nothing_is_lost(tmp_path: Path) -> None:
    if why := refusal():
        pytest.skip(f"not run: no disk of our own: {why}")
    command = [*UNSHARE, sys.executable, "-m", "tests.chaos.full_disk", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
