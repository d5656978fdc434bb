"""`run.py webhooks` on a real daemon: lists, shows calls, makes one again, switches on."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.webhook_receiver import SECRET, ReceiverInThread

SETTINGS = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["office"]

[webhooks.crm]
url = { env = "CRM_URL" }
secret = { env = "CRM_SECRET" }
events = ["accepted"]
networks = ["127.0.0.1"]

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
SECONDS = 30.0


@pytest.fixture
def receiver() -> Iterator[ReceiverInThread]:
    one = ReceiverInThread()
    yield one
    one.close()


@pytest.fixture
def daemon(tmp_path: Path, receiver: ReceiverInThread) -> Daemon:
    environment = {"APPLICATION_KEY": KEY, "CRM_URL": receiver.url, "CRM_SECRET": SECRET}
    return Daemon(tmp_path, SETTINGS, environment)


def listed(daemon: Daemon, words: str) -> str:
    """What `webhooks calls` prints, once these words are in it."""
    deadline = time.monotonic() + SECONDS
    while words not in (lines := daemon.command("webhooks", "calls", "crm").stdout):
        assert time.monotonic() < deadline, lines
    return lines


@pytest.mark.slow
def test_calls_are_listed_made_again_and_switched_on(
    daemon: Daemon, receiver: ReceiverInThread
) -> None:
    with daemon:
        host = f"127.0.0.1:{receiver.server.server_port}"
        assert daemon.command("webhooks").stdout == (
            f"crm               {host}  on  0 calls waiting  nothing taken\n"
        )
        assert daemon.post("/rest/email/office", KEY, json=FORM).status_code == 200
        id = receiver.ids.get(timeout=SECONDS)
        line = listed(daemon, "  204")
        assert line.startswith(id)
        assert "message.accepted" in line
        fired = daemon.command("webhooks", "fire", id)
        assert fired.stdout == f"{id}  is made again, to crm\n"
        assert receiver.ids.get(timeout=SECONDS) == id
        receiver.status = 410
        daemon.command("webhooks", "fire", id)
        receiver.ids.get(timeout=SECONDS)
        listed(daemon, "  410")
        assert "  off since " in daemon.command("webhooks").stdout
        receiver.status = 204
        assert daemon.command("webhooks", "on", "crm").stdout == "crm  is called\n"
        assert receiver.ids.get(timeout=SECONDS) == id
        acts = daemon.command("acts").stdout
        assert acts.count(" fire ") == 2
        assert " switch on " in acts
        assert "private" not in daemon.log() + daemon.command("webhooks").stdout
        assert daemon.command("audit").returncode == 0
    refused = daemon.command("webhooks", "fire", "nothing")
    assert refused.stderr == "Error: no call nothing: `webhooks calls NAME` lists them\n"
    unknown = daemon.command("webhooks", "on", "crn")
    assert unknown.stderr.endswith("no webhook crn; did you mean crm?\n")
    assert daemon.command("webhooks", "on", "crm").stdout == "crm  is called\n"


@pytest.mark.slow
def test_what_is_killed_before_it_told_tells_after_its_start(
    daemon: Daemon, receiver: ReceiverInThread
) -> None:
    receiver.status = 500
    daemon.start()
    for _ in range(20):
        assert daemon.post("/rest/email/office", KEY, json=FORM).status_code == 200
    daemon.stop(signal.SIGKILL)
    receiver.status = 204
    with daemon, closing(sqlite3.connect(daemon.folder / "var" / "relay.db")) as database:
        stored = {id for (id,) in database.execute("SELECT id FROM messages")}
        while receiver.taken.keys() != stored:
            receiver.ids.get(timeout=SECONDS)
        assert len(stored) == 20
