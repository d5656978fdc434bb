"""A site with a provider that says what it is told to, and alerts that go through another one."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.site import Site
from tests.conftest import Outbox
from tests.support.keys import key

# A delivery whose next calls get `answers`; everything else is taken.
DELIVERY = """
from relay import Receipt, hookimpl

answers = []

@hookimpl
def deliver(messages):
    answer = answers.pop(0) if answers else None
    if isinstance(answer, Exception):
        raise answer
    return answer or [Receipt(message.id) for message in messages]
"""

JOURNAL = """
from relay import hookimpl

seen = []

@hookimpl
def quarantined(message, error, server):
    seen.append((message.subject, type(error).__name__, str(error), server.name))

@hookimpl
def bounced(event, server):
    seen.append((event.kind, event.message, server.name))
"""

SETTINGS = (
    key("application", "registry", "quiet")
    + """
[relay]
wait = 30

[alerts]
to = ["Operations <ops@example.gov>"]
urgent_to = ["pager@example.gov"]
at_least = { keys = 2, tokens = 1, screened = 1 }
digest = ""

[servers.alerts]
plugins = ["courier"]
sender = "Relay <alerts@example.gov>"

[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "default", "journal", "provider"]
sender = "registry@example.gov"
recipients = ["@example.gov"]
expect_mail_hours = 48
retry = [86400]

[servers.quiet]
plugins = ["bearer_token", "default", "provider"]
sender = "quiet@example.gov"
recipients = ["@example.gov"]
"""
)

PATH = "/rest/email/registry"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Mail(NamedTuple):
    """An alert as its readers get it."""

    subject: str
    text: str
    to: tuple[str, ...]
    headers: dict[str, str]


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    for name in ("provider", "courier"):
        (folder / f"{name}.py").write_text(DELIVERY, encoding="utf-8")
    (folder / "journal.py").write_text(JOURNAL, encoding="utf-8")
    return SETTINGS


def script(name: str) -> Any:
    """The module of a scripted plugin, as it was loaded last."""
    return sys.modules[f"relay_plugins.{name}"]


async def attempted(site: Site, outbox: Outbox) -> str:
    """What came of the first attempt on the alert that was just stored."""
    id = [row["id"] for row in outbox.rows() if row["server"] == "alerts"][-1]
    site.dispatcher.waiters.open(id)
    return (await site.dispatcher.waiters.wait(id, 30)).result


@pytest.fixture
def mails(outbox: Outbox) -> Callable[[], list[Mail]]:
    """Every alert that was stored, oldest first."""

    def read() -> list[Mail]:
        documents = [row["document"] for row in outbox.rows() if row["server"] == "alerts"]
        return [
            Mail(
                one["subject"],
                one["text"],
                tuple(email for email, _ in one["to"]),
                {name: value for name, value in one["headers"]},
            )
            for one in documents
        ]

    return read


@pytest.fixture
def now(site: Site) -> float:
    """A moment after the site's beginning, from which a test counts."""
    return time.time()
