"""The outbox's door: what it stores in one commit, what it logs, whom it wakes, what it keeps."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from relay.core.addresses import Address
from relay.core.errors import IdempotencyRunning, TokenRefused
from relay.core.message import Message
from relay.intake.idempotency import Request
from relay.intake.outbox import KEPT_CHARACTERS, MAX_METADATA, Guard, Outgoing
from relay.intake.outbox import Outbox as Door
from relay.site import Site
from relay.store import tokens
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.tokens import TokenUse
from tests.conftest import Outbox

KEY = "relay-00000000"
MESSAGE = Message(
    Address("relay@example.gov"), (Address("desk@example.gov"),), subject="A", text="Hello."
)


@dataclass
class Delivery:
    """Delivery, as the door sees it: what was kept is dropped again, or delivered."""

    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    waiting: list[tuple[int, str]] = field(default_factory=list)

    def keep(self, message: Message, server: str) -> None:
        self.kept.append(message.id)

    def drop(self, ids: Iterable[str]) -> None:
        self.dropped.extend(ids)

    def stored(self, count: int, server: str) -> None:
        self.waiting.append((count, server))


@pytest.fixture
def delivery() -> Delivery:
    return Delivery()


@pytest.fixture
def door(site: Site, delivery: Delivery) -> Door:
    return Door(site.store, delivery, secret=site.secret, metadata_key=KEY)


@pytest.fixture
def accepted(site: Site) -> list[str]:
    """The ids of the messages that observers saw accepted."""
    seen: list[str] = []
    site.chains["default"].listeners["accepted"].append(
        lambda server, what, about: seen.append(about["message"].id)
    )
    return seen


def outgoing(site: Site, **changes: Any) -> Outgoing:
    return replace(Outgoing(MESSAGE, site.chains["default"], "application"), **changes)


def noted(site: Site) -> list[str]:
    query = text("SELECT words FROM events ORDER BY id")
    return [row.words for row in site.store.read_now(lambda one: one.execute(query).all())]


async def new_token(site: Site) -> TokenUse:
    now = time.time()
    await site.store.write(tokens.create, tokens.NewToken(b"digest", now + 60, now))
    return TokenUse(b"digest")


@dataclass
class Order:
    """What a guard writes beside the rows, where its condition holds."""

    rows: Sequence[NewMessage]
    holds: bool
    words: str


def carry_out(connection: Connection, batch: Sequence[Order]) -> list[bool]:
    for order in batch:
        if order.holds:
            enqueue.add_together(connection, [order.rows])
            row = {"words": order.words, "message": order.rows[0].id}
            connection.execute(
                text(
                    "INSERT INTO events (message, at, kind, words) VALUES (:message, 0, '', :words)"
                ),
                [row],
            )
    return [order.holds for order in batch]


def guard(*, holds: bool) -> Guard[Order, bool]:
    return Guard(carry_out, lambda rows: Order(rows, holds, "beside"), lambda result, row: result)


@pytest.mark.gen_test
async def test_a_message_is_stored_under_an_id_of_its_own_logged_observed_and_delivered(
    site: Site,
    door: Door,
    delivery: Delivery,
    outbox: Outbox,
    accepted: list[str],
    events: list[dict[str, Any]],
) -> None:
    expected: list[str] = []

    def expect(message: Message) -> None:
        assert outbox.rows() == []
        expected.append(message.id)

    [message] = await door.put([outgoing(site)], before_commit=expect)
    [row] = outbox.rows()
    assert row["id"] == message.id
    assert (row["server"], row["key"], row["state"]) == ("default", "application", "queued")
    assert row["document"]["metadata"] == {KEY: message.id}
    assert expected == accepted == delivery.kept == [message.id]
    assert delivery.waiting == [(1, "default")]
    assert delivery.dropped == []
    [logged] = [event for event in events if event["event"] == "message.accepted"]
    assert (logged["id"], logged["server"], logged["key"]) == (message.id, "default", "application")
    assert MESSAGE.to[0].email not in str(logged)


@pytest.mark.gen_test
async def test_messages_token_and_request_are_one_commit(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox
) -> None:
    token = await new_token(site)
    commits: list[object] = []
    event.listen(site.store._writing, "commit", commits.append)
    request = Request(b"request", b"fingerprint", time.time())
    [message] = await door.put([outgoing(site, token=token)], request=request)
    assert len(commits) == 1
    assert outbox.unspent_tokens() == 0
    query = text("SELECT messages FROM idempotency")
    assert site.store.read_now(lambda one: one.execute(query).scalar_one()) == message.id


@pytest.mark.gen_test
async def test_messages_of_one_call_are_one_commit_with_their_answer(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox
) -> None:
    commits: list[object] = []
    event.listen(site.store._writing, "commit", commits.append)
    request = Request(b"request", b"fingerprint", time.time())
    many = [outgoing(site)] * 3
    stored = await door.put(many, request=request, answer=lambda given: f"{len(given)} stored")
    assert len(commits) == 1
    assert [row["id"] for row in outbox.rows()] == [message.id for message in stored]
    query = text("SELECT answer, messages FROM idempotency")
    [kept] = site.store.read_now(lambda one: one.execute(query).all())
    assert kept.answer == "3 stored"
    assert kept.messages.split() == [message.id for message in stored]
    assert delivery.waiting == [(3, "default")]


@pytest.mark.gen_test
@pytest.mark.parametrize("count", [1, 2])
async def test_where_the_guard_does_not_hold_nothing_is_written(
    site: Site,
    door: Door,
    delivery: Delivery,
    outbox: Outbox,
    accepted: list[str],
    events: list[dict[str, Any]],
    count: int,
) -> None:
    assert await door.put([outgoing(site)] * count, guard=guard(holds=False)) == []
    assert outbox.rows() == noted(site) == accepted == delivery.waiting == []
    assert len(delivery.kept) == count
    assert delivery.dropped == delivery.kept
    assert not [event for event in events if event["event"] == "message.accepted"]


@pytest.mark.gen_test
async def test_where_it_holds_what_it_writes_is_in_the_same_commit(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox
) -> None:
    commits: list[object] = []
    event.listen(site.store._writing, "commit", commits.append)
    stored = await door.put([outgoing(site), outgoing(site)], guard=guard(holds=True))
    assert len(commits) == 1
    assert [row["id"] for row in outbox.rows()] == [message.id for message in stored]
    assert noted(site) == ["beside"]
    assert delivery.waiting == [(2, "default")]


@pytest.mark.gen_test
async def test_what_follows_a_commit_comes_before_anything_is_logged_or_delivered(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox, accepted: list[str]
) -> None:
    async def committed(result: bool) -> None:
        assert result
        assert outbox.states() == ["queued"]
        assert accepted == delivery.waiting == []

    await door.put([outgoing(site)], guard=replace(guard(holds=True), committed=committed))
    assert len(accepted) == len(delivery.waiting) == 1


@pytest.mark.gen_test
async def test_where_the_token_is_lost_nothing_is_written(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox, accepted: list[str]
) -> None:
    token = await new_token(site)
    await door.put([outgoing(site, token=token)])
    with pytest.raises(TokenRefused):
        await door.put([outgoing(site, token=token)])
    request = Request(b"request", b"fingerprint", time.time())
    with pytest.raises(TokenRefused):
        await door.put([outgoing(site, token=token)], request=request)
    assert len(outbox.rows()) == len(accepted) == len(delivery.waiting) == 1
    assert delivery.dropped == delivery.kept[1:]
    query = text("SELECT count(*) FROM idempotency")
    assert site.store.read_now(lambda one: one.execute(query).scalar_one()) == 0


@pytest.mark.gen_test
async def test_of_several_messages_none_spends_a_token(
    site: Site, door: Door, outbox: Outbox
) -> None:
    token = await new_token(site)
    with pytest.raises(ValueError, match="one message"):
        await door.put([outgoing(site, token=token), outgoing(site)])
    assert outbox.rows() == []
    assert outbox.unspent_tokens() == 1


@pytest.mark.gen_test
async def test_a_request_that_is_stored_already_stores_nothing_again(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox
) -> None:
    request = Request(b"request", b"fingerprint", time.time())
    await door.put([outgoing(site)], request=request)
    with pytest.raises(IdempotencyRunning):
        await door.put([outgoing(site)], request=request)
    assert len(outbox.rows()) == len(delivery.waiting) == 1


@pytest.mark.gen_test
async def test_a_message_that_has_ten_names_already_keeps_them_as_they_are(
    site: Site, door: Door, outbox: Outbox
) -> None:
    full = {f"name-{number}": "value" for number in range(MAX_METADATA)}
    almost = dict(list(full.items())[1:])
    some = [outgoing(site, message=replace(MESSAGE, metadata=one)) for one in (full, almost)]
    first, second = await door.put(some)
    assert first.metadata == full
    assert second.metadata == {**almost, KEY: second.id}
    assert [row["document"]["metadata"] for row in outbox.rows()] == [full, second.metadata]
    assert door.submitted_metadata(first) == full
    assert door.submitted_metadata(second) == almost


@pytest.mark.gen_test
async def test_what_is_large_or_sent_later_is_not_kept_in_memory(
    site: Site, door: Door, delivery: Delivery, outbox: Outbox
) -> None:
    large = replace(MESSAGE, text="x" * KEPT_CHARACTERS)
    later = replace(MESSAGE, send_at=time.time() + 60)
    some = [outgoing(site, message=one) for one in (large, later, MESSAGE)]
    stored = await door.put(some)
    assert delivery.kept == [stored[2].id]
    assert outbox.states() == ["queued", "scheduled", "queued"]
    assert delivery.waiting == [(3, "default")]


@pytest.mark.gen_test
async def test_each_servers_messages_are_delivered_as_its_own(
    site: Site, door: Door, delivery: Delivery
) -> None:
    other = outgoing(site, chain=site.chains["contactform"])
    await door.put([outgoing(site), other, outgoing(site)])
    assert sorted(delivery.waiting) == [(1, "contactform"), (2, "default")]


@pytest.mark.gen_test
async def test_mail_of_relays_own_is_observed_and_logged_by_who_writes_it(
    site: Site, door: Door, accepted: list[str], events: list[dict[str, Any]]
) -> None:
    [message] = await door.put([outgoing(site)], is_own=True)
    assert accepted == [message.id]
    assert not [event for event in events if event["event"] == "message.accepted"]
