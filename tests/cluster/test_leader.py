"""The daemon that leads is killed: another leads soon, and operators are told once."""

import signal
import time
from pathlib import Path

import pytest

from relay.notifications.alerts.monitor import LOOK_SECONDS
from tests.cluster.rig import FULL_ONLY, Cluster, post, until
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

ALERTS = """
[alerts]
to = ["ops@example.gov"]
digest = ""

[servers.alerts]
plugins = ["mailbox"]
sender = "Relay <relay@example.gov>"
"""
REFUSED = 300
SOON = 30.0


def leader(cluster: Cluster) -> Daemon:
    """The daemon that leads, by the database's word."""
    until(lambda: bool(held_by(cluster)), lambda: "nobody leads", 30)
    [pid] = held_by(cluster)
    return next(daemon for daemon in cluster.daemons if daemon.process.pid == pid)


def held_by(cluster: Cluster) -> list[int]:
    query = (
        "SELECT pid FROM leases JOIN daemons ON daemons.id = leases.daemon WHERE name = 'leader'"
        " AND until > extract(epoch FROM clock_timestamp())"
    )
    return [row[0] for row in cluster.rows(query)]


def told(cluster: Cluster) -> list[str]:
    """The subjects of the mails to operators."""
    query = "SELECT subject FROM messages JOIN contents USING (id) WHERE server = 'alerts'"
    return [row[0] for row in cluster.rows(query)]


def fail(cluster: Cluster, *daemons: Daemon) -> None:
    """Have each of these daemons send a message that the provider refuses for good."""
    names = [f"refused{place}" for place, _ in enumerate(daemons)]
    cluster.provider.set(items=dict.fromkeys(names, REFUSED))
    for name, daemon in zip(names, daemons, strict=True):
        reply = post(daemon.url, name)
        assert reply.status_code == 400, reply.text


def led_by_another(cluster: Cluster) -> tuple[Daemon, list[Daemon]]:
    """Kill the daemon that leads, and have the others see failures; return it and them."""
    first = leader(cluster)
    others = [daemon for daemon in cluster.daemons if daemon is not first]
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    fail(cluster, *others)
    return first, others


@pytest.mark.timeout(150)
def test_alerts_are_told_soon_and_once(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, more=ALERTS) as cluster:
        first, others = led_by_another(cluster)
        killed_at = time.monotonic()
        until(lambda: bool(told(cluster)), lambda: [one.log() for one in others], 60)
        seconds = time.monotonic() - killed_at
        print(f"told {seconds:.1f} s after the leader was killed")  # noqa: T201
        first.start()
        cluster.let_run(LOOK_SECONDS + 1, LOOK_SECONDS + 1)
        assert len(told(cluster)) == 1
        assert len(cluster.events("alert.told")) == 1
        assert seconds < SOON


@FULL_ONLY
@pytest.mark.timeout(150)
def test_a_leader_without_successor_is_seen(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, 2, alterations=["succeeds_nobody"], more=ALERTS) as cluster:
        led_by_another(cluster)
        cluster.let_run(SOON, SOON)
        assert told(cluster) == []


@FULL_ONLY
@pytest.mark.timeout(150)
def test_leaders_side_by_side_are_seen(tmp_path: Path, server: Server) -> None:
    with Cluster(tmp_path, server, 2, alterations=["leads_alone"], more=ALERTS) as cluster:
        fail(cluster, *cluster.daemons)
        cluster.let_run(LOOK_SECONDS + 1, LOOK_SECONDS + 1)
        assert len(told(cluster)) > 1
