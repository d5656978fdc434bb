"""What the tests share: daemons on one PostgreSQL behind a balancer, a provider, callers."""

import itertools
import json
import random
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from sqlalchemy import make_url, text

from tests.chaos import ledger
from tests.chaos.ledger import WAITING, Ledger, Row
from tests.chaos.provider import Provider
from tests.chaos.rig import FULL, KEY, SECRETS, SETTINGS, TOKEN, Caller, post, until
from tests.cluster.altered import program
from tests.support.balancer import Balancer
from tests.support.daemon import Daemon
from tests.support.killable_postgresql import Server
from tests.support.postgresql import engine_of

__all__ = ["FULL", "FULL_ONLY", "KEY", "TOKEN", "Cluster", "post", "post_many", "until"]

# What takes a minute and stands on a proof that the short tier has.
FULL_ONLY = pytest.mark.skipif(not FULL, reason="not run: RELAY_CHAOS=full only")

SHARED = """
[relay]
database = {{ env = "DATABASE" }}
secret = {{ env = "SHARED_SECRET" }}
"""
# A daemon that died is given up after 30 s, and what it was sending is looked up after that.
QUIET_SECONDS = 90.0

_numbers = itertools.count(1)


class Cluster:
    """Daemons on one database of a server, a provider, a balancer and callers; leaving ends all.

    settle, in_doubt: as in the settings. plugins, more: beside those of tests/chaos; `more` begins
    in the server's table. alterations: what is altered of all daemons, or of each by its place.
    proxied: whether each daemon reaches the database through a balancer of its own, by which it
    can be cut off.
    """

    def __init__(
        self,
        folder: Path,
        server: Server,
        daemons: int = 3,
        *,
        seed: int = 1,
        settle: Sequence[float] = (0.5, 1, 2),
        in_doubt: str = "look_up",
        plugins: Sequence[str] = (),
        alterations: Mapping[int, Sequence[str]] | Sequence[str] = (),
        more: str = "",
        environment: Mapping[str, str] | None = None,
        proxied: bool = False,
    ) -> None:
        self.folder = folder
        self.server = server
        self.seed = seed
        self.dice = random.Random(seed)
        self.callers: list[Caller] = []
        self.daemons: list[Daemon] = []  # they start all at once
        self.proxies: list[Balancer] = []
        self._count = daemons
        named = ("bearer_token", "session_token", "default", "postmark", *plugins)
        self._values = {"settle": list(settle), "in_doubt": in_doubt, "plugins": json.dumps(named)}
        self._alterations = alterations
        self._more = more
        self._environment = {**SECRETS, "SHARED_SECRET": "shared-secret-" * 4}
        self._environment |= environment or {}
        self._proxied = proxied
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        print(f"seed {self.seed}")  # noqa: T201 - pytest shows it where a test fails
        name = f"cluster_{next(_numbers)}"
        self.server.execute(f"CREATE DATABASE {name} OWNER relay")
        self.url = self.server.url_of(name)
        self.engine = engine_of(self.url, pool_pre_ping=True)
        self._closing.callback(self.engine.dispose)
        try:
            self.provider = self._closing.enter_context(Provider(self.folder / "provider"))
            self.provider.set(seed=self.seed)
            self.daemons = [self._made(place) for place in range(self._count)]
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._start, self.daemons))
            ports = [port_of(daemon) for daemon in self.daemons]
            self.balancer = self._closing.enter_context(Balancer(ports))
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for caller in self.callers:
            caller.ending.set()
        self._closing.close()

    def _made(self, place: int) -> Daemon:
        folder = self.folder / f"daemon{place}"
        folder.mkdir()
        url = make_url(self.url)
        if self._proxied:
            self.proxies.append(self._closing.enter_context(Balancer([self.server.port])))
            url = url.set(port=self.proxies[-1].port)
        environment = {**self._environment, "DATABASE": url.render_as_string(hide_password=False)}
        altered = self._alterations
        altered = altered.get(place, ()) if isinstance(altered, Mapping) else altered
        toml = SHARED.format() + SETTINGS.format(url=self.provider.url, **self._values)
        daemon = Daemon(folder, toml + self._more, environment, program(*altered))
        self._closing.callback(self._kill, daemon)
        return daemon

    def _start(self, daemon: Daemon) -> None:
        daemon.start()
        daemon.environment["RELAY_PORT"] = str(port_of(daemon))

    def _kill(self, daemon: Daemon) -> None:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)

    def serves(self, place: int) -> bool:
        """Whether a daemon takes mail right now, as it says itself."""
        try:
            reply = requests.get(f"{self.daemons[place].url}/healthz", timeout=5)
        except requests.RequestException:
            return False
        return reply.status_code == 200

    def await_all(self, seconds: float = QUIET_SECONDS) -> None:
        """Wait until every daemon takes mail."""
        for place, daemon in enumerate(self.daemons):
            until(lambda place=place: self.serves(place), daemon.log, seconds)  # type: ignore[misc]

    def call(self, count: int = 6) -> None:
        """Start callers through the balancer, every third of them through the API."""
        for number in range(count):
            kind = "api" if number % 3 == 2 else "form"
            self.callers.append(Caller(f"caller{number}", self.balancer.port, kind))
            self.callers[-1].start()

    def let_run(self, low: float, high: float) -> None:
        """Leave the load running for a random time: the moment of the next fault."""
        threading.Event().wait(self.dice.uniform(low, high))

    def hang_up(self) -> None:
        """End the callers, each after its answer."""
        for caller in self.callers:
            caller.ending.set()
        for caller in self.callers:
            caller.join(30)
            assert not caller.is_alive()

    def settled(self, seconds: float = QUIET_SECONDS) -> None:
        """Wait until nothing waits for any daemon any more."""
        until(lambda: not self._waiting(), self._unsettled, seconds)

    def _waiting(self) -> int:
        counts = dict(self.rows("SELECT state, count(*) FROM messages GROUP BY state"))
        return sum(counts.get(state, 0) for state in WAITING)

    def _unsettled(self) -> str:
        listed = self.rows("SELECT id, state, daemon, due_at FROM messages WHERE state != 'sent'")
        logs = "\n".join(daemon.log()[-2000:] for daemon in self.daemons)
        return f"seed {self.seed}: still waiting: {listed[:20]}\n{logs}"

    def rows(self, query: str) -> list[Any]:
        """What a query gives."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)))

    @property
    def odd(self) -> list[tuple[int, str]]:
        """What callers were answered that is neither 200 nor 503."""
        return [one for caller in self.callers for one in caller.odd]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What all daemons logged under a name."""
        logged = (event for daemon in self.daemons for event in daemon.events())
        return [event for event in logged if event["event"] == name]

    def ledger(self, answers: Mapping[str, str] | None = None, *, audited: bool = True) -> Ledger:
        """Compare the three accounts; the daemons' own must balance too."""
        if audited:
            audit = self.daemons[0].command("audit")
            assert audit.returncode == 0, audit.stdout + audit.stderr
        given = {name: words for one in self.callers for name, words in one.answers.items()}
        given |= answers or {}
        query = "SELECT id, subject, state, maybe_twice FROM messages JOIN contents USING (id)"
        found = Ledger(given, self.provider.accepted(), [Row(*row) for row in self.rows(query)])
        print(  # noqa: T201 - pytest shows it where a test fails
            f"{len(found.answers)} posts, {len(found.promised)} promised, "
            f"{sum(words == '503' for words in found.answers.values())} refused with 503, "
            f"{sum(not words for words in found.answers.values())} unanswered, "
            f"{len(found.accepted)} taken, {len(found.doubled)} doubled, "
            f"{len(self.events('message.resent'))} resent, {len(self.odd)} odd"
        )
        return found

    def compared(self, answers: Mapping[str, str] | None = None) -> Ledger:
        """End the load, let all settle, and compare: nothing lost, doubled, or answered oddly."""
        self.hang_up()
        self.settled()
        found = self.ledger(answers)
        assert found.faults == {}
        assert found.doubled == set()
        assert self.odd == []
        assert set(found.states.values()) == {"sent"}
        return found


def post_many(url: str, name: str, count: int) -> dict[str, str]:
    """Post messages by the API, hundreds in a call; return the answers by reference."""
    answers = {}
    for first in range(0, count, 500):
        names = [f"{name}-{number}" for number in range(first, min(first + 500, count))]
        contents = [
            {
                "From": "registry@example.gov",
                "To": "desk@example.gov",
                "Subject": reference,
                "TextBody": "Make the roads green.",
            }
            for reference in names
        ]
        headers = {"X-Postmark-Server-Token": TOKEN}
        reply = requests.post(f"{url}/email/batch", json=contents, headers=headers, timeout=20)
        assert reply.status_code == 200, reply.text
        for reference, answer in zip(names, reply.json(), strict=True):
            answers[reference] = ledger.QUEUED if answer["ErrorCode"] == 0 else answer["Message"]
    return answers


def port_of(daemon: Daemon) -> int:
    """The port of a daemon's API."""
    return int(daemon.url.rpartition(":")[2])
