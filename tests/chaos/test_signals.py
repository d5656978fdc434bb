"""A daemon that is stopped, hurried and frozen under load, and one whose store others hold."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.ledger import QUEUED
from tests.chaos.rig import FULL, Rig, post, until

pytestmark = pytest.mark.slow

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the store in another process."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("\n", timeout=10)


def finish(rig: Rig) -> None:
    """End the load, let all settle, and compare the accounts."""
    rig.hang_up()
    rig.settled()
    found = rig.ledger()
    assert found.faults == {}
    assert found.doubled == set()
    assert rig.odd == []
    assert set(found.states.values()) == {"sent"}
    assert found.promised


@pytest.mark.timeout(300)
def test_a_daemon_that_is_told_to_stop_under_load_loses_nothing(tmp_path: Path) -> None:
    with Rig(tmp_path, 21) as rig:
        rig.provider.set(rates={"busy": 0.05, "lost": 0.05}, latency=0.02)
        rig.call()
        for _ in range(50 if FULL else 5):
            rig.let_run(0.2, 0.6)
            started = time.monotonic()
            assert rig.daemon.stop() == 0
            assert time.monotonic() - started < 40
            rig.daemon.start()
        finish(rig)
        assert not any(event["event"] == "messages.in_doubt" for event in rig.daemon.events())


@pytest.mark.timeout(120)
def test_a_second_signal_ends_the_daemon_at_once_and_the_message_is_found(tmp_path: Path) -> None:
    with Rig(tmp_path, 22) as rig:
        for number in range(20 if FULL else 2):
            before = rig.provider.counts()["calls"]
            rig.provider.script("stuck" if number % 2 else "hung")
            assert post(rig.daemon.url, f"api-{number}", "api").status_code == 200
            until(lambda: rig.provider.counts()["calls"] > before, lambda: "it was not called")  # noqa: B023
            rig.daemon.process.send_signal(signal.SIGTERM)
            until(lambda: "daemon.stopping" in _last(rig), rig.daemon.log)
            started = time.monotonic()
            assert rig.daemon.stop(signal.SIGTERM) == -signal.SIGTERM
            assert time.monotonic() - started < 1
            rig.daemon.start()
        rig.settled()
        found = rig.ledger({f"api-{n}": QUEUED for n in range(20 if FULL else 2)})
        assert found.faults == {}
        assert found.doubled == set()
        assert set(found.states.values()) == {"sent"}


def _last(rig: Rig) -> str:
    return rig.daemon.log().rpartition("daemon.started")[2]


@pytest.mark.timeout(300)
def test_a_daemon_that_is_frozen_under_load_goes_on(tmp_path: Path) -> None:
    with Rig(tmp_path, 23) as rig:
        rig.provider.set(latency=0.05)
        rig.call()
        for _ in range(10 if FULL else 1):
            rig.let_run(0.3, 0.6)
            rig.daemon.process.send_signal(signal.SIGSTOP)
            rig.let_run(3, 8 if FULL else 4)  # longer than an attempt may take
            rig.daemon.process.send_signal(signal.SIGCONT)
        rig.let_run(0.5, 1)
        finish(rig)


@pytest.mark.timeout(300)
def test_while_another_process_holds_the_store_nothing_is_promised(tmp_path: Path) -> None:
    with Rig(tmp_path, 16) as rig:
        for number in range(20 if FULL else 2):
            started = time.monotonic()
            with held(rig.store):
                reply = post(rig.daemon.url, f"held-{number}")
            assert reply.status_code == 503
            assert int(reply.headers["Retry-After"]) > 0
            assert 1.5 < time.monotonic() - started < 10
            assert post(rig.daemon.url, f"free-{number}").status_code == 200
        rig.call()
        with held(rig.store):
            refused = lambda: any("503" in one.answers.values() for one in rig.callers)  # noqa: E731
            until(refused, lambda: "nobody was refused")
        rig.let_run(0.5, 1)
        rig.hang_up()
        rig.settled()
        answers = {f"free-{n}": QUEUED for n in range(20 if FULL else 2)}
        found = rig.ledger(answers | {f"held-{n}": "503" for n in range(20 if FULL else 2)})
        assert found.faults == {}
        assert found.doubled == set()
        assert rig.odd == []
        assert set(found.states.values()) == {"sent"}
        assert not {name for name in found.states if name.startswith("held-")}
