"""Machines whose clocks are five minutes wrong, either way: all go by the database's."""

import time
from pathlib import Path

import pytest
import requests

from relay.delivery.retry import JITTER
from tests.cluster.rig import FULL_ONLY, KEY, Cluster
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

WRONG = {0: "clock_ahead=300", 1: "clock_ahead=-300"}
# How late something may be: a look a second, on a machine that has other things to do.
LATE = 5.0


def schedule(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Have a message scheduled by each daemon; return when each is due."""
    due = {}
    for place, daemon in enumerate(cluster.daemons):
        reference = f"scheduled{place}"
        due[reference] = time.time() + seconds
        form = {
            "to_address": "desk@example.gov",
            "from_address": "resident@example.com",
            "subject": reference,
            "message": "Make the roads green.",
            "senddatetime": str(due[reference]),
        }
        url = f"{daemon.url}/rest/email/registry"
        headers = {"Authorization": f"token {KEY}"}
        reply = requests.post(url, data=form, headers=headers, timeout=20)
        assert reply.json()["response"] == "Message scheduled", reply.text
    return due


def early_or_late(cluster: Cluster, due: dict[str, float]) -> dict[str, float]:
    """By how much what was scheduled was not sent when it was due, where that is too much."""
    apart = {
        one.reference: one.at - due[one.reference]
        for one in cluster.provider.accepted()
        if one.reference in due
    }
    return {name: seconds for name, seconds in apart.items() if not -0.1 < seconds < LATE}


@pytest.mark.timeout(120)
def test_nothing_is_early_or_late_and_nobody_is_given_up(tmp_path: Path, server: Server) -> None:
    altered = {place: [wrong] for place, wrong in WRONG.items()}
    with Cluster(tmp_path, server, alterations=altered) as cluster:
        cluster.provider.set(rates={"busy": 0.05})
        cluster.call()
        due = schedule(cluster, 8)
        cluster.let_run(12, 12)
        found = cluster.compared(dict.fromkeys(due, "Message scheduled"))
        # One that the provider refused for now is late by a retry.
        tried = dict(cluster.rows("SELECT subject, tries FROM messages JOIN contents USING (id)"))
        at_once = {name: at for name, at in due.items() if tried[name] == 1}
        assert early_or_late(cluster, at_once) == {}
        assert found.times.keys() >= due.keys()
        pauses = cluster.rows(
            "SELECT later.started_at - earlier.ended_at FROM attempts earlier JOIN attempts later"
            " ON later.message = earlier.message AND later.number = earlier.number + 1"
        )
        assert pauses
        assert all(JITTER[0] <= pause for (pause,) in pauses)
        assert [cluster.events(name) for name in ("daemon.silent", "messages.lapsed")] == [[], []]
        assert len(cluster.events("daemon.leads")) == 1
        said = [
            {event["seconds"] for event in daemon.events() if event["event"] == "clock.off"}
            for daemon in cluster.daemons
        ]
        assert [round(min(one, default=0), -1) for one in said] == [300, -300, 0]


@FULL_ONLY
@pytest.mark.timeout(120)
def test_clocks_that_nobody_sets_right_are_seen(tmp_path: Path, server: Server) -> None:
    altered = {place: [wrong, "follows_no_clock"] for place, wrong in WRONG.items()}
    with Cluster(tmp_path, server, alterations=altered) as cluster:
        due = schedule(cluster, 304)
        cluster.let_run(8, 8)
        assert early_or_late(cluster, due)
