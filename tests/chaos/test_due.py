"""Mail that is due one after the other while nothing else happens: each is sent at its time."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.chaos.rig import KEY, Rig

pytestmark = pytest.mark.slow

COUNT = 4
LATEST = 2.0


def test_scheduled_mail_is_sent_within_two_seconds_of_its_time(tmp_path: Path) -> None:
    with Rig(tmp_path, 4) as rig:
        due = {f"at-{number}": int(time.time()) + 3 + number for number in range(COUNT)}
        answers = {}
        for reference, moment in due.items():
            form = {
                "to_address": "desk@example.gov",
                "from_address": "resident@example.com",
                "subject": reference,
                "message": "Make the roads green.",
                "senddatetime": f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC",
            }
            headers = {"Authorization": f"token {KEY}"}
            url = f"{rig.daemon.url}/rest/email/registry"
            reply = requests.post(url, data=form, headers=headers, timeout=10)
            answers[reference] = reply.json()["response"]
        assert set(answers.values()) == {"Message scheduled"}
        rig.settled()
        late = {one.reference: one.at - due[one.reference] for one in rig.provider.accepted()}
        assert rig.ledger(answers).faults == {}
        assert late.keys() == due.keys()
        assert all(0 <= seconds < LATEST for seconds in late.values()), late
