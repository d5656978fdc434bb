"""A daemon that is killed again and again under load: nothing answered is lost, nothing doubled.

The oracle is a ledger of three: what each caller was answered, what the provider took, and what
the store says after the last start.
"""

import json
import random
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.daemon import REGISTRY, Daemon

KILLS = 12
CALLERS = 4
KEY = "application-key-application-key-0"

KEYS = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]
"""


class Provider(ThreadingHTTPServer):
    """Takes messages; of twenty calls one is refused for now."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Send)
        self.taken: Counter[str] = Counter()
        self.random = random.Random(7)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that were killed."""


class _Send(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        busy = self.server.random.random() < 0.05
        if not busy:
            self.server.taken[message["Subject"]] += 1
        answer = {"ErrorCode": 100 if busy else 0, "Message": "", "MessageID": message["Subject"]}
        body = json.dumps(answer).encode()
        self.send_response(503 if busy else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Write no log."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.shutdown()
    provider.server_close()


class Caller(threading.Thread):
    """Posts messages with subjects of its own until told to stop; keeps what was answered."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name=name, daemon=True)
        self.url = f"http://127.0.0.1:{port}/rest/email/registry"
        self.answers: dict[str, str] = {}
        self.ending = threading.Event()

    def run(self) -> None:
        headers = {"Authorization": f"token {KEY}"}
        number = 0
        while not self.ending.is_set():
            number += 1
            subject = f"{self.name}-{number}"
            form = {
                "to_address": "desk@example.gov",
                "from_address": "resident@example.com",
                "subject": subject,
                "message": "Make the roads green.",
            }
            try:
                reply = requests.post(self.url, data=form, headers=headers, timeout=20)
                self.answers[subject] = reply.json()["response"]
                assert reply.status_code in (200, 503)
            except (requests.RequestException, ValueError):
                self.answers[subject] = "lost"
                self.ending.wait(0.02)


@pytest.mark.timeout(120)
def test_nothing_answered_is_lost_and_nothing_is_sent_twice(
    tmp_path: Path, provider: Provider
) -> None:
    secrets = {"APPLICATION_KEY": KEY, "POSTMARK_TOKEN": "postmark-server-token"}
    daemon = Daemon(tmp_path, KEYS + REGISTRY.format(url=provider.url), secrets)
    daemon.start()
    port = int(daemon.url.rpartition(":")[2])
    daemon.environment["RELAY_PORT"] = str(port)
    callers = [Caller(f"caller{number}", port) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    moments = random.Random(11)
    for _ in range(KILLS):
        threading.Event().wait(
            moments.uniform(0.1, 0.6)
        )  # the load runs on: this is the fault's time
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        daemon.start()
    for caller in callers:
        caller.ending.set()
        caller.join(30)
    assert daemon.stop() == 0
    # One more start, for what a killed daemon left queued; then all of it is settled or parked.
    daemon.start()
    while "queued" in daemon.command("queue", "--limit", "1000").stdout:
        pass
    assert daemon.stop() == 0
    answers = {subject: words for one in callers for subject, words in one.answers.items()}
    stored = _stored(tmp_path / "var" / "relay.db")
    accepted = {subject for subject, words in answers.items() if words.startswith("Message ")}
    assert len(accepted) > 10 * KILLS
    assert "Message sent" in answers.values()
    assert "lost" in answers.values()
    assert accepted <= set(stored)
    assert set(stored.values()) <= {"sent", "in_doubt"}
    assert {subject for subject, words in answers.items() if words == "Message sent"} <= {
        subject for subject, state in stored.items() if state == "sent"
    }
    assert max(provider.taken.values()) == 1
    assert set(provider.taken) <= set(stored)
    assert {subject for subject, state in stored.items() if state == "sent"} <= set(provider.taken)


def _stored(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT subject, state FROM messages JOIN contents USING (id)")
        listed = rows.fetchall()
    assert len(dict(listed)) == len(listed)
    return dict(listed)
