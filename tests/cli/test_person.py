"""`run.py person`, with and without a daemon beside it."""

import json
import stat
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.person import files_naming

pytestmark = pytest.mark.timeout(200)

KEY = "application-key-application-key-0"
SETTINGS = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["office"]

[servers.office]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "Office <office@example.gov>"
recipients = ["desk@example.gov"]
"""
JO = "jo@example.com"
FORM = {
    "to_address": "desk@example.gov",
    "from_address": "Jo@Example.com",
    "name": "Jo",
    "subject": "An idea",
    "message": "Make the roads green.",
}
OTHER = FORM | {"from_address": "bajo@example.com", "message": "I know jo@example.com."}


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, SETTINGS, {"APPLICATION_KEY": KEY})


def post(daemon: Daemon, *forms: dict[str, str]) -> None:
    for form in forms:
        assert daemon.post("/rest/email/office", KEY, json=form).status_code == 200


@pytest.mark.slow
def test_it_finds_exports_and_erases_beside_a_running_daemon(daemon: Daemon) -> None:
    with daemon:
        post(daemon, FORM, FORM | {"subject": "Another"}, OTHER)
        found = daemon.command("person", JO, "--export", "jo.json")
        assert found.stdout.splitlines() == [
            "messages of its own                  2",
            "messages of others                   1",
            "histories of messages                2",
            "written to jo.json",
        ]
        target = daemon.folder / "jo.json"
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert len(json.loads(target.read_text())["messages"]) == 2
        again = daemon.command("person", JO, "--export", "jo.json")
        assert (again.returncode, again.stderr) == (1, "Error: jo.json: File exists\n")
        target.unlink()
        assert files_naming(daemon.folder, JO) != []
        unasked = daemon.command("person", JO, "--erase")
        assert "no terminal to ask on; give --yes" in unasked.stderr
        erased = daemon.command("person", JO, "--erase", "--yes")
        assert erased.stdout.splitlines()[-1] == "erased: 2 messages cleared, 1 of others changed"
        files = files_naming(daemon.folder, JO)
        # The other one ends like it, and its words are indexed meanwhile.
        assert set(files) <= {"relay.db", "relay.db-wal"}
        assert daemon.command("person", JO).stderr == "nothing found\n"
        assert daemon.command("find", "bajo@example.com").stdout.count("bajo@example.com") == 1
        assert "in balance: 3 messages accepted" in daemon.command("audit").stdout
        act = daemon.command("acts", "erase").stdout
        assert "messages cleared: 2, changed: 1" in act
        assert "example.com" not in act
        assert "jo@" not in daemon.log().lower()


@pytest.mark.slow
def test_what_waits_is_named_and_needs_a_word(daemon: Daemon) -> None:
    with daemon:
        daemon.command("pause", "office")
        post(daemon, FORM)
        refused = daemon.command("person", JO, "--erase", "--yes")
        assert refused.returncode == 1
        assert "queued: not over yet" in refused.stdout
        assert "1 message is not over yet: nothing is erased" in refused.stderr
        assert refused.stderr.endswith("; --waiting says so\n")
        erased = daemon.command("person", JO, "--erase", "--waiting", "--yes")
        assert (erased.returncode, erased.stderr) == (0, "")
        daemon.command("resume", "office")
        assert files_naming(daemon.folder, JO) == []
    assert files_naming(daemon.folder, JO) == []


@pytest.mark.slow
def test_without_a_daemon_the_command_does_it_itself(daemon: Daemon) -> None:
    with daemon:
        post(daemon, FORM)
    assert daemon.command("suppressions", "add", "office", JO).returncode == 0
    done = daemon.command("person", JO, "--erase", "--yes")
    assert done.stdout.splitlines()[-1] == "erased: 1 message cleared, 0 of others changed"
    assert files_naming(daemon.folder, JO) == []
    assert "erased:" in daemon.command("suppressions").stdout
    add = daemon.command("suppressions", "add", "office", JO)
    assert add.stderr == f"Error: {JO} is suppressed for office\n"
    assert daemon.command("suppressions", "lift", "office", JO).returncode == 0
    assert daemon.command("suppressions").stdout == ""
    assert files_naming(daemon.folder, JO) == []
    for wrong, words in (("jo@", "not a mail address"), ("desk@example.gov", "in the settings")):
        refused = daemon.command("person", wrong, "--erase", "--yes")
        assert (refused.returncode, words in refused.stderr) == (1, True)
