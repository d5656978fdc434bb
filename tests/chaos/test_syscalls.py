"""Kills and input/output errors at every single write and sync of one accepted and sent message.

strace attaches to the running daemon and strikes at the n-th such call of any of its threads.
"""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.chaos.ledger import SENT, rows
from tests.chaos.rig import FULL, Rig, post, until

CALLS = "pwrite64,fdatasync,fsync"
SYNCS = "fdatasync,fsync"
# More calls than one message makes.
MOST = 100


def refusal() -> str:
    """Tell why calls cannot be struck here; "" if they can."""
    if shutil.which("strace") is None:
        return "strace is missing (Debian package strace)"
    tried = subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip()


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(refusal()), reason=f"not run: {refusal()}"),
]


@contextmanager
def struck(rig: Rig, how: str, when: int, calls: str = CALLS) -> Iterator[Path]:
    """Attach to the daemon and strike at the n-th of these calls; gives the trace."""
    trace = rig.folder / f"trace{when}"
    pid = str(rig.daemon.process.pid)
    command = ["strace", "-f", "-p", pid, "-o", str(trace), "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:{how}:when={when}"]
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        try:
            first = strace.stderr.readline()
            assert "attached" in first
            # "Process 1 attached with 9 threads", or a line for each.
            for _ in range(0 if "with" in first else threads - 1):
                assert "attached" in strace.stderr.readline()
            yield trace
            if not is_killed(trace):
                strace.send_signal(signal.SIGINT)  # it lets go of the daemon
                strace.communicate(timeout=10)
        finally:
            strace.kill()  # it may wait for ever for threads that are gone


def is_killed(trace: Path) -> bool:
    return "killed by" in trace.read_text()


def answer(rig: Rig, reference: str) -> str:
    """Post one message; give what was answered, as a caller keeps it."""
    try:
        reply = post(rig.daemon.url, reference, seconds=8)
    except requests.RequestException:
        return ""
    assert reply.status_code in (200, 503), reply.text
    return reply.json()["response"] if reply.status_code == 200 else str(reply.status_code)


def strike(rig: Rig, how: str) -> dict[str, str]:
    """Strike at the first call, the second, ... until a message goes through unhurt."""
    answers = {}
    for when in range(1, MOST):
        reference = f"strike-{when}"
        with struck(rig, how, when) as trace:
            answers[reference] = answer(rig, reference)
            until(lambda: is_killed(trace) or ended(rig) or not unsettled(rig), rig.daemon.log)
        if is_killed(trace) or ended(rig):
            rig.died()
            rig.daemon.start()
        if "INJECTED" not in trace.read_text() and not is_killed(trace):
            assert answers[reference] == SENT
            return answers
    raise AssertionError("it is struck for ever")


def ended(rig: Rig) -> bool:
    return rig.daemon.process.poll() is not None


def unsettled(rig: Rig) -> bool:
    """Tell whether the outcome of an attempt is still to be stored."""
    return any(row.state == "sending" for row in rows(rig.store))


def test_after_a_sync_that_failed_the_daemon_ends_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with Rig(tmp_path, 3) as rig:
        answers = {"before": answer(rig, "before")}  # and by then its first chores are done
        with struck(rig, "error=EIO", 1, SYNCS):
            answers["unsynced"] = answer(rig, "unsynced")
            until(lambda: ended(rig), rig.daemon.log)
        assert answers["unsynced"] == "503"
        assert rig.daemon.process.returncode == 1
        assert "store.broken" in rig.daemon.log()
        rig.died()
        rig.daemon.start()
        answers["later"] = answer(rig, "later")
        rig.settled()
        found = rig.ledger(answers)
        assert found.faults == {}
        assert found.doubled == set()
        assert answers["later"] == SENT


@pytest.mark.timeout(900)
@pytest.mark.skipif(not FULL, reason="not run: RELAY_CHAOS=full only")
@pytest.mark.parametrize("how", ["signal=KILL", "error=EIO", "error=ENOSPC"])
def test_a_strike_at_any_write_loses_and_doubles_nothing(tmp_path: Path, how: str) -> None:
    with Rig(tmp_path, 3) as rig:
        answers = strike(rig, how)
        rig.settled()
        found = rig.ledger(answers)
        print(f"{how}: {len(answers)} strikes, {Counter(answers.values())}")  # noqa: T201
        assert len(answers) > 6
        assert found.faults == {}
        assert found.doubled == set()
        assert set(found.states.values()) == {"sent"}
