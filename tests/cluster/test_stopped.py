"""A daemon that stands still for longer than it may, and then goes on where it was.

Every daemon takes half a second from a claim to the call, so that there is always something that
it has claimed and not sent.
"""

import signal
from pathlib import Path

import pytest

from relay.store.cluster.daemons import LAPSED_SECONDS
from tests.cluster.rig import FULL_ONLY, Cluster, port_of
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow


def stopped(cluster: Cluster) -> None:
    """Stop one of the daemons under load, until the others have what it had claimed; let it go."""
    cluster.call()
    cluster.let_run(2, 3)
    still = cluster.daemons[-1]
    still.process.send_signal(signal.SIGSTOP)
    cluster.let_run(0.5, 0.5)
    cluster.balancer.take_out(port_of(still))
    cluster.let_run(LAPSED_SECONDS + 6, LAPSED_SECONDS + 8)
    assert cluster.events("daemon.silent")
    still.process.send_signal(signal.SIGCONT)
    cluster.balancer.put_back(port_of(still))
    cluster.let_run(2, 3)


@pytest.mark.timeout(200)
def test_it_sends_nothing_of_what_others_have(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, 2, alterations=["hesitates=0.5"]) as cluster:
        stopped(cluster)
        found = cluster.compared()
        assert cluster.events("daemon.lapsed")
        held_back = [one for one in cluster.events("message.deferred") if one["code"] == "lapsed"]
        assert held_back
        assert {found.times[name] for name in found.promised} == {1}


@FULL_ONLY
@pytest.mark.timeout(200)
def test_one_that_always_may_send_is_seen(tmp_path: Path, server: Server) -> None:
    altered = ["hesitates=0.5", "always_may_send"]
    with Cluster(tmp_path, server, 2, alterations=altered) as cluster:
        stopped(cluster)
        cluster.hang_up()
        cluster.settled()
        assert cluster.ledger().doubled
