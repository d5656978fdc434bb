"""Daemons killed at random under load: what was answered arrives, once, by whoever is left.

Of the provider's calls one in twenty is refused for now, and of one in twenty the answer is lost.
"""

import signal
from pathlib import Path

import pytest

from tests.cluster.rig import FULL, Cluster
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

RATES = {"busy": 0.05, "lost": 0.05}


def kill_one(cluster: Cluster, dead: list[Daemon]) -> None:
    """Kill one of those that live; it is started again, or one that died before, or none."""
    living = [daemon for daemon in cluster.daemons if daemon not in dead]
    chosen = cluster.dice.choice(living)
    assert chosen.stop(signal.SIGKILL) == -signal.SIGKILL
    dead.append(chosen)
    if len(dead) == len(cluster.daemons) or cluster.dice.random() < 0.7:
        dead.pop(cluster.dice.randrange(len(dead))).start()


@pytest.mark.timeout(900)
def test_nothing_answered_is_lost_and_nothing_is_sent_twice(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, seed=21) as cluster:
        cluster.provider.set(rates=RATES)
        cluster.call()
        dead: list[Daemon] = []
        for _ in range(100 if FULL else 5):
            cluster.let_run(0.2, 1.5)
            kill_one(cluster, dead)
        cluster.let_run(1, 1)
        for daemon in dead:
            daemon.start()
        found = cluster.compared()
        assert len(found.promised) > (1000 if FULL else 100)
