"""Canaries on a real site: how they come to be there, when they are missing, and who is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt
from relay.site import Site, open_site
from relay.store.canaries import Canary
from relay.store.maintenance.audit import audit
from relay.store.maintenance.housekeeping import forget
from tests.conftest import Outbox, Reply
from tests.notifications.alerts.conftest import script
from tests.notifications.alerts.test_monitor import elsewhere
from tests.notifications.canaries.conftest import DAY, DUE, HOUR, MINUTE, ON, TO, Watched
from tests.support.fake_postmark import FakePostmark
from tests.support.stored import by
from tests.web.postmark.conftest import settled

Says = Callable[..., Awaitable[Reply]]
Told = Callable[[], list[tuple[str, tuple[str, ...]]]]

BOTH = ("ops@example.gov", "pager@example.gov")
DOWN = DeliveryDeferred("busy", code="503/0", opens_breaker=True)


def names(events: list[dict[str, Any]], *wanted: str) -> list[str]:
    return [one["event"] for one in events if one["event"] in wanted]


@pytest.mark.gen_test
async def test_it_arrives_when_the_provider_tells_of_its_delivery(
    watched: Watched, postmark: FakePostmark, provider_says: Says, events: list[Any], now: float
) -> None:
    await watched.look(now)
    [row] = watched.all
    assert row["state"] == "sent"
    assert [one["To"] for one in postmark.messages] == [TO]
    await watched.look(now + 60)
    assert watched.last == Canary("registry", row["id"], now, is_awaited=True)
    assert (
        await provider_says("Delivery", row["id"], Metadata=row["document"]["metadata"])
    ).status == 200
    await watched.look(now + 65)
    assert watched.last.arrived_at is not None
    assert (watched.last.is_awaited, watched.is_missing) == (False, False)
    known = ("canary.made", "canary.arrived", "canary.missing")
    assert names(events, *known) == ["canary.made", "canary.arrived"]


@pytest.mark.parametrize("flies", ["asked"], indirect=True)
@pytest.mark.gen_test
async def test_it_is_looked_up_at_a_provider_that_tells_nothing(
    watched: Watched, postmark: FakePostmark, now: float
) -> None:
    postmark.lag_searches = 1
    await watched.look(now)
    await watched.look(now + 59)
    assert len(postmark.searches) == 1
    assert watched.last.is_awaited
    await watched.look(now + 61)
    assert watched.last.arrived_at is not None
    await watched.look(now + 180)
    assert len(postmark.searches) == 2


@pytest.mark.parametrize("flies", ["boxed"], indirect=True)
@pytest.mark.gen_test
async def test_it_is_made_by_the_servers_plugins_for_one_address_alone(
    watched: Watched, now: float
) -> None:
    await watched.look(now)
    [row] = watched.all
    mail = row["document"]
    assert [email for email, _ in mail["to"]] == [TO]
    assert not {"cc", "bcc", "reply_to", "attachments", "writer"} & mail.keys()
    assert mail["subject"] == f"Canary of boxed: {row['id']}"
    assert ["Auto-Submitted", "auto-generated"] in mail["headers"]
    assert "to see that mail of the server boxed arrives" in mail["text"]
    assert "This message was sent with" in mail["text"]
    assert mail["sender"] == ["boxed@example.gov", "Boxed"]
    assert watched.last.arrived_at == pytest.approx(now, abs=30)  # the mailbox has it


@pytest.mark.parametrize("flies", ["scripted"], indirect=True)
@pytest.mark.gen_test
async def test_what_a_delivery_takes_that_tells_nothing_has_arrived(
    watched: Watched, now: float
) -> None:
    await watched.look(now)
    assert watched.last.arrived_at is not None


@pytest.mark.gen_test
async def test_one_that_is_missing_is_told_urgently_once_and_when_one_arrives_again(
    watched: Watched, site: Site, provider_says: Says, told: Told, events: list[Any], now: float
) -> None:
    await watched.look(now)
    await watched.look(now + 9 * MINUTE)
    await site.alerts.look(now + 9 * MINUTE)
    assert not watched.is_missing
    await watched.look(now + DUE)
    await site.alerts.look(now + DUE)
    assert watched.why == "the provider took it, and has told nothing since"
    missing = [("registry: mail does not arrive", ("ops@example.gov", "pager@example.gov"))]
    assert told() == missing
    await site.alerts.look(now + 11 * MINUTE)
    assert told() == missing
    _, second = watched.all  # the next one was made when it was due
    await provider_says("Delivery", second["id"], Metadata=second["document"]["metadata"])
    await watched.look(now + 12 * MINUTE)
    await site.alerts.look(now + 12 * MINUTE)
    assert told()[1:] == [("registry: mail arrives again", BOTH)]
    assert watched.last.missing_since is None
    await site.alerts.look(now + HOUR)
    assert len(told()) == 2
    assert names(events, "canary.missing") == ["canary.missing"]


@pytest.mark.gen_test
async def test_one_that_came_back_is_missing_at_once(
    watched: Watched, provider_says: Says, now: float
) -> None:
    await watched.look(now)
    [row] = watched.all
    labels = row["document"]["metadata"]
    await provider_says("Bounce", row["id"], Type="HardBounce", Metadata=labels)
    await watched.look(now + 5)
    assert watched.is_missing
    assert watched.last.reason.startswith("it came back: (address): HardBounce")
    # Now that the address is dead nothing is sent to it: as it is with everybody's mail.
    await watched.look(now + DUE)
    assert watched.last.reason.startswith("it is suppressed")


@pytest.mark.parametrize("flies", ["scripted"], indirect=True)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            DeliveryFailed("no such sender: clerk@example.gov"),
            "it is failed: no such sender: (address)",
        ),
        (ValueError("out of order"), "it waits to be sent: the plugin raised ValueError"),
        (DeliveryInDoubt("no answer"), "it waits to be sent: no answer"),
        (DOWN, "it waits to be sent: busy"),
    ],
)
@pytest.mark.gen_test
async def test_why_it_is_missing_is_told(
    watched: Watched, site: Site, answer: Exception, reason: str, now: float
) -> None:
    script("provider").answers[:] = [answer] * 9
    await watched.look(now)
    await watched.look(now + DUE)
    await site.alerts.look(now + DUE)
    assert watched.why == reason


@pytest.mark.parametrize("flies", ["scripted"], indirect=True)
@pytest.mark.gen_test
async def test_while_one_waits_there_is_no_other_and_it_arrives_late(
    watched: Watched, site: Site, told: Told, now: float
) -> None:
    script("provider").answers[:] = [DOWN] * 3
    for minutes in (0, 10, 20, 30):
        await watched.look(now + minutes * MINUTE)
    assert len(watched.all) == 1
    await site.alerts.look(now + 30 * MINUTE)
    script("provider").answers.clear()
    await watched.look(now + 3 * HOUR)
    await site.alerts.look(now + 3 * HOUR)
    subjects = [subject for subject, _ in told()]
    assert "scripted: mail does not arrive" in subjects[0]
    assert subjects[-1] == "scripted: mail arrives again"


@pytest.mark.parametrize("flies", ["boxed"], indirect=True)
@pytest.mark.gen_test
async def test_where_none_can_be_made_that_is_told(
    watched: Watched, site: Site, told: Told, without_canaries: str, load: Any, now: float
) -> None:
    fields = 'canary_fields = { to_address = "mayor@elsewhere.gov" }\n'
    site.reload(
        load(without_canaries.replace("[servers.boxed]\n", f"[servers.boxed]\n{ON}{fields}"))
    )
    await watched.look(now)
    await site.alerts.look(now)
    assert watched.all == []
    words = "its form is refused: to_address: not a recipient that this server sends to"
    assert watched.last == Canary("boxed", "", now, False, None, None, now, words)
    assert told() == [("boxed: mail does not arrive", BOTH)]
    await watched.look(now + 5 * MINUTE)
    site.reload(load(without_canaries.replace("[servers.boxed]\n", f"[servers.boxed]\n{ON}")))
    await watched.look(now + DUE)
    assert watched.last.arrived_at is not None


@pytest.mark.gen_test
async def test_a_restart_makes_none_before_its_time(settings: Settings) -> None:
    now = time.time()
    with open_site(settings) as site:
        await site.canaries.look(now)
        await settled(site)
    with open_site(settings) as again:
        watched = Watched(again, Outbox(again))
        for minutes in (1, 9):
            await watched.look(now + minutes * MINUTE)
        assert len(watched.all) == 1
        await watched.look(now + DUE)
        assert len(watched.all) == 2


@pytest.mark.gen_test
async def test_what_no_daemon_could_hear_of_is_not_missing_at_once(settings: Settings) -> None:
    now = time.time()
    with open_site(settings) as site:
        await site.canaries.look(now - HOUR)
        await settled(site)
    with open_site(settings) as again:
        watched = Watched(again, Outbox(again))
        await watched.look(now + MINUTE)
        assert not watched.is_missing


@pytest.mark.parametrize("flies", ["boxed"], indirect=True)
@pytest.mark.gen_test
async def test_a_clock_that_was_set_back_keeps_none_away(watched: Watched, now: float) -> None:
    await watched.look(now + HOUR)
    await watched.look(now + HOUR - 30)  # another daemon's clock
    assert len(watched.all) == 1
    await watched.look(now)
    assert len(watched.all) == 2


@pytest.mark.postgresql
@pytest.mark.gen_test
async def test_of_two_daemons_one_makes_it(settings: Settings) -> None:
    now = time.time()
    with open_site(settings) as one, open_site(elsewhere(settings)) as other:
        assert (one.membership.is_leader, other.membership.is_leader) == (True, False)
        watched = Watched(one, Outbox(one))
        await other.canaries.look(now)
        assert watched.all == []
        other.membership._leading_until = float("inf")  # it believes that it leads, too
        await asyncio.gather(one.canaries.look(now), other.canaries.look(now + 1))
        await settled(one)
        await settled(other)
        assert len(watched.all) == 1


@pytest.mark.parametrize("flies", ["scripted"], indirect=True)
@pytest.mark.parametrize("how", ["off", "paused"])
@pytest.mark.gen_test
async def test_what_an_operator_stops_is_neither_made_nor_told(
    watched: Watched,
    site: Site,
    told: Told,
    how: str,
    without_canaries: str,
    load: Any,
    now: float,
) -> None:
    script("provider").answers[:] = [DOWN] * 9
    await watched.look(now)
    await watched.look(now + DUE)
    await site.alerts.look(now + DUE)
    before = told()
    if how == "off":
        site.reload(load(without_canaries))
    else:
        await site.pauses.pause("scripted", by("jo"))
    for minutes in (11, 21, 31):
        await watched.look(now + minutes * MINUTE)
        await site.alerts.look(now + minutes * MINUTE)
    assert [row["state"] for row in watched.all] == ["cancelled"]
    assert watched.last is None
    after = [subject for subject, _ in told()[len(before) :]]
    assert not [subject for subject in after if "arrive" in subject]
    if how == "paused":
        script("provider").answers.clear()
        await site.pauses.resume("scripted", by("jo"))
        await watched.look(now + HOUR)
        assert [row["state"] for row in watched.all] == ["cancelled", "sent"]


@pytest.mark.parametrize("flies", ["boxed"], indirect=True)
@pytest.mark.gen_test
async def test_old_ones_are_deleted_and_nothing_is_left_of_them(
    watched: Watched, site: Site, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.look(now)
    await forget(site.store)
    assert len(watched.all) == 1
    monkeypatch.setattr("relay.core.clock.now", lambda: now + DAY + 60)
    await forget(site.store)
    assert watched.all == []
    assert site.store.read_now(audit).faults == []
    assert watched.last.arrived_at is not None
