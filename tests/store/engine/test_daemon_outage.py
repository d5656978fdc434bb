"""A daemon whose database is killed, stands still and comes back, under load."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.daemon import WITHOUT_REGISTRY, Daemon
from tests.support.killable_postgresql import PASSWORD, Server, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY = "k" * 40
SECRETS = {"RELAY_SECRET": "s" * 40, "KEY": KEY, "PASSWORD": PASSWORD}
CALLERS = 4


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def daemon(server: Server, tmp_path: Path) -> Iterator[Daemon]:
    url = server.url.replace(f":{PASSWORD}", "")
    own = (
        f'database = "{url}"\ndatabase_password = {{ env = "PASSWORD" }}\n'
        'secret = { env = "RELAY_SECRET" }\n'
    )
    settings = WITHOUT_REGISTRY.replace("[relay]\n", f"[relay]\n{own}", 1)
    settings += '\n[keys.website]\nsecret = { env = "KEY" }\nservers = ["contactform"]\n'
    with Daemon(tmp_path, settings, SECRETS) as daemon:
        yield daemon


class Load:
    """Callers that post one message after the other, each under a key, until what is refused too.

    `taken` are the numbers of those that were answered 200; `others` every other answer. A post
    that is refused for now is repeated under the same key when `Retry-After` would let it: sooner.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.taken: set[int] = set()
        self.others: list[tuple[int, str]] = []
        self._daemon = daemon
        self._numbers = iter(range(10**9))
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let every caller's last post be taken."""
        self._ends.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), Counter(self.others)

    def _call(self) -> None:
        session = requests.Session()
        while not self._ends.is_set():
            number = next(self._numbers)
            while not self._posted(session, number):
                time.sleep(0.2)

    def _posted(self, session: requests.Session, number: int) -> bool:
        form = {
            "from_name": "A",
            "from_address": "a@example.org",
            "to_address": "desk@example.gov",
            "subject": f"n{number}",
            "message": "x",
        }
        headers = {"authorization": f"token {KEY}", "idempotency-key": f"key-{number}"}
        url = f"{self._daemon.url}/rest/email/contactform"
        answer = session.post(url, data=form, headers=headers, timeout=60)
        if answer.status_code == 200:
            self.taken.add(number)
            return True
        self.others.append((answer.status_code, answer.headers.get("retry-after", "")))
        return False


def health(daemon: Daemon) -> int:
    return requests.get(f"{daemon.url}/healthz", timeout=60).status_code


def turns(daemon: Daemon, status: int, seconds: float) -> None:
    """Wait until the daemon's health is this; it must be so within so many seconds."""
    ends = time.monotonic() + seconds
    while health(daemon) != status:
        assert time.monotonic() < ends
        time.sleep(0.1)


def compare(server: Server, daemon: Daemon, load: Load) -> None:
    """Every post that was answered 200 is stored once, sent once, and nothing else is there.

    What a claim took whose commit's answer was lost is nobody's until its lease ends: minutes.
    """
    rows = server.execute("SELECT subject FROM contents", "relay")
    stored = [int(row[0].rpartition("n")[2]) for row in rows]
    assert sorted(stored) == sorted(load.taken)
    ends = time.monotonic() + 60
    states: list[tuple[str, int]] = []
    while time.monotonic() < ends:
        states = server.execute("SELECT state, count(*) FROM messages GROUP BY state", "relay")
        if states == [("sent", len(stored))]:
            return
        time.sleep(0.5)
    lost = [event for event in daemon.events() if event["event"] == "commit.unknown"]
    if lost and {state for state, _ in states} == {"sending", "sent"}:
        [[leased]] = server.execute(
            "SELECT count(*) FROM messages WHERE state = 'sending' AND due_at > "
            "extract(epoch FROM now()) AND provider_id IS NULL",
            "relay",
        )
        assert leased == dict(states)["sending"]
        return
    raise AssertionError(states)


def outages(daemon: Daemon) -> list[tuple[str, str]]:
    names = ("store.unavailable", "store.available")
    return [(one["event"], one["doing"]) for one in daemon.events() if one["event"] in names]


def test_a_database_that_is_killed_under_load(server: Server, daemon: Daemon) -> None:
    load = Load(daemon)
    for _ in range(3):
        time.sleep(1)
        server.kill()
        turns(daemon, 503, 5)
        time.sleep(2)
        server.start()
        turns(daemon, 200, 10)
    taken = len(load.taken)
    time.sleep(1)
    load.end()
    assert len(load.taken) > taken
    assert {status for status, _ in load.others} <= {409, 503}
    assert all(after for _, after in load.others)
    assert 503 in {status for status, _ in load.others}
    compare(server, daemon, load)
    told = outages(daemon)
    for doing in ("reading", "writing", "membership"):
        assert 2 <= told.count(("store.unavailable", doing)) <= 6, told
        assert told.count(("store.available", doing)) in (2, 3, 4, 5, 6)
    errors = [one for one in daemon.events() if one.get("level") == "error"]
    assert {one["event"] for one in errors} <= {
        "store.unavailable",
        "commit.unknown",
        "outcomes.unstored",
    }
    assert "Traceback" not in daemon.log()
    assert len(daemon.log().splitlines()) < 40 * len(load.taken)
    [[most]] = server.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'")
    assert most <= 6
    assert daemon.stop() == 0


def test_a_database_that_stands_still_under_load(server: Server, daemon: Daemon) -> None:
    load = Load(daemon)
    time.sleep(1)
    server.freeze()
    turns(daemon, 503, 10)
    time.sleep(20)
    assert health(daemon) == 503
    server.thaw()
    turns(daemon, 200, 15)
    load.end()
    assert {status for status, _ in load.others} <= {409, 503}
    compare(server, daemon, load)
    assert ("store.unavailable", "membership") in outages(daemon)
    assert daemon.stop() == 0


def test_a_daemon_ends_while_its_database_is_away(server: Server, daemon: Daemon) -> None:
    server.freeze()
    turns(daemon, 503, 10)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 45
    server.thaw()
