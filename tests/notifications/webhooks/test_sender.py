"""Calls to webhooks, over real HTTP: what they say, how they are signed, when they come again."""

import asyncio
import json
import sys
import time
from typing import Any

import pytest
from sqlalchemy import text

from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt, MessageBroken
from relay.core.message import ProviderEvent
from relay.core.states import EVENTS
from relay.site import Site
from tests.conftest import FORM, Outbox, Post
from tests.support.stored import by
from tests.support.webhook_receiver import WebhookReceiver

pytestmark = pytest.mark.slow

PATH = "/rest/email/registry"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def refuse(times: int = 1) -> None:
    """Let the provider refuse the next messages."""
    answers = sys.modules["relay_plugins.courier"].answers
    answers[:] = [DeliveryFailed("no such sender signature: clerk@example.gov")] * times


def calls(site: Site) -> list[dict[str, Any]]:
    query = text("SELECT * FROM webhook_calls ORDER BY id")
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    return [dict(row._mapping) for row in rows]


@pytest.mark.gen_test
async def test_a_webhook_is_told_what_it_asks_for_signed_and_once(
    site: Site, post: Post, outbox: Outbox, crm: WebhookReceiver, pager: WebhookReceiver
) -> None:
    assert (await post(PATH, FORM)).words == "Message sent"
    refuse()
    assert (await post(PATH, FORM)).status == 400
    await site.webhooks.look()
    sent, failed = (row["id"] for row in outbox.rows())
    told = [(one.content["type"], one.content["data"]["id"]) for one in crm.calls]
    assert sorted(told) == sorted(
        [
            ("message.accepted", sent),
            ("message.sent", sent),
            ("message.accepted", failed),
            ("message.failed", failed),
        ]
    )
    assert pager.types == ["message.failed"]
    await site.webhooks.look()
    assert len(crm.calls) == 4
    assert all(one["taken_at"] and one["answer"] == "204" for one in calls(site))


@pytest.mark.gen_test
async def test_a_call_says_what_became_of_the_message_and_nothing_of_its_contents(
    site: Site, post: Post, outbox: Outbox, crm: WebhookReceiver, pager: WebhookReceiver
) -> None:
    refuse()
    await post(PATH, FORM)
    await site.webhooks.look()
    row = outbox.last()
    [call] = [one for one in crm.calls if one.content["type"] == "message.failed"]
    assert call.content["data"] == {
        "id": row["id"],
        "server": "registry",
        "state": "failed",
        "words": "no such sender signature: (address)",
        "reference": None,
        "provider_id": None,
        "metadata": {},
    }
    assert abs(time.time() - float(call.headers["webhook-timestamp"])) < MINUTE
    [to_pager] = pager.calls
    assert to_pager.content["data"]["recipients"] == ["desk@example.gov"]
    assert to_pager.headers["webhook-signature"].count("v1,") == 2
    for one in crm.calls:
        assert not any(word in one.text for word in ("@", "roads", "great idea", "Resident"))


@pytest.mark.gen_test
async def test_a_call_that_is_ordered_again_while_it_is_made_is_made_again(
    site: Site, post: Post, crm: WebhookReceiver
) -> None:
    await post(PATH, FORM)
    crm.answers[:] = ["hang"]
    looking = asyncio.create_task(site.webhooks.look())
    await crm.arrived.wait()
    id = crm.calls[0].id
    assert await site.orders.fire(id, by("jo")) == "crm"
    crm.released.set()
    await looking
    await site.webhooks.look()
    assert [one.id for one in crm.calls].count(id) == 2


@pytest.mark.gen_test
async def test_a_call_that_is_not_taken_comes_again_under_its_id_until_it_is(
    site: Site, post: Post, crm: WebhookReceiver, events: list[dict[str, Any]]
) -> None:
    crm.answers = [500, 500, 404]
    await post(PATH, FORM)
    now = time.time()
    await site.webhooks.look(now)
    assert len(crm.calls) == 2  # a target where all calls fail is left alone
    await site.webhooks.look(now + 1)
    assert len(crm.calls) == 2
    await site.webhooks.look(now + 20)
    assert [one["answer"] for one in calls(site)].count("404") == 1
    await site.webhooks.look(now + 10 * MINUTE)
    assert len(crm.calls) == 5
    assert len({one.id for one in crm.calls}) == 2
    assert len({one.text for one in crm.calls}) == 2
    assert [one["tries"] for one in calls(site)] in ([2, 3], [3, 2])
    said = [one["event"] for one in events if one["event"].startswith("webhook.")]
    assert said.count("webhook.failed") == 3
    assert said.count("webhook.taken") == 2


@pytest.mark.gen_test
async def test_of_a_target_that_fails_few_calls_are_made_however_many_wait(
    site: Site, post: Post, crm: WebhookReceiver
) -> None:
    crm.answers = [500] * 99
    for _ in range(20):
        await post(PATH, FORM)
    now = time.time()
    await site.webhooks.look(now)
    assert 0 < len(crm.calls) < 8
    first = len(crm.calls)
    await site.webhooks.look(now + 6)
    assert len(crm.calls) == first + 1
    crm.answers = []
    await site.webhooks.look(now + 10 * MINUTE)
    assert all(one["taken_at"] for one in calls(site))
    untried = [one for one in calls(site) if one["tries"] == 1]
    assert len(untried) >= 30


@pytest.mark.gen_test
async def test_what_nobody_takes_is_given_up_after_three_days(
    site: Site, post: Post, crm: WebhookReceiver, events: list[dict[str, Any]]
) -> None:
    crm.answers = [500] * 50
    await post(PATH, FORM)
    now = time.time()
    await site.webhooks.look(now)
    await site.webhooks.look(now + 72 * HOUR + MINUTE)
    [given_up] = [one for one in events if one["event"] == "webhook.expired"]
    assert given_up["target"] == "crm"


@pytest.mark.gen_test
async def test_without_webhooks_nothing_is_written_for_them(site: Site, post: Post) -> None:
    site.store.identity.announced = frozenset()
    await post(PATH, FORM)
    count = text("SELECT count(*) FROM webhook_events")
    assert site.store.read_now(lambda connection: connection.execute(count).scalar()) == 0


@pytest.mark.gen_test
async def test_what_was_announced_is_told_after_a_crash(
    site: Site, post: Post, crm: WebhookReceiver
) -> None:
    await post(PATH, FORM)  # and the daemon dies: nothing of it is left but the store
    assert calls(site) == []
    await site.webhooks.look()
    assert sorted(crm.types) == ["message.accepted", "message.sent"]


@pytest.mark.gen_test
async def test_a_target_that_hangs_delays_no_other(
    site: Site, post: Post, outbox: Outbox, crm: WebhookReceiver, pager: WebhookReceiver
) -> None:
    crm.answers = ["hang"] * 2
    refuse()
    await post(PATH, FORM)
    rounds = await site.webhooks._start()
    await asyncio.wait_for(pager.arrived.wait(), 30)
    assert not all(one.done() for one in rounds)
    await post(PATH, FORM)  # and mail waits for nobody
    assert outbox.last()["state"] == "sent"
    crm.released.set()
    await site.webhooks.stop()
    assert json.loads(calls(site)[0]["body"])["type"].startswith("message.")


def announced(site: Site) -> list[str]:
    query = text("SELECT kind FROM webhook_events ORDER BY id")
    return list(site.store.read_now(lambda connection: connection.execute(query).scalars().all()))


@pytest.mark.gen_test
async def test_everything_that_may_be_asked_for_is_announced_when_it_happens(
    site: Site, post: Post, outbox: Outbox
) -> None:
    site.store.identity.announced = frozenset(EVENTS)
    told: dict[str, list[str]] = {}

    def so_far(what: str) -> None:
        before = [kind for kinds in told.values() for kind in kinds]
        told[what] = announced(site)[len(before) :]

    async def orders(operation: str) -> None:
        await site.orders.messages(operation, [outbox.last()["id"]], by("jo"), twice=True)
        so_far(operation)

    async def provider(kind: str, **more: Any) -> None:
        chains = site.chains
        recipient = "desk@example.gov" if kind != "delivered" else ""
        event = ProviderEvent(kind, kind, outbox.last()["id"], recipient=recipient, **more)
        await site.provider_events.take([event], chains["registry"], chains, time.time())
        so_far(kind)

    answers = sys.modules["relay_plugins.courier"].answers
    await post(PATH, FORM)
    so_far("a post")
    await provider("delivered")
    await provider("complained")
    answers[:] = [DeliveryFailed("no")]
    await post(PATH, {**FORM, "to_address": "other@example.gov"})
    so_far("a post that fails")
    await orders("found")
    answers[:] = [DeliveryDeferred("busy")]
    await post(PATH, {**FORM, "to_address": "other@example.gov"})
    so_far("a post that waits")
    await orders("cancel")
    answers[:] = [DeliveryInDoubt("no answer")]
    await post(PATH, {**FORM, "to_address": "other@example.gov"})
    so_far("a post in doubt")
    await provider("bounced")
    await provider("unsubscribed")
    await post(PATH, FORM)
    so_far("a post to whom no mail goes")
    answers[:] = [MessageBroken("no mail can be made of it")]
    await post(PATH, {**FORM, "to_address": "third@example.gov"})
    so_far("a post that no mail can be made of")
    await post(PATH, {**FORM, "contact": "robot", "to_address": "third@example.gov"})
    so_far("a robot's post")
    await site.orders.release([outbox.last()["id"]], by("jo"))
    so_far("release")
    assert told == {
        "a post": ["accepted", "sent"],
        "delivered": ["delivered"],
        "complained": ["complained"],
        "a post that fails": ["accepted", "failed"],
        "found": ["sent"],
        "a post that waits": ["accepted"],
        "cancel": ["cancelled"],
        "a post in doubt": ["accepted"],
        "bounced": ["sent", "bounced"],
        "unsubscribed": ["unsubscribed"],
        "a post to whom no mail goes": ["accepted", "held"],
        "a post that no mail can be made of": ["accepted", "quarantined"],
        "a robot's post": ["screened"],
        "release": ["accepted"],
    }
