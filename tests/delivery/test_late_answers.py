"""An answer that comes after its claim was lost still says that the provider took the message."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.site import Site
from relay.store.outbox import recovery
from relay.store.outbox.recovery import Interruption
from tests.conftest import FORM, Outbox, Post

SLOW = """
import threading

from relay import Receipt, hookimpl

begun, go = threading.Event(), threading.Event()

@hookimpl
def deliver(messages, server):
    begun.set()
    go.wait(20)
    return [Receipt("taken-late") for message in messages]
"""


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "slow.py").write_text(SLOW, encoding="utf-8")
    return """
[relay]
wait = 0

[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]

[servers.slow]
plugins = ["bearer_token", "default", "slow"]
sender = "slow@example.gov"
recipients = ["@example.gov"]
"""


def kinds(site: Site) -> list[str]:
    query = text("SELECT kind FROM events ORDER BY id")
    return list(site.store.read_now(lambda connection: connection.execute(query).scalars().all()))


async def answered(site: Site, post: Post, **changes: Any) -> None:
    """Lose the claim of a message while it is being sent, change its row, then let it be taken."""
    assert (await post("/rest/email/slow", FORM)).words == "Message queued"
    slow = sys.modules["relay_plugins.slow"]
    assert await asyncio.to_thread(slow.begun.wait, 10)
    lost = Interruption(time.time() + 10_000, {}, 120)
    assert await site.store.write(recovery.lapsed, lost) == 1
    setting = ", ".join(f"{name} = :{name}" for name in changes)
    if changes:
        statement = text(f"UPDATE messages SET {setting}")  # noqa: S608 - own names
        site.store.write_now(lambda one, batch: [one.execute(statement, batch[0])], [changes])
    slow.go.set()
    assert await site.dispatcher.stop(10)


@pytest.mark.parametrize(
    ("changes", "waiting"),
    [({}, 1), ({"state": "held"}, 1), ({"state": "queued", "maybe_twice": True}, 0)],
    ids=["in doubt", "held", "about to be sent again"],
)
@pytest.mark.gen_test
async def test_it_settles_what_is_open(
    site: Site, post: Post, outbox: Outbox, changes: dict[str, Any], waiting: int
) -> None:
    await answered(site, post, **changes)
    row = outbox.last()
    assert (row["state"], row["provider_id"]) == ("sent", "taken-late")
    assert row["words"] == "slow took it after its claim had ended"
    assert kinds(site) == ["interrupted", "found"]
    # Whoever changes a state in daily work takes it off the count; only a queued one still was.
    assert site.dispatcher.waiting == waiting


@pytest.mark.parametrize("state", ["sent", "failed", "cancelled", "sending"])
@pytest.mark.gen_test
async def test_what_was_decided_stands_and_its_history_has_the_answer(
    site: Site, post: Post, outbox: Outbox, state: str
) -> None:
    await answered(site, post, state=state, words="decided")
    row = outbox.last()
    assert (row["state"], row["words"], row["provider_id"]) == (state, "decided", None)
    assert kinds(site) == ["interrupted", "late"]
