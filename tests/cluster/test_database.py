"""The database killed and started again under load: what was answered is there, daemons stay."""

from pathlib import Path

import pytest

from tests.cluster.rig import FULL, FULL_ONLY, Cluster
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow


def killed(cluster: Cluster, kills: int) -> None:
    """Kill the database so many times; after each, every daemon takes mail again by itself."""
    cluster.call()
    for _ in range(kills):
        cluster.let_run(1, 2)
        cluster.server.kill()
        cluster.let_run(0.2, 2)
        cluster.server.start()
        cluster.await_all()
    cluster.let_run(1, 1)


@pytest.mark.timeout(900)
def test_what_was_answered_outlives_the_database(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, seed=22) as cluster:
        killed(cluster, 20 if FULL else 2)
        found = cluster.compared()
        assert "503" in found.answers.values()
        assert all(daemon.process.poll() is None for daemon in cluster.daemons)


@FULL_ONLY
@pytest.mark.timeout(300)
def test_a_commit_that_is_not_on_the_disk_is_seen(tmp_path: Path, server: Server) -> None:
    altered = ["answers_before_it_is_on_the_disk"]
    with Cluster(tmp_path, server, 2, alterations=altered) as cluster:
        killed(cluster, 2)
        cluster.hang_up()
        assert cluster.ledger(audited=False).faults
