"""A site whose settings name webhooks, and their receivers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.support.keys import key
from tests.support.webhook_receiver import OTHER, SECRET, WebhookReceiver

SETTINGS = (
    key("application", "registry", "quiet")
    + """
[relay]
wait = 30

[webhooks.crm]
url = "CRM"
secret = { env = "CRM_SECRET" }
events = ["accepted", "screened", "sent", "failed", "delivered", "bounced"]
networks = ["127.0.0.1"]

[webhooks.pager]
url = "PAGER"
secrets = [{ env = "PAGER_SECRET" }, { env = "CRM_SECRET" }]
events = ["failed", "held", "suppressed", "cancelled"]
servers = ["registry"]
addresses = true
networks = ["127.0.0.1"]

[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "default", "courier"]
sender = "registry@example.gov"
recipients = ["@example.gov"]
retry = [86400]

[servers.quiet]
plugins = ["bearer_token", "default", "mailbox"]
sender = "quiet@example.gov"
recipients = ["@example.gov"]
"""
)
# A delivery whose next calls get `answers`; everything else is taken.
COURIER = """
from relay import Receipt, hookimpl

answers = []

@hookimpl
def deliver(messages):
    if answers:
        raise answers.pop(0)
    return [Receipt(message.id) for message in messages]
"""


@pytest.fixture
def receivers(io_loop: IOLoop) -> Iterator[Callable[[str], WebhookReceiver]]:
    """Make a receiver that checks a secret."""
    made: list[WebhookReceiver] = []

    def make(secret: str) -> WebhookReceiver:
        made.append(WebhookReceiver(secret))
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.close)


@pytest.fixture
def crm(receivers: Callable[[str], WebhookReceiver]) -> WebhookReceiver:
    return receivers(SECRET)


@pytest.fixture
def pager(receivers: Callable[[str], WebhookReceiver]) -> WebhookReceiver:
    return receivers(OTHER)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "CRM_SECRET": SECRET, "PAGER_SECRET": OTHER}


@pytest.fixture
def settings_toml(tmp_path: Path, crm: WebhookReceiver, pager: WebhookReceiver) -> str:
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    (folder / "courier.py").write_text(COURIER, encoding="utf-8")
    return SETTINGS.replace('CRM"', crm.url + '"', 1).replace('PAGER"', pager.url + '"', 1)
