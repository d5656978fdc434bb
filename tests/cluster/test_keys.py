"""A key that is made or revoked at one daemon is so at all of them."""

from pathlib import Path

import pytest

from tests.cluster.rig import Cluster
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

CONTENT = {"From": "registry@example.gov", "To": "desk@example.gov", "Subject": "Roads"}
CONTENT["TextBody"] = "Make them green."


def status(daemon: Daemon, key: str) -> int:
    headers = {"X-Postmark-Server-Token": key}
    return daemon.post("/email", json=CONTENT, headers=headers).status_code


@pytest.mark.timeout(120)
def test_what_is_revoked_at_one_daemon_is_refused_by_the_others(
    tmp_path: Path, server: Server
) -> None:
    with Cluster(tmp_path, server, 2) as cluster:
        one, other = cluster.daemons
        for _ in range(3):
            made = one.command("keys", "make", "shop", "--servers", "registry")
            key = made.stdout.strip()
            assert made.returncode == 0, made.stderr
            assert "has not heard" not in made.stderr
            assert (status(other, key), status(one, key)) == (200, 200)
            revoked = other.command("keys", "revoke", "shop")
            assert (revoked.returncode, revoked.stderr) == (0, "")
            assert (status(one, key), status(other, key)) == (401, 401)
        refused = cluster.events("call.refused")
        assert {(one["reason"], one["key"]) for one in refused} == {("key_revoked", "shop")}
