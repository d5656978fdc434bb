"""`run.py alerts`; and a daemon that tells, is killed, and does not tell twice."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

SETTINGS = """
[alerts]
to = ["ops@example.gov"]
at_least = { keys = 1 }

[servers.alerts]
plugins = ["mailbox"]
sender = "Relay <alerts@example.gov>"

[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"]
sender = "contactform@example.gov"
recipients = ["*"]
"""


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Ask again until it is so; the daemon looks four times a minute."""

    def wait(is_so: Callable[[], bool]) -> None:
        ends = time.monotonic() + 50
        while not is_so():
            assert time.monotonic() < ends
            time.sleep(0.2)

    return wait


@pytest.mark.slow
def test_a_daemon_tells_once_and_not_again_after_a_crash(
    tmp_path: Path, until: Callable[[Callable[[], bool]], None]
) -> None:
    daemon = Daemon(tmp_path, SETTINGS)
    with daemon:
        assert daemon.command("alerts").stdout == "nothing to tell\n"
        tested = daemon.command("alerts", "test")
        assert (tested.returncode, tested.stdout.split()[1]) == (0, "sent")
        assert daemon.post("/rest/email/contactform", "wrong").status_code == 401
        until(lambda: "wrong key" in daemon.command("mailbox").stdout)
        listed = daemon.command("alerts").stdout.split()
        assert listed[:2] == ["keys", "contactform"]
        assert "told" in listed
        assert daemon.post("/rest/email/contactform", "wrong").status_code == 401
        daemon.stop(signal.SIGKILL)
        daemon.start()
        assert daemon.post("/rest/email/contactform", "wrong").status_code == 401
        assert daemon.stop() == 0  # which looks once more
        assert daemon.command("mailbox").stdout.count("wrong key") == 1
        assert "in all" in daemon.command("alerts").stdout
        assert [one["event"] for one in daemon.events()].count("alert.told") == 1


@pytest.mark.slow
def test_a_test_alert_says_why_nobody_gets_it(tmp_path: Path) -> None:
    without = SETTINGS[SETTINGS.index("[servers.alerts]") :]
    daemon = Daemon(tmp_path, without)
    nobody = daemon.command("alerts", "test")
    assert (nobody.returncode, "no daemon runs" in nobody.stderr) == (1, True)
    with daemon:
        refused = daemon.command("alerts", "test")
        assert (refused.returncode, "have no [alerts]" in refused.stderr) == (1, True)
        assert "has no [alerts]: alerts are logged" in daemon.command("alerts").stdout
