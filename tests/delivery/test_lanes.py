"""Lanes: which messages share a call, whose turn it is, and when a provider is left alone."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from relay.config.settings import Settings
from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt, UnknownServer
from relay.core.ids import message_id
from relay.core.message import Confirmation
from relay.site import Site, open_site
from relay.store.engine.database import Store
from relay.store.outbox import batching, claims, enqueue
from relay.store.outbox.batching import ClaimOrder, Claims, Lane
from relay.store.outbox.claims import OWNED_SECONDS
from relay.store.outbox.enqueue import NewMessage
from relay.store.queries import listing
from tests.conftest import FORM, Outbox, Post
from tests.support.fake_postmark import FakePostmark, error
from tests.support.stored import by, dies

# A delivery that a test looks into and holds up; `answers` are what the next calls get.
DELIVERY = """
import threading

from relay import Receipt, hookimpl

max_batch = {batch}
calls, answers = [], []
holding = False
begun, gate = threading.Semaphore(0), threading.Semaphore(0)

def free():
    global holding
    holding = False
    gate.release(1000)

@hookimpl
def deliver(messages):
    calls.append([message.subject for message in messages])
    begun.release()
    if holding:
        gate.acquire(timeout=20)
    answer = answers.pop(0) if answers else [Receipt("1")] * len(messages)
    if isinstance(answer, Exception):
        raise answer
    return answer
"""

SETTINGS = """
[relay]
wait = 30

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.a]
plugins = ["bearer_token", "default", "slow"]
sender = "a@example.gov"
recipients = ["@example.gov"]
retry = [10, 100]
ENABLED

[servers.b]
plugins = ["bearer_token", "default", "slow"]
sender = "b@example.gov"
recipients = ["@example.gov"]
ENABLED

[servers.twelve]
plugins = ["bearer_token", "default", "slow"]
sender = "twelve@example.gov"
recipients = ["@example.gov"]
retry = [15]
ENABLED

[servers.many]
plugins = ["bearer_token", "default", "batched"]
sender = "many@example.gov"
recipients = ["@example.gov"]
ENABLED

[servers.member]
plugins = ["bearer_token", "default"]
group = "many"
sender = "member@example.gov"
recipients = ["@example.gov"]
ENABLED

[servers.registry]
plugins = ["bearer_token", "default", "postmark"]
sender = "registry@example.gov"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
ENABLED

[servers.twin]
plugins = ["bearer_token", "default", "postmark"]
sender = "twin@example.gov"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
ENABLED

[servers.broadcasts]
plugins = ["bearer_token", "default", "postmark"]
sender = "broadcasts@example.gov"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
message_stream = "broadcast"
ENABLED
"""

SENT = {"status": "success", "response": "Message sent"}
QUEUED = {"status": "success", "response": "Message queued"}
BUSY = DeliveryDeferred("busy", code="503/0", opens_breaker=True)


@pytest.fixture
def toml(postmark: FakePostmark) -> Callable[[bool], str]:
    def settings(enabled: bool) -> str:
        line = f"enabled = {str(enabled).lower()}"
        return SETTINGS.replace("ENABLED", line).format(url=postmark.url)

    return settings


@pytest.fixture
def settings_toml(toml: Callable[[bool], str], tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    for name, batch in (("slow", 1), ("batched", 500)):
        source = DELIVERY.format(batch=batch)
        (tmp_path / "plugins" / f"{name}.py").write_text(source, encoding="utf-8")
    return toml(True)


def delivery(name: str) -> Any:
    """The module of a delivery plugin, as it is loaded now."""
    return sys.modules[f"relay_plugins.{name}"]


async def begun(module: Any, count: int) -> None:
    """Wait until so many more calls began."""
    for _ in range(count):
        assert await asyncio.to_thread(module.begun.acquire, timeout=5)


@pytest.fixture
def store_mail(post: Post) -> Callable[..., Awaitable[None]]:
    """Post mail to servers whose delivery waits: `a=3` posts three to `a`."""

    async def store(**counts: int) -> None:
        for server, count in counts.items():
            for number in range(count):
                reply = await post(
                    f"/rest/email/{server}", {**FORM, "subject": server + str(number)}
                )
                assert reply.json == QUEUED

    return store


@pytest.fixture
def backlog(
    site: Site,
    store_mail: Callable[..., Awaitable[None]],
    load: Callable[[str], Settings],
    toml: Callable[[bool], str],
) -> Iterator[Callable[..., Awaitable[Any]]]:
    """Store mail while everything is switched off, then let it all out into a held-up delivery."""

    async def store(**counts: int) -> Any:
        site.reload(load(toml(False)))
        await store_mail(**counts)
        site.reload(load(toml(True)))
        module = delivery("slow")
        module.holding = True
        return module

    yield store
    delivery("slow").free()


async def idle(site: Site) -> None:
    """Wait until nothing waits any more."""
    while site.dispatcher.waiting:
        await site.store.read(listing.count_unsent)


# The store: which messages a claim takes.


def lane(group: str = "x", *, batch: int = 10, calls: int = 16) -> Lane:
    return Lane(group, "mailbox", group, batch, calls, 145.0)


_COUNTED = ("size", "crashes", "maybe_twice")


def add(store: Store, server: str, *dues: float, tries: int = 0, **changes: Any) -> None:
    columns = {name: changes.pop(name) for name in _COUNTED if name in changes}
    columns["tries"] = tries
    rows = [
        NewMessage(message_id(), server, changes.pop("state", "queued"), due, "", "{}", **changes)
        for due in dues
    ]
    store.write_now(enqueue.add, rows)
    sets = ", ".join(f"{name} = {value}" for name, value in columns.items())
    change(store, f"UPDATE messages SET {sets} WHERE id >= '{rows[0].id}'")  # noqa: S608


def change(store: Store, statement: str) -> None:
    store.write_now(lambda connection, batch: [connection.exec_driver_sql(batch[0])], [statement])


def claim(store: Store, order: ClaimOrder) -> Claims:
    [claimed] = store.write_now(claims.claim, [order])
    return claimed


def shape(calls: Any) -> list[str]:
    """Whose messages each call has, in order: `["abab", "c"]`."""
    return ["".join(one.server for one in call.messages) for call in calls]


def test_servers_of_one_lane_take_turns_in_one_call(store: Store) -> None:
    add(store, "a", 1, 2, 3, 4)
    add(store, "b", 5, 6)
    order = ClaimOrder(9.0, 16, {"b": [lane()], "a": [lane()]})
    claimed = claim(store, order)
    assert shape(claimed.calls) == ["babaaa"]
    assert claimed.drained == {"a", "b"}
    assert claim(store, order) == Claims([], frozenset({"a", "b"}))


def test_a_claim_takes_what_is_due_oldest_first_and_no_other_server(store: Store) -> None:
    add(store, "a", 3, 1, 9, 2)
    add(store, "c", 1)
    claimed = claim(store, ClaimOrder(5.0, 16, {"a": [lane()]}))
    assert [one.since for call in claimed.calls for one in call.messages] == [1, 2, 3]


def test_a_call_has_one_group_and_one_kind_and_no_more_than_it_takes(store: Store) -> None:
    add(store, "a", 1, 2, 3)
    add(store, "a", 1.5, kind="template")
    add(store, "b", 1)
    claimed = claim(store, ClaimOrder(9.0, 16, {"a": [lane(batch=2)], "b": [lane("y")]}))
    assert sorted(shape(claimed.calls)) == ["a", "a", "aa", "b"]
    assert [call.lane.group for call in claimed.calls if shape([call]) == ["b"]] == ["y"]


def test_a_call_has_forty_megabytes_at_most(store: Store) -> None:
    megabytes = 2**20
    add(store, "a", 1, 2, 3, size=15 * megabytes)
    add(store, "a", 4, size=60 * megabytes)
    claimed = claim(store, ClaimOrder(9.0, 16, {"a": [lane()]}))
    assert [call.size // megabytes for call in claimed.calls] == [30, 15, 60]


def test_new_and_retried_mail_is_taken_alternately(store: Store) -> None:
    add(store, "a", 1, 2, 3, 4)
    add(store, "a", 1, 1, tries=3)
    order = ClaimOrder(9.0, 1, {"a": [lane(batch=3)]})
    assert [one.tries for one in claim(store, order).calls[0].messages] == [0, 3, 0]
    retried = order._replace(retried_first={"a"})
    assert [one.tries for one in claim(store, retried).calls[0].messages] == [3, 0, 0]


def test_a_message_that_three_daemons_died_of_goes_while_nothing_else_does(store: Store) -> None:
    add(store, "a", 1, 2)
    add(store, "a", 1.5, crashes=3)
    order = ClaimOrder(9.0, 16, {"a": [lane()]})
    assert claim(store, order._replace(running={"b": 1})) == ((), frozenset())
    [call] = claim(store, order).calls
    assert ([one.crashes for one in call.messages], call.alone) == ([3], True)
    [call] = claim(store, order).calls
    assert ([one.crashes for one in call.messages], call.alone) == ([0, 0], False)


def test_a_message_that_was_sent_again_without_certainty_goes_alone(store: Store) -> None:
    add(store, "a", 1, 2)
    add(store, "a", 1.5, maybe_twice=1)
    claimed = claim(store, ClaimOrder(9.0, 16, {"a": [lane()]}))
    assert [len(call.messages) for call in claimed.calls] == [2, 1]


def test_a_claim_ends_with_its_lease_and_names_who_sends(store: Store) -> None:
    add(store, "a", 1)
    claim(store, ClaimOrder(9.0, 1, {"a": [lane()]}))
    query = text("SELECT state, due_at, delivery FROM messages")
    assert store.read_now(lambda c: c.execute(query).all()) == [("sending", 9.0 + 145, "mailbox")]


def test_one_server_has_its_share_of_the_calls_while_another_has_due_mail(store: Store) -> None:
    add(store, "a", *range(20))
    add(store, "b", *range(5))
    lanes = {"a": [lane(batch=1)], "b": [lane(batch=1)]}
    order = ClaimOrder(50.0, 8, lanes, share=4)
    assert Counter(shape(claim(store, order).calls)) == {"a": 4, "b": 4}
    # With four calls of its own that run it has its share, and the last of b goes first.
    busy = order._replace(running={"a": 4})
    claimed = claim(store, busy)
    assert (shape(claimed.calls), claimed.drained) == (["b"], {"b"})
    lone = busy._replace(lanes={"a": [lane(batch=1)]})
    # Servers that are not asked may have some.
    assert claim(store, lone._replace(others=True)) == Claims([], frozenset())
    assert shape(claim(store, lone).calls) == ["a"] * 8


def test_what_has_no_way_out_holds_nobody_up(store: Store) -> None:
    add(store, "a", *range(20))
    add(store, "b", *range(20))
    lanes = {"a": [lane(batch=1, calls=2)], "b": [lane("y", batch=1)]}
    claimed = claim(store, ClaimOrder(50.0, 8, lanes, share=4))
    assert Counter(shape(claimed.calls)) == {"a": 2, "b": 6}
    assert claimed.drained == frozenset()


def test_the_first_lane_takes_what_it_may_and_the_next_one_the_rest(store: Store) -> None:
    add(store, "a", 1, 2, 3)
    probe, other = lane("probe", batch=1, calls=1), lane("other")
    claimed = claim(store, ClaimOrder(9.0, 16, {"a": [probe, other]}))
    assert [(call.lane.outlet, len(call.messages)) for call in claimed.calls] == [
        ("probe", 1),
        ("other", 2),
    ]


def test_with_the_queue_off_only_first_attempts_of_mail_for_now_are_claimed(store: Store) -> None:
    add(store, "a", 1, state="scheduled")
    add(store, "a", 2)
    add(store, "a", 3, tries=1)
    order = ClaimOrder(9.0, 16, {"a": [lane()]}, first_only={"a"})
    [call] = claim(store, order).calls
    assert [one.since for one in call.messages] == [2]
    assert store.read_now(claims.next_due, ["a"], {"a"}) == {}
    assert store.read_now(claims.next_due, ["a", "b"]) == {"a": 1}
    [call] = claim(store, order._replace(first_only=())).calls
    assert sorted(one.since for one in call.messages) == [1, 3]


def test_a_claim_reads_no_more_however_many_messages_wait(store: Store) -> None:
    def steps(order: ClaimOrder) -> int:
        """Count the steps, in hundreds, that the database takes for a claim."""
        counted = 0

        def count() -> None:
            nonlocal counted
            counted += 1

        def run(connection: Connection, batch: Any) -> Any:
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(count, 100)
            try:
                return claims.claim(connection, batch)
            finally:
                driver.set_progress_handler(None, 0)

        [claimed] = store.write_now(run, [order])
        assert shape(claimed.calls) == ["s0s1s2s3s4" * 2] * 2
        return counted

    names = [f"s{number}" for number in range(5)]
    order = ClaimOrder(9e9, 2, {name: [lane(batch=10)] for name in names})
    for name in names:
        add(store, name, *range(10))
    few = steps(order)
    for name in names:
        add(store, name, *range(3000))
    assert steps(order) <= few * 2


# The dispatcher: what reaches a provider.


@pytest.mark.gen_test
async def test_messages_that_wait_together_go_in_one_call(
    site: Site, store_mail: Callable[..., Awaitable[None]], outbox: Outbox
) -> None:
    for name in ("many", "member"):
        await site.pauses.pause(name, by("somebody"))
    await store_mail(many=12, member=8)
    assert await site.dispatcher.deliver_waiting() == 0
    await site.pauses.resume("member", by("somebody"))
    assert delivery("batched").calls == []  # it goes by its group
    await site.pauses.resume("many", by("somebody"))
    await site.dispatcher.deliver_waiting()
    [call] = delivery("batched").calls
    assert sorted(call) == sorted(
        [*(f"many{n}" for n in range(12)), *(f"member{n}" for n in range(8))]
    )
    assert outbox.states() == ["sent"] * 20
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_messages_for_one_token_share_a_call_to_postmark_and_a_bad_one_fails_alone(
    site: Site,
    store_mail: Callable[..., Awaitable[None]],
    post: Post,
    outbox: Outbox,
    postmark: FakePostmark,
) -> None:
    names = ("registry", "twin", "broadcasts")
    for name in names:
        await site.pauses.pause(name, by("somebody"))
    await store_mail(registry=3, twin=3, broadcasts=2)
    await post("/rest/email/twin", {**FORM, "to_address": "bad@example.gov"})
    postmark.faults["bad@example.gov"] = error(300, "Invalid 'To' address.")
    site.pauses._names = frozenset()
    await site.dispatcher.deliver_waiting()
    assert {call["path"] for call in postmark.calls} == {"/email/batch"}
    streams = [sorted(one["MessageStream"] for one in call["body"]) for call in postmark.calls]
    # Of the same token, but with another stream where a message names none: a call of its own.
    assert sorted(streams) == [["broadcast"] * 2, ["outbound"] * 7]
    assert outbox.states() == ["sent"] * 8 + ["failed"]


@pytest.mark.gen_test
async def test_each_caller_learns_what_became_of_its_own_message(
    site: Site, post: Post, outbox: Outbox
) -> None:
    module = delivery("batched")
    module.holding = True
    first = asyncio.ensure_future(post("/rest/email/many", {**FORM, "subject": "first"}))
    await begun(module, 1)
    site.dispatcher._senders = 1  # so that the others wait for each other
    posts = [
        asyncio.ensure_future(post("/rest/email/many", {**FORM, "subject": name}))
        for name in ("good", "bad", "late")
    ]
    while len(outbox.rows()) < 4:
        await site.store.read(listing.count_unsent)
    order = [row["subject"] for row in outbox.rows()[1:]]
    results = {
        "good": Confirmation("1"),
        "bad": DeliveryFailed("no such street"),
        "late": DeliveryDeferred("later"),
    }
    module.answers[:] = [[Confirmation("0")], [results[name] for name in order]]
    module.free()
    assert (await first).json == SENT
    good, bad, late = await asyncio.gather(*posts)
    assert [sorted(call) for call in module.calls] == [["first"], ["bad", "good", "late"]]
    assert (good.json, late.json, bad.status) == (SENT, QUEUED, 400)
    assert bad.words.endswith("no such street")


@pytest.mark.gen_test(timeout=20)
async def test_a_server_has_half_of_the_senders_while_another_has_due_mail(
    site: Site, backlog: Callable[..., Awaitable[Any]]
) -> None:
    module = await backlog(a=20, b=20)
    await begun(module, 16)
    assert Counter(subject[0] for [subject] in module.calls) == {"a": 8, "b": 8}
    module.free()
    await idle(site)
    assert Counter(subject[0] for [subject] in module.calls) == {"a": 20, "b": 20}


@pytest.mark.gen_test(timeout=20)
async def test_a_lone_server_has_all_senders_and_gives_half_of_them_away(
    site: Site, backlog: Callable[..., Awaitable[Any]], post: Post
) -> None:
    module = await backlog(a=30)
    await begun(module, 16)
    form = {**FORM, "subject": "b"}
    others = [asyncio.ensure_future(post("/rest/email/b", form)) for _ in range(9)]
    while site.dispatcher.waiting < 39:
        await site.store.read(listing.count_unsent)
    assert Counter(subject[0] for [subject] in module.calls) == {"a": 16}
    for _ in range(8):
        module.gate.release()
        await begun(module, 1)
    # Much of a was there before, and b did not wait for it.
    assert [subject[0] for [subject] in module.calls[16:]] == ["b"] * 8
    module.free()
    assert {reply.json["response"] for reply in await asyncio.gather(*others)} == {"Message sent"}
    await idle(site)
    assert Counter(subject[0] for [subject] in module.calls) == {"a": 30, "b": 9}


@pytest.mark.gen_test(timeout=20)
async def test_with_a_single_sender_servers_take_turns(
    site: Site, backlog: Callable[..., Awaitable[Any]]
) -> None:
    site.dispatcher._senders = 1
    module = await backlog(a=3, b=3)
    module.free()
    await idle(site)
    assert "".join(subject[0] for [subject] in module.calls) in ("ababab", "bababa")


@pytest.mark.gen_test
async def test_with_a_single_sender_new_and_retried_mail_take_turns(site: Site, post: Post) -> None:
    module = delivery("slow")
    site.dispatcher._senders = 1
    module.answers[:] = [DeliveryDeferred("later")] * 3
    for _ in range(3):
        await post("/rest/email/a", {**FORM, "subject": "old"})
    await site.pauses.pause("a", by("somebody"))
    for _ in range(3):
        await post("/rest/email/a", {**FORM, "subject": "new"})
    module.calls.clear()
    change(site.store, "UPDATE messages SET due_at = 0 WHERE tries > 0")
    await site.pauses.resume("a", by("somebody"))
    await idle(site)
    assert [subject for [subject] in module.calls] in (["new", "old"] * 3, ["old", "new"] * 3)


@pytest.mark.gen_test
async def test_claims_go_on_while_senders_are_free(
    site: Site, backlog: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_CLAIM", 5)
    module = await backlog(a=20)
    await begun(module, 16)
    module.free()
    await idle(site)
    assert len(module.calls) == 20


@pytest.mark.gen_test
async def test_the_breaker_opens_after_five_failures_and_a_probe_closes_it(
    site: Site, post: Post, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    module, dispatcher = delivery("slow"), site.dispatcher
    module.answers[:] = [BUSY] * 6
    for number in range(5):
        assert dispatcher.can_deliver("a")
        assert (await post("/rest/email/a", {**FORM, "subject": str(number)})).json == QUEUED
    assert len(module.calls) == 5
    assert not dispatcher.can_deliver("a")
    assert not dispatcher.is_healthy("a")
    assert dispatcher.can_deliver("b")  # without an account a breaker is one group's
    # Stored, and nobody asked.
    assert (await post("/rest/email/a", {**FORM, "subject": "5"})).json == QUEUED
    assert len(module.calls) == 5
    assert outbox.states() == ["queued"] * 6
    now = time.time()
    assert await dispatcher.deliver_waiting(now + 5) == 0
    # The first probe is one message and fails: the next comes after twenty seconds.
    assert await dispatcher.deliver_waiting(now + 11) == 1
    assert await dispatcher.deliver_waiting(now + 15) == 0
    await dispatcher.deliver_waiting(now + 200)
    await idle(site)
    assert len(module.calls) == 12
    assert outbox.states() == ["sent"] * 6
    assert dispatcher.can_deliver("a")
    named = [event["event"] for event in events if event["event"].startswith("breaker")]
    assert named == ["breaker.opened", "breaker.closed"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (DeliveryDeferred("key", code="401/10", counted=False, opens_breaker=True), 1),
        (DeliveryDeferred("x", code="NewConnectionError", counted=False, opens_breaker=True), 5),
        (DeliveryInDoubt("no answer"), 5),
        (ValueError("the plugin's own"), 5),
        (DeliveryDeferred("not this one"), None),
        (DeliveryFailed("bad address"), None),
    ],
    ids=str,
)
async def test_what_opens_the_breaker(
    site: Site, post: Post, answer: Exception, calls: int | None
) -> None:
    module = delivery("slow")
    module.answers[:] = [answer] * 8
    made = 0
    while site.dispatcher.can_deliver("a") and made < 8:
        await post("/rest/email/a", FORM)
        made += 1
    assert made == (calls or 8)
    assert site.dispatcher.can_deliver("a") == (calls is None)


@pytest.mark.gen_test
async def test_a_provider_that_took_some_of_a_call_is_not_at_fault(site: Site, post: Post) -> None:
    module = delivery("batched")
    for _ in range(6):
        await site.pauses.pause("many", by("somebody"))
        for number in range(2):
            await post("/rest/email/many", {**FORM, "subject": str(number)})
        module.answers[:] = [[Confirmation("1"), BUSY]]
        await site.pauses.resume("many", by("somebody"))
        await site.dispatcher.deliver_waiting()
    assert site.dispatcher.can_deliver("many")


@pytest.mark.gen_test
async def test_a_wait_that_the_provider_asks_for_holds_for_its_other_mail(
    site: Site, post: Post
) -> None:
    module = delivery("slow")
    asked = DeliveryDeferred("slow down", code="429/0", retry_after=600, opens_breaker=True)
    module.answers[:] = [asked] * 5
    for _ in range(5):
        await post("/rest/email/a", FORM)
    await post("/rest/email/a", FORM)
    now = time.time()
    assert await site.dispatcher.deliver_waiting(now + 590) == 0
    assert len(module.calls) == 5
    await site.dispatcher.deliver_waiting(now + 610)
    await idle(site)
    assert len(module.calls) == 11


@pytest.mark.gen_test
async def test_two_groups_of_one_account_share_its_breaker(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    postmark.answers = [(401, error(10, "Request does not contain a valid Server token."))]
    assert (await post("/rest/email/registry", FORM)).json == QUEUED
    assert not site.dispatcher.can_deliver("twin")
    assert not site.dispatcher.can_deliver("broadcasts")
    assert site.dispatcher.can_deliver("a")


@pytest.mark.gen_test
async def test_reading_the_settings_again_keeps_an_open_breaker(
    site: Site, post: Post, postmark: FakePostmark, load: Callable[[str], Settings], toml: Any
) -> None:
    postmark.answers = [(401, error(10, "Request does not contain a valid Server token."))]
    await post("/rest/email/registry", FORM)
    site.reload(load(toml(True)))
    assert not site.dispatcher.can_deliver("registry")


# Pausing, and the clock.


@pytest.mark.gen_test
async def test_a_paused_server_stores_its_mail_also_after_a_restart(
    settings: Settings, site: Site, post: Post, outbox: Outbox
) -> None:
    await site.pauses.pause("A", by("somebody"))
    await site.pauses.pause("a", by("somebody"))
    assert site.pauses.names() == {"a"}
    assert (await post("/rest/email/a", FORM)).json == QUEUED
    assert (await post("/rest/email/b", FORM)).json == SENT
    assert await site.dispatcher.deliver_waiting(time.time() + 1e6) == 0
    assert outbox.states() == ["queued", "sent"]
    dies(site)
    with open_site(settings) as second:
        assert second.pauses.names() == {"a"}
        assert await second.dispatcher.deliver_waiting() == 0
        await second.pauses.resume("a", by("somebody"))
        await second.dispatcher.deliver_waiting(time.time() + OWNED_SECONDS)
        assert outbox.states() == ["sent", "sent"]
        await second.dispatcher.stop(5)


@pytest.mark.gen_test
async def test_only_a_server_that_there_is_can_be_paused(site: Site) -> None:
    with pytest.raises(UnknownServer):
        await site.pauses.pause("nobody", by("somebody"))
    assert site.pauses.names() == set()


@pytest.mark.gen_test
async def test_a_paused_group_holds_its_members_mail(site: Site, post: Post) -> None:
    await site.pauses.pause("many", by("somebody"))
    assert (await post("/rest/email/member", FORM)).json == QUEUED
    assert delivery("batched").calls == []


@pytest.mark.gen_test
async def test_a_clock_that_was_set_back_parks_no_mail_but_what_was_scheduled(
    site: Site, outbox: Outbox
) -> None:
    now, day = time.time(), 86400.0
    await site.pauses.pause("a", by("somebody"))
    add(site.store, "a", now + day)
    add(site.store, "a", now + day, tries=2)
    add(site.store, "a", now + 3600, tries=2)
    add(site.store, "a", now + day, state="scheduled")
    due = await site.dispatcher.look(now)
    assert [row["due_at"] for row in outbox.rows()] == [
        now,
        now + 4 * 3600 * 1.2,
        now + 3600,
        now + day,
    ]
    assert due is None  # it is paused
    await site.pauses.resume("a", by("somebody"))
    # The same clock goes on: nothing is brought back again.
    add(site.store, "b", now + day, tries=2)
    await site.dispatcher.look(time.time())
    assert outbox.last()["due_at"] == now + day
    # It is set back by an hour.
    await site.dispatcher.look(time.time() - 3600)
    assert outbox.last()["due_at"] < now + 4 * 3600 * 1.2


@pytest.mark.gen_test
async def test_a_look_tells_when_the_next_message_or_probe_is_due(site: Site, post: Post) -> None:
    now = time.time()
    assert await site.dispatcher.look() is None
    add(site.store, "b", now + 50, state="scheduled")
    assert await site.dispatcher.look() == now + 50
    delivery("slow").answers[:] = [BUSY] * 5
    for _ in range(5):
        await post("/rest/email/twelve", FORM)
    probe = await site.dispatcher.look()
    assert probe is not None
    assert 9.5 < probe - now < 11.5  # a retry is due after twelve seconds and more


@pytest.mark.slow
@pytest.mark.gen_test
async def test_the_loop_sends_what_becomes_due_and_what_is_scheduled_meanwhile(
    site: Site, outbox: Outbox, post: Post
) -> None:
    await post("/rest/email/a", FORM)
    running = asyncio.ensure_future(site.dispatcher.run())
    for _ in range(3):  # its own first look is over by then
        await site.dispatcher.look()
    due = time.time() + 1.2
    document = outbox.last()["document"]
    add(site.store, "b", due, state="scheduled")
    change(
        site.store,
        "UPDATE contents SET document = (SELECT document FROM contents WHERE document != '{}')",
    )
    site.dispatcher.revived(1)
    await begun(delivery("slow"), 2)
    assert 0 <= time.time() - due < 2
    assert document
    await site.dispatcher.stop(5)
    await running
    assert outbox.states() == ["sent", "sent"]
