"""Whatever the provider does to a call: the state, what was taken, and what the caller was told."""

from pathlib import Path

import pytest

from tests.chaos.ledger import QUEUED, SENT, Row
from tests.chaos.rig import Rig, post

pytestmark = pytest.mark.slow

REFUSED = "400"

# By what happens to the first call: what the caller is told, the state in the end, how often the
# message was taken in the end, and whether it may have been sent twice. The call after is in order.
FAULTS = {
    "busy": (QUEUED, "sent", 1, False),
    "throttled": (QUEUED, "sent", 1, False),
    "invalid": (REFUSED, "failed", 0, False),
    "broken": (QUEUED, "sent", 1, True),
    "gateway": (QUEUED, "sent", 1, True),
    "reset": (QUEUED, "sent", 1, True),
    "hung": (QUEUED, "sent", 1, True),
    "lost": (QUEUED, "sent", 1, False),
    "stuck": (QUEUED, "sent", 1, False),
    "html": (QUEUED, "sent", 1, False),
    "cut": (QUEUED, "sent", 1, False),
    "late": (SENT, "sent", 1, False),
    "unauthorized": (QUEUED, "sent", 1, False),
}


@pytest.mark.timeout(120)
def test_every_fault_ends_in_the_state_that_is_true(tmp_path: Path) -> None:
    with Rig(tmp_path, 8) as rig:
        answers = {}
        for fault in FAULTS:
            # Calls in order between the faults, lest so many together look like an outage.
            for number in range(3):
                reply = post(rig.daemon.url, f"{fault}-{number}")
                assert reply.json()["response"] == SENT, (fault, reply.text)
                answers[f"{fault}-{number}"] = SENT
            rig.provider.script(fault)
            reply = post(rig.daemon.url, fault)
            words = reply.json()["response"] if reply.status_code == 200 else str(reply.status_code)
            answers[fault] = words
        rig.settled()
        found = rig.ledger(answers)
        assert found.faults == {}
        assert found.doubled == set()
        rows: dict[str, Row] = {row.reference: row for row in found.rows}
        seen = {
            fault: (
                answers[fault],
                rows[fault].state,
                found.times[fault],
                rows[fault].maybe_twice,
            )
            for fault in FAULTS
        }
        assert seen == FAULTS
