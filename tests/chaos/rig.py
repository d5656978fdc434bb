"""What the chaos tests share: a daemon, a provider that fails, and callers that never rest."""

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import requests

from tests.chaos import ledger
from tests.chaos.ledger import Ledger
from tests.chaos.provider import Provider
from tests.support.daemon import Daemon

FULL = os.environ.get("RELAY_CHAOS") == "full"
KEY = "application-key-application-key-0"
TOKEN = "server-token-server-token-server0"
SECRETS = {"APPLICATION_KEY": KEY, "SERVER_TOKEN": TOKEN, "POSTMARK_TOKEN": "postmark-server-token"}

# Seconds in place of minutes: attempts are short, retries and look-ups soon.
SETTINGS = """
[relay.limits]
posts_per_minute = 0

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[keys.server]
secret = {{ env = "SERVER_TOKEN" }}
servers = ["registry"]

[servers.registry]
plugins = {plugins}
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 2
retry = [1]
settle = {settle}
in_doubt = "{in_doubt}"
"""

# One poll of something that has no other way to tell, and the longest wait for it.
POLL_SECONDS = 0.05
QUIET_SECONDS = 60.0


def until(
    done: Callable[[], bool], why: Callable[[], object], seconds: float = QUIET_SECONDS
) -> None:
    """Ask again and again until it is so; fail after so many seconds, and say why."""
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, why()
        threading.Event().wait(POLL_SECONDS)


class Caller(threading.Thread):
    """Posts messages with references of its own until told to stop; keeps what was answered.

    kind: "form" waits for the first attempt, "api" is answered after the commit. `odd` are the
    answers that no caller should get.
    """

    def __init__(self, name: str, port: int, kind: str) -> None:
        super().__init__(name=name, daemon=True)
        self.url = f"http://127.0.0.1:{port}"
        self.kind = kind
        self.answers: dict[str, str] = {}
        self.odd: list[tuple[int, str]] = []
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            reference = f"{self.name}-{number}"
            self.answers[reference] = ""
            try:
                reply = post(self.url, reference, self.kind)
                self.answers[reference] = self._read(reply)
            except (requests.RequestException, ValueError):
                self.ending.wait(0.02)

    def _read(self, reply: requests.Response) -> str:
        if reply.status_code not in (200, 503):
            self.odd.append((reply.status_code, reply.text[:200]))
        if reply.status_code != 200:
            return str(reply.status_code)
        return reply.json()["response"] if self.kind == "form" else ledger.QUEUED


def post(url: str, reference: str, kind: str = "form", seconds: float = 20) -> requests.Response:
    """Post one message whose subject is its reference."""
    if kind == "form":
        form = {
            "to_address": "desk@example.gov",
            "from_address": "resident@example.com",
            "subject": reference,
            "message": "Make the roads green.",
        }
        headers = {"Authorization": f"token {KEY}"}
        return requests.post(
            f"{url}/rest/email/registry", data=form, headers=headers, timeout=seconds
        )
    content = {
        "From": "registry@example.gov",
        "To": "desk@example.gov",
        "Subject": reference,
        "TextBody": "Make the roads green.",
    }
    headers = {"X-Postmark-Server-Token": TOKEN}
    return requests.post(f"{url}/email", json=content, headers=headers, timeout=seconds)


class Rig:
    """A provider, a daemon on a port that stays, and callers; leaving the context ends them all.

    settle, in_doubt: as in the settings. plugins: more of them, before the one that delivers.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        settle: tuple[float, ...] = (0.5, 1, 2),
        in_doubt: str = "look_up",
        plugins: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.dice = random.Random(seed)
        self.provider = Provider(folder / "provider")
        self.callers: list[Caller] = []
        plugins = ("bearer_token", "session_token", "default", *plugins, "postmark")
        listed = json.dumps(plugins)
        self._values = {"settle": list(settle), "in_doubt": in_doubt, "plugins": listed}
        self.daemon: Daemon = None  # type: ignore[assignment]

    @property
    def store(self) -> Path:
        return self.folder / "var" / "relay.db"

    def __enter__(self) -> Self:
        print(f"seed {self.seed}")  # noqa: T201 - pytest shows it where a test fails
        self.provider.__enter__()
        self.provider.set(seed=self.seed)
        toml = SETTINGS.format(url=self.provider.url, **self._values)
        self.daemon = Daemon(self.folder, toml, SECRETS)
        try:
            self.daemon.start()
        except BaseException:
            self.__exit__()
            raise
        self.port = int(self.daemon.url.rpartition(":")[2])
        self.daemon.environment["RELAY_PORT"] = str(self.port)
        return self

    def __exit__(self, *error: object) -> None:
        for caller in self.callers:
            caller.ending.set()
        if self.daemon is not None:
            self.daemon.process.kill()
            self.died()
        self.provider.__exit__(*error)

    def call(self, count: int = 4) -> None:
        """Start callers, every fourth of them through the API."""
        for number in range(count):
            kind = "api" if number % 4 == 3 else "form"
            self.callers.append(Caller(f"caller{number}", self.port, kind))
            self.callers[-1].start()

    def let_run(self, low: float, high: float) -> None:
        """Leave the load running for a random time: the moment of the next fault."""
        threading.Event().wait(self.dice.uniform(low, high))

    def died(self, code: int | None = None) -> None:
        """Wait for the end of a daemon that ends by itself, and check its exit code."""
        assert self.daemon.process.wait(30) == code or code is None
        self.daemon.process.stdout.close()

    def hang_up(self) -> None:
        """End the callers, each after its answer."""
        for caller in self.callers:
            caller.ending.set()
        for caller in self.callers:
            caller.join(30)
            assert not caller.is_alive()

    def settled(self, seconds: float = QUIET_SECONDS) -> None:
        """Wait until nothing waits for the relay any more."""
        until(lambda: not ledger.waiting(self.store), lambda: self._unsettled(), seconds)

    def _unsettled(self) -> str:
        listed = self.daemon.command("queue", "--limit", "20").stdout
        return f"seed {self.seed}: still waiting:\n{listed}\n{self.daemon.log()[-3000:]}"

    @property
    def odd(self) -> list[tuple[int, str]]:
        """What callers were answered that is neither 200 nor 503."""
        return [one for caller in self.callers for one in caller.odd]

    def ledger(self, answers: dict[str, str] | None = None) -> Ledger:
        """Compare the three accounts; the relay's own must balance too."""
        audit = self.daemon.command("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        given = {name: words for one in self.callers for name, words in one.answers.items()}
        given |= answers or {}
        return Ledger(given, self.provider.accepted(), ledger.rows(self.store))

    def flagged(self) -> int:
        """Count the log lines that say that a message may be delivered twice."""
        return sum(event["event"] == "message.resent" for event in self.daemon.events())
