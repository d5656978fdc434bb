"""Daemons that work side by side, without a fault: each message is sent by one of them."""

import time
from pathlib import Path

import pytest

from relay.store.outbox.claims import OWNED_SECONDS
from tests.chaos.ledger import QUEUED, Ledger
from tests.cluster.rig import Cluster, post_many, until
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow


def drained(cluster: Cluster) -> Ledger:
    """Let mail pile up, let all daemons begin to send it at the same moment, and compare."""
    cluster.provider.set(latency=0.2)
    assert cluster.daemons[0].command("pause", "registry").returncode == 0
    answers = post_many(cluster.daemons[0].url, "waiting", 4000)
    assert set(answers.values()) == {QUEUED}
    posted = time.monotonic()
    # By then it is anybody's.
    until(lambda: time.monotonic() - posted > OWNED_SECONDS, lambda: "no time goes by")
    assert cluster.daemons[1].command("resume", "registry").returncode == 0
    cluster.settled()
    return cluster.ledger(answers)


@pytest.mark.timeout(120)
def test_what_waits_for_all_is_sent_once(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server) as cluster:
        found = drained(cluster)
        assert found.faults == {}
        assert found.doubled == set()
        sent = [
            sum(event["event"] == "message.sent" for event in daemon.events())
            for daemon in cluster.daemons
        ]
        assert sum(sent) == len(found.promised)
        assert all(sent), sent


@pytest.mark.timeout(120)
def test_claims_that_lock_nothing_are_seen(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, alterations=["claims_what_others_claim"]) as cluster:
        assert drained(cluster).unflagged


def restarted(cluster: Cluster) -> Ledger:
    """Stop and start one daemon after the other while all of them send, and compare."""
    cluster.provider.set(latency=1.5)
    cluster.call()
    for daemon in cluster.daemons:
        cluster.let_run(1, 2)
        assert daemon.stop() == 0
        daemon.start()
    cluster.hang_up()
    cluster.settled()
    return cluster.ledger()


@pytest.mark.timeout(120)
def test_a_restart_puts_nothing_in_doubt_that_others_send(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, 2, in_doubt="resend") as cluster:
        found = restarted(cluster)
        assert found.faults == {}
        assert found.doubled == set()


@pytest.mark.timeout(120)
def test_a_start_that_interrupts_everybody_is_seen(tmp_path: Path, server: Server) -> None:
    altered = ["interrupts_everybody"]
    with Cluster(tmp_path, server, 2, in_doubt="resend", alterations=altered) as cluster:
        assert restarted(cluster).doubled
