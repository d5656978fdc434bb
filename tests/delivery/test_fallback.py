"""Fallback: a second delivery plugin takes over while the first one's breaker is open."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from relay.core.errors import DeliveryDeferred, DeliveryInDoubt
from relay.core.message import Confirmation
from relay.site import Site
from relay.store.queries import listing
from tests.conftest import FORM, Outbox, Post
from tests.support.stored import by

# A delivery that keeps the ids it was given; `answers` are what the next calls get.
DELIVERY = """
from relay import Receipt, hookimpl

max_batch = 500
calls, answers = [], []

@hookimpl
def deliver(messages):
    calls.append([message.id for message in messages])
    answer = answers.pop(0) if answers else None
    if isinstance(answer, Exception):
        raise answer
    return answer or [Receipt("NAME " + message.id) for message in messages]
"""

SETTINGS = """
[relay]
wait = 30

[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]

[servers.registry]
plugins = ["bearer_token", "honeypot", "default", "first", "second"]
sender = "registry@example.gov"
recipients = ["@example.gov"]
retry = [10, 20]

[servers.member]
plugins = ["bearer_token", "default"]
group = "registry"
sender = "member@example.gov"
recipients = ["@example.gov"]
"""

PATH = "/rest/email/registry"
DOWN = DeliveryDeferred("down", code="503/0", opens_breaker=True)
REFUSED = DeliveryDeferred("the key", code="401/10", counted=False, opens_breaker=True)


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    for name in ("first", "second"):
        source = DELIVERY.replace("NAME", name)
        (tmp_path / "plugins" / f"{name}.py").write_text(source, encoding="utf-8")
    return SETTINGS


def delivery(name: str) -> Any:
    return sys.modules[f"relay_plugins.{name}"]


async def words(post: Post, path: str = PATH, **fields: str) -> str:
    return (await post(path, {**FORM, **fields})).words


@pytest.mark.gen_test
async def test_the_second_takes_over_while_the_firsts_breaker_is_open_and_gives_back(
    site: Site, post: Post, outbox: Outbox
) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [REFUSED]
    assert await words(post) == "Message queued"
    assert (len(first.calls), second.calls) == (1, [])
    # The caller does not notice, and neither does a robot.
    assert site.dispatcher.can_deliver("registry")
    assert await words(post, contact="robot") == "Message sent"
    assert await words(post) == "Message sent"
    assert await words(post, "/rest/email/member") == "Message sent"
    assert (len(first.calls), len(second.calls)) == (1, 2)
    # What was queued goes by the first, as its probe, and closes the breaker.
    await site.dispatcher.deliver_waiting(time.time() + 13)
    assert (first.calls[1], len(second.calls)) == (first.calls[0], 2)
    assert await words(post) == "Message sent"
    assert (len(first.calls), len(second.calls)) == (3, 2)
    sent = [row for row in outbox.rows() if row["state"] == "sent"]
    assert [row["delivery"] for row in sent] == ["first", "second", "second", "first"]
    assert [row["provider_id"] for row in sent] == [
        f"{row['delivery']} {row['id']}" for row in sent
    ]
    attempts = [(attempt["delivery"], attempt["outcome"]) for attempt in outbox.attempts()]
    assert attempts == [
        ("first", "deferred"),
        ("first", "sent"),
        ("second", "sent"),
        ("second", "sent"),
        ("first", "sent"),
    ]


@pytest.mark.gen_test
async def test_a_message_that_the_first_deferred_goes_by_the_second_under_the_same_id(
    site: Site, post: Post, outbox: Outbox
) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [DOWN] * 6
    for _ in range(5):
        assert await words(post) == "Message queued"
    assert len(first.calls) == 5
    # Of the five that are due again one is the first's probe, and fails.
    assert await site.dispatcher.deliver_waiting(time.time() + 13) == 5
    assert (len(first.calls), [len(call) for call in second.calls]) == (6, [4])
    assert sorted(outbox.states()) == ["queued", *["sent"] * 4]
    ids = {call[0] for call in first.calls}
    assert set(second.calls[0]) < ids
    by_id = {attempt["message"]: attempt["delivery"] for attempt in outbox.attempts()}
    assert sorted(by_id.values()) == ["first", *["second"] * 4]


@pytest.mark.gen_test
async def test_a_message_in_doubt_never_falls_back(site: Site, post: Post, outbox: Outbox) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [DeliveryInDoubt("no answer")] * 5
    for _ in range(5):
        assert await words(post) == "Message queued"
    assert await words(post) == "Message sent"
    assert (len(first.calls), len(second.calls)) == (5, 1)
    assert await site.dispatcher.deliver_waiting(time.time() + 1e5) == 0
    assert outbox.states() == ["in_doubt"] * 5 + ["sent"]
    assert {row["delivery"] for row in outbox.rows()[:5]} == {"first"}


@pytest.mark.gen_test
async def test_with_both_breakers_open_mail_waits_and_nobody_waits_for_it(
    site: Site, post: Post, outbox: Outbox
) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [REFUSED]
    second.answers[:] = [REFUSED]
    assert await words(post) == "Message queued"
    assert await words(post) == "Message queued"
    assert not site.dispatcher.can_deliver("registry")
    assert not site.dispatcher.can_deliver("member")
    assert await words(post) == "Message queued"
    assert (len(first.calls), len(second.calls)) == (1, 1)
    await site.dispatcher.deliver_waiting(time.time() + 13)
    assert set(outbox.states()) == {"sent"}


@pytest.mark.gen_test
async def test_the_results_of_a_fallback_are_settled_message_by_message(
    site: Site, post: Post, outbox: Outbox
) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [REFUSED]
    assert await words(post) == "Message queued"
    await site.pauses.pause("registry", by("somebody"))
    for _ in range(3):
        await words(post)
    second.answers[:] = [[Confirmation("1"), DeliveryDeferred("busy"), Confirmation("3")]]
    await site.pauses.resume("registry", by("somebody"))
    await site.dispatcher.deliver_waiting()
    assert [len(call) for call in second.calls] == [3]
    states = {row["id"]: row["state"] for row in outbox.rows()}
    assert [states[id] for id in second.calls[0]] == ["sent", "queued", "sent"]


@pytest.mark.gen_test
async def test_a_first_that_is_only_busy_is_waited_for(
    site: Site, post: Post, outbox: Outbox
) -> None:
    first, second = delivery("first"), delivery("second")
    first.answers[:] = [REFUSED]
    await words(post)
    await site.dispatcher.deliver_waiting(time.time() + 13)
    await site.pauses.pause("registry", by("somebody"))
    for _ in range(3):
        await words(post)

    def solitary(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        connection.exec_driver_sql("UPDATE messages SET crashes = 3 WHERE state = 'queued'")
        return batch

    # Each goes alone, and after its fault the first gets one call at a time.
    await site.store.write(solitary, None)
    await site.pauses.resume("registry", by("somebody"))
    while site.dispatcher.waiting:
        await site.store.read(listing.count_unsent)
    assert [len(call) for call in first.calls] == [1, 1, 1, 1, 1]
    assert second.calls == []
    assert outbox.states() == ["sent"] * 4
