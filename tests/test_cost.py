"""The benchmark of what a message costs: its probe counts, and its check can fail."""

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from benchmarks import cost, probe
from tests.support.daemon import ROOT

# One thread calls a function a thousand times, another one ten times; then it waits to be asked.
WORKING = """
import sys, threading
from pathlib import Path
from benchmarks import probe

probe.install(Path(sys.argv[1]), calls=True)

def called():
    sum(number * number for number in (1, 2, 3))

def work():
    for _ in range(1000):
        called()

thread = threading.Thread(target=work, name="worker_0")
thread.start()
thread.join()
for _ in range(10):
    called()
print("done", flush=True)
sys.stdin.read()
"""


def test_calls_are_counted_in_every_thread_and_what_was_before_is_taken_off(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKING, str(tmp_path / "cost.json")]
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"done\n"
        found = probe.ask(process.pid, tmp_path / "cost.json")
        process.send_signal(signal.SIGTERM)
    [calls] = [number for name, number in found.calls.items() if name.endswith(" called")]
    assert calls == 1010
    # A generator is entered for each of its values, and once more for its end.
    assert sum(number for name, number in found.calls.items() if "genexpr" in name) == 4040
    assert found.cpu["all"] >= found.cpu["MainThread"] > 0
    assert found.since(found).calls.total() == 0


@pytest.mark.parametrize("counts", [[106, 107, 106], [200, 200, 200]])
def test_more_calls_than_were_written_down_fail(counts: list[float]) -> None:
    left = iter(counts)
    with pytest.raises(click.ClickException, match=f"takes {min(counts)} calls"):
        cost._check(lambda: next(left), 100, "3.11")
    assert next(left, None) is None


@pytest.mark.parametrize("counts", [[100], [105], [40], [120, 104]])
def test_as_many_calls_as_were_written_down_pass(
    counts: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    left = iter(counts)
    cost._check(lambda: next(left), 100, "3.11")
    assert next(left, None) is None
    assert capsys.readouterr().out.count("100 written down") == len(counts)


def test_a_version_without_a_figure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    cost._check(lambda: 1e9, None, "3.99")
    assert "nothing is checked" in capsys.readouterr().out
