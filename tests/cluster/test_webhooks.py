"""Of several daemons the one that leads calls webhooks; when it is killed, another goes on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.rig import Cluster, post, until
from tests.cluster.test_leader import leader
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server
from tests.support.webhook_receiver import SECRET, ReceiverInThread

pytestmark = pytest.mark.slow

HOOK = """
[webhooks.crm]
url = "{url}"
secret = {{ env = "HOOK_SECRET" }}
events = ["accepted"]
networks = ["127.0.0.1"]
"""
POSTS = 30


@pytest.fixture
def receiver() -> Iterator[ReceiverInThread]:
    one = ReceiverInThread()
    yield one
    one.close()


@pytest.mark.timeout(200)
def test_everything_is_told_though_the_leader_is_killed(
    tmp_path: Path, server: Server, receiver: ReceiverInThread
) -> None:
    hook = HOOK.format(url=receiver.url)
    with Cluster(tmp_path, server, more=hook, environment={"HOOK_SECRET": SECRET}) as cluster:
        first = leader(cluster)
        for number in range(POSTS):
            assert post(cluster.daemons[number % 3].url, f"before{number}").status_code == 200
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        others = [daemon for daemon in cluster.daemons if daemon is not first]
        for number in range(POSTS):
            assert post(others[number % 2].url, f"after{number}").status_code == 200
        stored = {row[0] for row in cluster.rows("SELECT id FROM messages")}
        assert len(stored) == 2 * POSTS
        until(lambda: receiver.taken.keys() == stored, lambda: cluster.events("webhook.failed"), 90)
        for ids in receiver.taken.values():
            assert len(set(ids)) == 1  # however often: under one id
        second = leader(cluster)
        [third] = [daemon for daemon in others if daemon is not second]
        until(lambda: took(second), second.log, 30)
        assert not took(third)


def took(daemon: Daemon) -> bool:
    """Whether a daemon called and was answered."""
    return any(one["event"] == "webhook.taken" for one in daemon.events())
