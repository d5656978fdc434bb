"""A site of which one server has canaries, every ten minutes, and alerts of another provider."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.site import Site
from relay.store import canaries
from relay.store.canaries import Canary
from tests.conftest import Outbox, Post, Reply
from tests.notifications.alerts.conftest import DELIVERY
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import key
from tests.web.postmark.conftest import settled

SECRET = "webhook-secret-webhook-secret-0001"
TO = "canary@example.org"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DUE = 10 * MINUTE + 1

SETTINGS = (
    key("application", "registry", "asked", "boxed", "scripted")
    + """
[relay]
wait = 30

[alerts]
to = ["ops@example.gov"]
urgent_to = ["pager@example.gov"]
digest = ""

[servers.alerts]
plugins = ["courier"]
sender = "Relay <alerts@example.gov>"

[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "default", "postmark", "postmark_webhooks"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov", "desk@example.com"]
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "URL"
webhook_secrets = [{ env = "WEBHOOK_SECRET" }]
receipt = true
retry = [1200]
deadline = 1

[servers.asked]
plugins = ["bearer_token", "default", "postmark"]
sender = "Asked <asked@example.gov>"
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "URL"
retry = [1200]
deadline = 1

[servers.boxed]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "Boxed <boxed@example.gov>"
recipients = ["@example.gov"]

[servers.scripted]
plugins = ["bearer_token", "default", "provider"]
sender = "Scripted <scripted@example.gov>"
recipients = ["@example.gov"]
backup = "backup@example.gov"
retry = [1200]
"""
)
ON = f'canary_minutes = 10\ncanary_to = "{TO}"\n'


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "WEBHOOK_SECRET": SECRET}


@pytest.fixture
def flies(request: pytest.FixtureRequest) -> str:
    """The server that has canaries."""
    return str(getattr(request, "param", "registry"))


@pytest.fixture
def without_canaries(tmp_path: Path, postmark: FakePostmark) -> str:
    """The settings, of which no server has canaries."""
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    for name in ("provider", "courier"):
        (folder / f"{name}.py").write_text(DELIVERY, encoding="utf-8")
    return SETTINGS.replace("URL", postmark.url)


@pytest.fixture
def settings_toml(without_canaries: str, flies: str) -> str:
    return without_canaries.replace(f"[servers.{flies}]\n", f"[servers.{flies}]\n{ON}")


@pytest.fixture
def now(site: Site) -> float:
    """A moment after the site's beginning, from which a test counts."""
    return time.time()


class Watched(NamedTuple):
    """What a test sees of canaries: all of them, how they do, and how to look at a time."""

    site: Site
    outbox: Outbox

    async def look(self, now: float) -> None:
        """Look, deliver what is due, and look again."""
        await self.site.canaries.look(now)
        await settled(self.site)
        await self.site.dispatcher.deliver_waiting(now)
        await self.site.canaries.look(now)

    @property
    def all(self) -> list[dict[str, Any]]:
        return [row for row in self.outbox.rows() if row["canary"]]

    @property
    def last(self) -> Canary | None:
        [*known] = self.site.store.read_now(canaries.read).values()
        return known[0] if known else None

    @property
    def why(self) -> str:
        """Why the last one is missing, which is named behind it."""
        reason, _, id = self.last.reason.partition("; its id is ")
        assert id in [row["id"] for row in self.all]
        return reason

    @property
    def is_missing(self) -> bool:
        return self.last is not None and self.last.missing_since is not None


@pytest.fixture
def watched(site: Site, outbox: Outbox) -> Watched:
    return Watched(site, outbox)


@pytest.fixture
def told(outbox: Outbox) -> Callable[[], list[tuple[str, tuple[str, ...]]]]:
    """The subjects of the alerts that were stored, oldest first, and who gets them."""

    def read() -> list[tuple[str, tuple[str, ...]]]:
        documents = [row["document"] for row in outbox.rows() if row["server"] == "alerts"]
        return [
            (one["subject"].removeprefix("[Relay] "), tuple(to for to, _ in one["to"]))
            for one in documents
        ]

    return read


@pytest.fixture
def provider_says(post: Post) -> Callable[..., Awaitable[Reply]]:
    """Let the provider tell something of a message, over HTTP."""

    async def says(record: str, id: str, **more: Any) -> Reply:
        at = time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime())
        body = {
            "RecordType": record,
            "ID": 42,
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Recipient": TO,
            "Email": TO,
            "DeliveredAt": at,
            "BouncedAt": at,
            "Metadata": {f"relay-{'0' * 8}": id},
            **more,
        }
        return await post(
            "/rest/email/postmark/registry/outbound",
            body=json.dumps(body).encode(),
            media="application/json",
            key=None,
            headers={"X-Relay-Webhook-Secret": SECRET},
        )

    return says
