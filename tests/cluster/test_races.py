"""What several daemons are asked at the same moment, and only one of them may do."""

import asyncio
import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.cluster.rig import FULL, KEY, Cluster
from tests.support.killable_postgresql import Server

pytestmark = pytest.mark.slow

PAGE_KEY = "page-key-page-key-page-key-page-key"
SECRET = "webhook-secret-webhook-secret-0001"
ENVIRONMENT = {"PAGE_KEY": PAGE_KEY, "WEBHOOK_SECRET": SECRET}
MORE = """
webhook_secrets = [{ env = "WEBHOOK_SECRET" }]

[keys.page]
secret = { env = "PAGE_KEY" }
kind = "publishable"
servers = ["registry"]
"""
RACERS = 8
# How many races are run beside each other.
AT_ONCE = 4

TOKENS, REQUESTS, CALLS, REPEATS = (10_000, 500, 50, 100) if FULL else (500, 30, 10, 20)


def cluster_of(tmp_path: Path, server: Server, *altered: str) -> Cluster:
    return Cluster(
        tmp_path,
        server,
        plugins=["postmark_webhooks"],
        more=MORE,
        environment=ENVIRONMENT,
        alterations=altered,
    )


class Racers:
    """Asks several daemons at once; `counts` are the statuses that came."""

    def __init__(self, cluster: Cluster) -> None:
        self.urls = [daemon.url for daemon in cluster.daemons]
        self.client = AsyncHTTPClient(force_instance=True, max_clients=RACERS * AT_ONCE)
        self.gate = asyncio.Semaphore(AT_ONCE)

    async def post(self, racer: int, path: str, body: str, headers: dict[str, str]) -> HTTPResponse:
        url = self.urls[racer % len(self.urls)] + path
        return await self.client.fetch(
            url, method="POST", body=body, headers=headers, raise_error=False, request_timeout=30
        )

    async def race(self, posts: list[Any]) -> list[HTTPResponse]:
        """Start posts at the same moment: path, body and headers of each racer."""
        async with self.gate:
            return await asyncio.gather(*(self.post(n, *one) for n, one in enumerate(posts)))


def form(subject: str, **more: str) -> str:
    fields = {
        "to_address": "desk@example.gov",
        "from_address": "resident@example.com",
        "subject": subject,
        "message": "Make the roads green.",
    }
    return urlencode({**fields, **more})


async def spent(cluster: Cluster, count: int) -> dict[str, str]:
    """Let racers post something of their own against each of so many tokens; return the answers."""
    racers = Racers(cluster)
    answers: dict[str, str] = {}

    async def one(number: int) -> None:
        made = await racers.race([("/rest/email_token/create", "", {})])
        token = json.loads(made[0].body)["token_session"]
        headers = {"Authorization": f"token {PAGE_KEY}"}
        names = [f"token{number}-{racer}" for racer in range(RACERS)]
        posts = [
            ("/rest/email_session/registry", form(name, token_session=str(token)), headers)
            for name in names
        ]
        for name, reply in zip(names, await racers.race(posts), strict=True):
            assert reply.code in (200, 403), (reply.code, reply.body)
            words = json.loads(reply.body)["response"]
            answers[name] = words if reply.code == 200 else str(reply.code)

    await asyncio.gather(*(one(number) for number in range(count)))
    return answers


def winners(answers: dict[str, str]) -> Counter[int]:
    """How many tokens let in how many posts."""
    won = Counter(name.partition("-")[0] for name, words in answers.items() if words != "403")
    return Counter(won.values())


@pytest.mark.timeout(1800)
def test_a_token_lets_in_one_post(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server) as cluster:
        answers = asyncio.run(spent(cluster, TOKENS))
        assert winners(answers) == {1: TOKENS}
        cluster.settled()
        found = cluster.ledger(answers)
        assert found.faults == {}
        assert len(found.accepted) == TOKENS


@pytest.mark.timeout(120)
def test_tokens_that_nobody_locks_are_seen(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server, "locks_nothing") as cluster:
        assert winners(asyncio.run(spent(cluster, 100))).keys() - {1}


async def requested(cluster: Cluster, count: int) -> dict[str, list[HTTPResponse]]:
    """Make the same request of all daemons at once, so many times; return the answers by key."""
    racers = Racers(cluster)
    answers = {}

    async def one(number: int) -> None:
        name = f"request{number}"
        headers = {"Authorization": f"token {KEY}", "Idempotency-Key": name}
        posts = [("/rest/email/registry", form(name), headers)] * RACERS
        answers[name] = await racers.race(posts)

    await asyncio.gather(*(one(number) for number in range(count)))
    return answers


@pytest.mark.timeout(300)
def test_a_request_with_a_key_is_done_once(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server) as cluster:
        answers = asyncio.run(requested(cluster, REQUESTS))
        statuses = Counter(reply.code for replies in answers.values() for reply in replies)
        print(f"answered: {statuses}")  # noqa: T201 - pytest shows it where a test fails
        assert statuses.keys() <= {200, 409}
        again = asyncio.run(requested(cluster, REQUESTS))
        assert {reply.code for replies in again.values() for reply in replies} == {200}
        cluster.settled()
        found = cluster.ledger(dict.fromkeys(answers, "Message queued"))
        assert found.faults == {}
        assert found.doubled == set()
        assert len(found.accepted) == REQUESTS


@pytest.mark.timeout(120)
def test_requests_that_nobody_knows_are_seen(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server, "knows_no_request") as cluster:
        answers = asyncio.run(requested(cluster, 10))
        cluster.settled()
        assert cluster.ledger(dict.fromkeys(answers, "")).repeated


async def told(cluster: Cluster, calls: list[dict[str, Any]], repeats: int) -> Counter[int]:
    """Tell all daemons the same things at once, again and again; return the statuses."""
    racers = Racers(cluster)
    basic = base64.b64encode(f"postmark:{SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    posts = [("/rest/email/postmark/registry/outbound", json.dumps(one), headers) for one in calls]
    races = [racers.race([post] * repeats) for post in posts]
    return Counter(reply.code for replies in await asyncio.gather(*races) for reply in replies)


def bounces(cluster: Cluster) -> list[dict[str, Any]]:
    """Have messages sent, and return what a provider tells when each comes back."""
    asyncio.run(requested(cluster, CALLS))
    cluster.settled()
    return [
        {
            "RecordType": "Bounce",
            "ID": number,
            "Type": "HardBounce",
            "TypeCode": 1,
            "Name": "Hard bounce",
            "MessageID": provider_id,
            "Details": "550 5.1.1 unknown user",
            "Email": f"gone{number}@example.gov",
            "BouncedAt": "2026-11-21T16:33:54.9070259Z",
            "Inactive": True,
            "CanActivate": True,
            "Metadata": {},
        }
        for number, (provider_id,) in enumerate(cluster.rows("SELECT provider_id FROM messages"))
    ]


def effects(cluster: Cluster) -> list[int]:
    """How often it stands in each message's history that it came back."""
    query = "SELECT count(*) FROM events WHERE kind = 'bounced' GROUP BY message"
    return [row[0] for row in cluster.rows(query)]


@pytest.mark.timeout(600)
def test_what_a_provider_tells_again_has_one_effect(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server) as cluster:
        calls = bounces(cluster)
        assert asyncio.run(told(cluster, calls, REPEATS)) == {200: CALLS * REPEATS}
        assert effects(cluster) == [1] * CALLS
        assert cluster.rows("SELECT count(*) FROM suppressions") == [(CALLS,)]
        assert len(cluster.events("event.repeated")) == CALLS * (REPEATS - 1)


@pytest.mark.timeout(120)
def test_callbacks_that_nobody_remembers_are_seen(tmp_path: Path, server: Server) -> None:
    with cluster_of(tmp_path, server, "remembers_no_callback") as cluster:
        assert asyncio.run(told(cluster, bounces(cluster), 3)) == {200: CALLS * 3}
        assert effects(cluster) == [3] * CALLS
