"""A daemon that is cut off from the database: it refuses, the others go on, and it comes back."""

import time
from pathlib import Path

import pytest

from tests.cluster.rig import FULL, FULL_ONLY, Cluster, post, until
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

# Longer than a daemon may be silent; and longer than it tries to write down an outcome.
LAPSES, GIVES_UP = 36, 70


def told(daemon: Daemon, reference: str, answers: dict[str, str]) -> str:
    """Post to one daemon; note and return what it says."""
    answers[reference] = ""
    reply = post(daemon.url, reference)
    words = reply.json()["response"] if reply.status_code == 200 else str(reply.status_code)
    answers[reference] = words
    return words


def cut_off(cluster: Cluster, how: str, seconds: float) -> dict[str, str]:
    """Cut the first daemon off under load, see that the others go on, and mend it.

    What it is sending at that moment the provider refuses for now, and it cannot write that down.
    """
    answers: dict[str, str] = {}
    cut, other = cluster.daemons[0], cluster.daemons[1]
    cluster.call()
    cluster.let_run(2, 3)
    cluster.provider.set(rates={"busy": 1.0})
    getattr(cluster.proxies[0], how)()
    ends = time.monotonic() + seconds
    cluster.let_run(1, 1)
    cluster.provider.set(rates={})
    until(lambda: told(cut, f"cut{len(answers)}", answers) == "503", cut.log, 20)
    until(lambda: told(other, f"other{len(answers)}", answers) == "Message sent", other.log)
    seen = len(cluster.provider.accepted())
    rest = max(ends - time.monotonic(), 0)
    cluster.let_run(rest, rest)
    assert told(cut, "still cut off", answers) == "503"
    assert len(cluster.provider.accepted()) > seen + 50
    cluster.proxies[0].go_on()
    cluster.await_all()
    until(lambda: told(cut, f"back{len(answers)}", answers) == "Message sent", cut.log)
    return answers


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["fall_silent", pytest.param("refuse", marks=FULL_ONLY)])
def test_the_others_go_on_and_it_takes_part_again(tmp_path: Path, server: Server, how: str) -> None:
    with Cluster(tmp_path, server, 2, proxied=True, alterations=["hesitates=0.5"]) as cluster:
        answers = cut_off(cluster, how, GIVES_UP if FULL else LAPSES)
        cluster.compared(answers)


@FULL_ONLY
@pytest.mark.timeout(300)
def test_outcomes_that_need_no_fence_are_seen(tmp_path: Path, server: Server) -> None:
    altered = ["hesitates=0.5", "settles_without_its_fence"]
    with Cluster(tmp_path, server, 2, proxied=True, alterations=altered) as cluster:
        # Until the other one has sent again what this one could not write down, and not longer.
        answers = cut_off(cluster, "refuse", LAPSES + 12)
        cluster.hang_up()
        cluster.settled()
        assert cluster.ledger(answers, audited=False).doubled
