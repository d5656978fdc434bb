"""`suppressions` and `queue replay`, with and without a daemon beside them."""

from pathlib import Path

import pytest

from tests.support.daemon import Daemon

SETTINGS = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["office"]

[servers.office]
plugins = ["bearer_token", "default", "mailbox"]
sender = "Office <office@example.gov>"
recipients = ["desk@example.gov"]
"""

KEY = "application-key-application-key-0"
FORM = {
    "to": "desk@example.gov",
    "from_address": "resident@example.com",
    "subject": "An idea",
    "message": "Make the roads green.",
}


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, SETTINGS, {"APPLICATION_KEY": KEY})


@pytest.mark.slow
def test_an_operator_suppresses_lifts_and_replays_while_the_daemon_runs(daemon: Daemon) -> None:
    with daemon:
        added = daemon.command("suppressions", "add", "Office", "Desk@Example.gov", "--words", "x")
        assert added.stdout == "desk@example.gov  suppressed for office\n"
        again = daemon.command("suppressions", "add", "office", "desk@example.gov")
        assert (again.returncode, again.stderr) == (
            1,
            "Error: desk@example.gov is suppressed for office\n",
        )
        listed = daemon.command("suppressions", "--server", "office").stdout
        assert listed.startswith("office            desk@example.gov  manual")
        assert listed.endswith("  x\n")
        reply = daemon.post("/rest/email/office", KEY, json=FORM)
        assert reply.json()["response"] == "Message queued"
        assert " held " in daemon.command("queue").stdout
        lifted = daemon.command("suppressions", "lift", "office", "desk@example.gov")
        assert lifted.stdout == "desk@example.gov  lifted for office\n"
        assert "1 message held for it" in lifted.stderr
        replayed = daemon.command("queue", "replay", "desk@example.gov")
        assert replayed.stdout == "1 message queued\n"
        reply = daemon.post("/rest/email/office", KEY, json=FORM)
        assert reply.json()["response"] == "Message sent"
        assert daemon.command("queue", "replay", "office").stdout == "nothing is held for it\n"
        assert daemon.command("suppressions").stdout == ""
        assert daemon.command("audit").returncode == 0


@pytest.mark.slow
def test_without_a_daemon_the_commands_write_themselves_and_it_knows_when_it_starts(
    daemon: Daemon,
) -> None:
    with daemon:
        pass
    assert daemon.command("suppressions", "add", "office", "desk@example.gov").returncode == 0
    with daemon:
        daemon.post("/rest/email/office", KEY, json=FORM)
    assert " held " in daemon.command("queue").stdout
    replayed = daemon.command("queue", "replay", "office")
    assert replayed.stdout == "desk@example.gov  may be written to again\n1 message queued\n"
    assert " queued " in daemon.command("queue").stdout


@pytest.mark.slow
def test_a_wrong_name_is_one_line(daemon: Daemon) -> None:
    with daemon:
        for arguments, words in (
            (("suppressions", "add", "ofice", "a@example.gov"), "did you mean office?"),
            (("suppressions", "add", "office", "nobody"), "nobody: not a mail address"),
            (("suppressions", "lift", "office", "a@example.gov"), "is not suppressed for office"),
            (("queue", "replay", "ofice"), "did you mean office?"),
            (("queue", "replay", "a@b@c"), "not a mail address"),
        ):
            done = daemon.command(*arguments)
            assert done.returncode == 1
            assert words in done.stderr
            assert len(done.stderr.splitlines()) == 1
