"""The watch on a real site: what it sees, whom it tells, by which way, and what it never says."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tornado.web import Application

from relay.config.settings import Settings
from relay.core.errors import DeliveryDeferred, DeliveryFailed, DeliveryInDoubt, MessageBroken
from relay.core.message import Confirmation, ProviderEvent
from relay.site import Site, open_site
from relay.store.alerts import NotLeading
from tests.conftest import FORM, Outbox, Post
from tests.notifications.alerts.conftest import (
    DAY,
    HOUR,
    MINUTE,
    PATH,
    SETTINGS,
    Mail,
    attempted,
    script,
)
from tests.support.keys import APPLICATION_KEY
from tests.support.stored import by, put

Mails = Callable[[], list[Mail]]
DOWN = DeliveryDeferred("busy", code="503/0", opens_breaker=True)
KEY_REFUSED = DeliveryDeferred("bad token", code="401/10", counted=False, opens_breaker=True)


def subjects(mails: list[Mail]) -> list[str]:
    return [mail.subject.removeprefix("[Relay] ") for mail in mails]


def standing(site: Site) -> list[dict[str, Any]]:
    query = text("SELECT * FROM alerts ORDER BY kind, server")
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    return [dict(row._mapping) for row in rows]


@pytest.mark.gen_test
async def test_where_nothing_goes_wrong_nothing_is_told_or_written(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    assert (await post(PATH, FORM)).words == "Message sent"
    assert await site.alerts.look(now + 15) == 0
    assert await site.alerts.look(now + HOUR) == 0
    assert (mails(), standing(site)) == ([], [])


@pytest.mark.gen_test
async def test_a_message_that_failed_is_told_once_and_the_next_ones_together(
    site: Site, post: Post, mails: Mails, outbox: Outbox, now: float
) -> None:
    script("provider").answers[:] = [DeliveryFailed("no such sender signature")] * 4
    assert (await post(PATH, FORM)).status == 400
    failed = outbox.last()["id"]
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] registry: 1 message failed"
    assert mail.to == ("ops@example.gov",)
    assert mail.headers == {"Auto-Submitted": "auto-generated"}
    assert "run.py queue --server registry --state failed" in mail.text
    assert f"IDs:      {failed}\n" in mail.text
    assert "no such sender signature" in mail.text
    for _ in range(3):
        await post(PATH, FORM)
    assert [await site.alerts.look(now + seconds) for seconds in (15, 600, 899)] == [0, 0, 0]
    assert await site.alerts.look(now + 900) == 1
    assert subjects(mails())[1] == "registry: 3 messages failed"
    assert "3 since" in mails()[1].text
    assert "4 in all" in mails()[1].text


@pytest.mark.gen_test
async def test_an_alert_is_delivered_like_any_message(
    site: Site, post: Post, outbox: Outbox, now: float
) -> None:
    script("provider").answers[:] = [DeliveryFailed("no")]
    script("courier").answers[:] = [DOWN]
    await post(PATH, FORM)
    await site.alerts.look(now)
    assert await attempted(site, outbox) == "queued"
    await site.dispatcher.deliver_waiting(now + HOUR)
    assert (outbox.last()["server"], outbox.last()["state"]) == ("alerts", "sent")


@pytest.mark.gen_test
async def test_every_way_in_which_a_message_ends_unsent_is_told(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    answers = [DeliveryFailed("no"), MessageBroken("no mail of it"), DeliveryInDoubt("lost")]
    script("provider").answers[:] = [[one] for one in answers]
    for _ in answers:
        await post(PATH, FORM)
    # The third is looked up by a plugin that cannot, and sent again; the answer is lost again.
    script("provider").answers[:] = [DeliveryInDoubt("lost")] * 9
    for hours in range(1, 12):
        await site.in_doubt.look(now + hours * HOUR)
        await site.dispatcher.deliver_waiting(now + hours * HOUR)
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] registry: 1 message quarantined, and 3 more"
    for words in ("1 message failed", "1 message quarantined", "1 message held", "maybe twice"):
        assert words in mail.text
    script("provider").answers[:] = [DeliveryDeferred("busy")] * 5
    await post("/rest/email/quiet", FORM)
    for hours in (80, 85, 90, 95):
        await site.dispatcher.deliver_waiting(now + hours * HOUR)
    await site.alerts.look(now + 15)
    assert subjects(mails())[-1] == "quiet: 1 message expired"


@pytest.mark.gen_test
async def test_the_history_says_what_an_attempt_left_behind(
    site: Site, post: Post, outbox: Outbox
) -> None:
    script("provider").answers[:] = [[MessageBroken("no mail of it")]]
    await post(PATH, FORM)
    query = text("SELECT kind, words FROM events")
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    assert [tuple(row) for row in rows] == [("quarantined", "no mail of it")]


@pytest.mark.gen_test
async def test_a_plugin_observes_what_was_quarantined(site: Site, post: Post) -> None:
    script("journal").seen.clear()
    script("provider").answers[:] = [[MessageBroken("no mail of it")]]
    await post(PATH, FORM)
    seen = [(FORM["subject"], "MessageBroken", "no mail of it", "registry")]
    assert script("journal").seen == seen


@pytest.mark.gen_test
async def test_a_plugin_observes_what_was_quarantined_because_it_broke_us(
    site: Site, outbox: Outbox, now: float
) -> None:
    script("journal").seen.clear()
    put(site.store, 1, "in_doubt", server="registry", crashes=4, due_at=0.0, delivery="provider")
    for hours in (1, 2):
        await site.in_doubt.look(now + hours * HOUR)
    assert outbox.states() == ["quarantined"]
    [(_, kind, words, server)] = script("journal").seen
    assert (kind, words, server) == ("MessageBroken", "sending it failed badly 4 times", "registry")


@pytest.mark.gen_test
async def test_recipients_that_were_left_out_are_told(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    taken = Confirmation("1", dropped=("desk@example.gov",), words="not to the inactive one")
    script("provider").answers[:] = [[taken]]
    await post(PATH, {**FORM, "to_address": "desk@example.gov, other@example.gov"})
    await site.alerts.look(now)
    assert subjects(mails()) == ["registry: 1 message sent without some of the recipients"]


@pytest.mark.gen_test
async def test_bounces_and_complaints_are_told_together(
    site: Site, mails: Mails, now: float
) -> None:
    chain = site.chains["registry"]
    script("journal").seen.clear()
    for kind in ("bounced", "bounced", "complained"):
        event = ProviderEvent(kind, "1", "id-1", recipient="x@example.gov", words="no such mailbox")
        chain.observe("bounced", event=event)
    await site.alerts.look(now)
    [mail] = mails()
    assert subjects([mail]) == ["registry: 3 bounces or complaints"]
    assert "Reasons:  bounced 2, complained 1" in mail.text
    assert script("journal").seen[-1] == ("complained", "id-1", "registry")


@pytest.mark.gen_test
async def test_wrong_keys_and_tokens_and_robots_are_counted_by_reason(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    await post(PATH, FORM, key="wrong")
    await site.alerts.look(now)
    assert mails() == []
    await post(PATH, FORM, key=None)
    headers = {"X-Postmark-Server-Token": "wrong"}
    for _ in range(2):
        await post("/email", content={}, headers=headers, key=None)
    await post("/rest/email_session/registry", {**FORM, "token_session": "1"})
    await post(PATH, {**FORM, "contact": "robot"})
    await site.alerts.look(now + 15)
    [mail] = mails()
    assert mail.subject == "[Relay] registry: 1 post with a bad session token, and 2 more"
    assert "registry, Relay: 4 calls with a wrong key" in mail.text
    assert re.search(
        r"registry: 2\nSince: .*\n"
        r"Reasons:  (unknown_key 1, no_header 1|no_header 1, unknown_key 1)\n\nRelay: 2\n",
        mail.text,
    )
    assert "registry: 1 post with a bad session token" in mail.text
    assert "registry: 1 submission screened" in mail.text


@pytest.mark.gen_test
async def test_a_provider_that_fails_is_told_after_two_minutes_and_when_it_is_over(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    script("provider").answers[:] = [KEY_REFUSED]
    await post(PATH, FORM)
    assert [await site.alerts.look(now + seconds) for seconds in (0, 60, 119)] == [0, 0, 0]
    assert await site.alerts.look(now + 120) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] registry: provider fails"
    assert "mail of registry waits; the provider's last words: bad token" in mail.text
    await site.dispatcher.deliver_waiting(now + 2 * DAY)
    assert site.dispatcher.down() == {}
    assert [await site.alerts.look(now + seconds) for seconds in (200, 499, 500)] == [0, 0, 1]
    assert subjects(mails())[1] == "registry: provider works again"


@pytest.mark.gen_test
async def test_mail_that_waits_is_told_after_an_hour_and_to_the_pager_after_four(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    script("provider").answers[:] = [DeliveryDeferred("try later")]
    await post(PATH, FORM)
    assert await site.alerts.look(now + HOUR - 5) == 0
    assert await site.alerts.look(now + HOUR + 5) == 1
    [mail] = mails()
    assert (subjects([mail]), mail.to) == (
        ["registry: mail waits for more than 1 hour"],
        ("ops@example.gov",),
    )
    assert "it is tried again and again; the provider's last words: try later" in mail.text
    assert await site.alerts.look(now + 4 * HOUR + 5) == 1
    assert mails()[1].to == ("ops@example.gov", "pager@example.gov")
    assert subjects(mails())[1] == "registry: mail waits for more than 4 hours"
    await site.dispatcher.deliver_waiting(now + 2 * DAY)
    assert await site.alerts.look(now + 5 * HOUR) == 0
    assert await site.alerts.look(now + 5 * HOUR + 5 * MINUTE) == 1
    assert subjects(mails())[2] == "registry: no mail waits for more than 4 hours any more"


@pytest.mark.gen_test
async def test_mail_that_waits_because_somebody_paused_it_is_told_with_the_reason(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    await site.pauses.pause("quiet", by("somebody"))
    await post("/rest/email/quiet", FORM)
    await site.alerts.look(now + HOUR + 5)
    assert "quiet is paused: `run.py resume quiet`" in mails()[0].text


@pytest.mark.gen_test
async def test_a_disk_that_is_nearly_full_is_told_to_the_pager(
    site: Site, mails: Mails, now: float, settings: Settings
) -> None:
    site.space._look = lambda folder: _full(folder)  # the system's own answer, as of a full disk
    site.space._seen_at = float("-inf")
    await site.alerts.look(now)
    [mail] = mails()
    assert (subjects([mail]), mail.to[1]) == (["the disk is nearly full"], "pager@example.gov")


def _full(folder: Path) -> Any:
    from tests.store.engine.test_disk_space import seen

    return seen(free=4096)


@pytest.mark.gen_test
async def test_a_form_that_nobody_posts_to_is_told_once_and_when_mail_comes_again(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    await post(PATH, FORM)
    assert await site.alerts.look(now + 2 * DAY - 5) == 0
    assert await site.alerts.look(now + 2 * DAY + 5) == 1
    assert subjects(mails()) == ["registry: no mail for 2 days"]
    assert await site.alerts.look(now + 2 * DAY + 14 * MINUTE) == 0
    put(site.store, 1, "sent", server="registry", at=now + 2 * DAY + 15 * MINUTE)
    assert await site.alerts.look(now + 2 * DAY + 16 * MINUTE) == 1
    assert subjects(mails())[1] == "registry: mail comes again"


@pytest.mark.gen_test
async def test_a_form_that_never_had_mail_is_expected_to_from_the_first_look_on(
    site: Site, mails: Mails, now: float
) -> None:
    await site.alerts.look(now)
    assert await site.alerts.look(now + 2 * DAY) == 0
    assert await site.alerts.look(now + 2 * DAY + 5) == 1
    assert "none ever came" in mails()[0].text


@pytest.mark.gen_test
async def test_a_form_that_nobody_is_expected_to_post_to_any_more_is_not_said_to_have_mail(
    site: Site, load: Callable[[str], Settings], now: float
) -> None:
    await site.alerts.look(now)
    assert await site.alerts.look(now + 2 * DAY + 5) == 1
    site.reload(load(SETTINGS.replace("expect_mail_hours = 48", "")))
    assert await site.alerts.look(now + 2 * DAY + HOUR) == 0
    assert standing(site) == []


@pytest.mark.gen_test
async def test_a_provider_whose_mail_is_paused_is_not_said_to_work_again(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    script("provider").answers[:] = [KEY_REFUSED]
    await post(PATH, FORM)
    assert [await site.alerts.look(now + seconds) for seconds in (0, 120)] == [0, 1]
    await site.pauses.pause("registry", by("somebody"))
    assert [await site.alerts.look(now + seconds) for seconds in (200, 600)] == [0, 0]
    await site.pauses.resume("registry", by("somebody"))
    await site.dispatcher.deliver_waiting(now + 2 * DAY)
    assert [await site.alerts.look(now + seconds) for seconds in (700, 1000)] == [0, 1]
    assert subjects(mails())[1] == "registry: provider works again"
    assert "bad token" not in mails()[1].text


@pytest.mark.gen_test
async def test_a_provider_that_fails_again_before_it_was_over_is_not_said_to_work(
    site: Site, post: Post, now: float
) -> None:
    script("provider").answers[:] = [KEY_REFUSED]
    await post(PATH, FORM)
    assert [await site.alerts.look(now + seconds) for seconds in (0, 120)] == [0, 1]
    await site.dispatcher.deliver_waiting(now + DAY)
    assert await site.alerts.look(now + 130) == 0
    script("provider").answers[:] = [KEY_REFUSED]
    await post(PATH, FORM)
    assert site.dispatcher.down()
    # It fails for less than two minutes at this look, and was never gone for five.
    assert await site.alerts.look(now + 429) == 0
    assert await site.alerts.look(now + 431) == 0
    assert [one["over_at"] for one in standing(site)] == [None]


@pytest.mark.gen_test
async def test_what_is_alike_of_several_servers_is_told_in_one_section(
    site: Site, mails: Mails, now: float
) -> None:
    for number, server in enumerate(("registry", "quiet")):
        put(site.store, number + 1, "queued", server=server, at=now - 2 * HOUR)
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] quiet, registry: mail waits for more than 1 hour"
    assert mail.text.count("Look:") == 1
    assert "run.py queue\n" in mail.text
    assert re.search(r"\nquiet\nSince: .*\nWords: .*\n\nregistry\nSince: ", mail.text)


@pytest.mark.gen_test
async def test_while_the_alerts_own_way_is_down_it_is_logged_once_and_told_afterwards(
    site: Site,
    post: Post,
    mails: Mails,
    outbox: Outbox,
    now: float,
    events: list[dict[str, Any]],
) -> None:
    script("courier").answers[:] = [KEY_REFUSED]
    script("provider").answers[:] = [DeliveryFailed("no")] * 2
    await post(PATH, FORM)
    await site.alerts.look(now)
    await attempted(site, outbox)
    assert not site.dispatcher.can_deliver("alerts")
    await post(PATH, FORM)
    for seconds in (HOUR, HOUR + 15, HOUR + 200):
        assert await site.alerts.look(now + seconds) == 0
    lost = [one for one in events if one["event"] == "alert.undelivered"]
    assert [(one["kind"], one["server"]) for one in lost] == [("failed", "registry")]
    # Nobody is told of the way that alerts take: who would hear it?
    assert {row["kind"] for row in standing(site)} == {"failed"}
    await site.dispatcher.deliver_waiting(now + 2 * HOUR)
    assert await site.alerts.look(now + 2 * HOUR) == 1
    assert len(mails()) == 2


@pytest.mark.gen_test
async def test_alerts_that_fail_are_logged_and_make_no_alerts(
    site: Site,
    post: Post,
    mails: Mails,
    outbox: Outbox,
    now: float,
    events: list[dict[str, Any]],
) -> None:
    script("provider").answers[:] = [DeliveryFailed("no")]
    script("courier").answers[:] = [DeliveryFailed("not you")]
    await post(PATH, FORM)
    await site.alerts.look(now)
    assert await attempted(site, outbox) == "failed"
    assert await site.alerts.look(now + HOUR) == 0
    assert len(mails()) == 1
    [lost] = [one for one in events if one["event"] == "alert.undelivered"]
    assert (lost["kind"], lost["count"], len(lost["ids"])) == ("failed", 1, 1)
    assert [row["server"] for row in standing(site)] == []


@pytest.mark.gen_test
async def test_what_was_seen_is_kept_where_it_cannot_be_written_down(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    script("provider").answers[:] = [DeliveryFailed("no")]
    await post(PATH, FORM)
    standing_before = site.alerts._conditions.look

    async def broken(*given: object) -> Any:
        raise OSError

    site.alerts._conditions.look = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError):
        await site.alerts.look(now)
    site.alerts._conditions.look = standing_before  # type: ignore[method-assign]
    assert await site.alerts.look(now) == 1
    assert subjects(mails()) == ["registry: 1 message failed"]


@pytest.mark.gen_test
async def test_no_alert_has_a_token_a_body_a_subject_or_a_whole_address(
    site: Site, post: Post, mails: Mails, now: float, events: list[dict[str, Any]]
) -> None:
    canaries = {
        "subject": "canary-subject-6f1e",
        "message": "canary-body-77aa",
        "from_address": "canary.writer@example.com",
        "to_address": "canary.desk@example.gov",
    }
    key = "canary-key-canary-key-canary-key-ca"
    session = "6755399441055744"
    said = f"refused <canary.desk@example.gov> with token {key} and {session * 3}"
    script("provider").answers[:] = [
        DeliveryFailed(said),
        [MessageBroken(said)],
        DeliveryDeferred(said, code="401/10", counted=False, opens_breaker=True),
    ]
    for _ in range(3):
        await post(PATH, canaries)
    await post(PATH, {**canaries, "contact": "canary-robot"})
    for _ in range(2):
        await post(PATH, canaries, key=key)
        await post("/rest/email_session/registry", {**canaries, "token_session": session})
    event = ProviderEvent("bounced", "1", recipient="canary.desk@example.gov", words=said)
    site.chains["registry"].observe("bounced", event=event)
    for seconds in (0, HOUR, 5 * HOUR, 3 * DAY):
        await site.alerts.look(now + seconds)
    everything = "\n".join(f"{mail.subject}\n{mail.text}" for mail in mails())
    for words in ("failed", "quarantined", "wrong key", "session token", "screened", "bounce"):
        assert words in everything
    assert "the provider's last words: refused" in everything
    leaks = [*canaries.values(), "canary", key, session, APPLICATION_KEY]
    for place in (everything, json.dumps(events, default=str), json.dumps(standing(site))):
        assert [leak for leak in leaks if leak in place] == []


def another(settings: Settings) -> tuple[Site, Callable[[], None]]:
    """An open site, and what closes it."""
    stack = ExitStack()
    return stack.enter_context(open_site(settings)), stack.close


def notice_end(number: int, watching: Site) -> None:
    """Let a daemon find that the one of a number is not heard of any more, and take its lead."""
    if watching.store.shared is not None:
        with watching.store.shared.watching() as connection:
            connection.execute(text("UPDATE leases SET until = 0"))
            statement = text("UPDATE daemons SET heartbeat_at = heartbeat_at - 60 WHERE id = :id")
            connection.execute(statement, {"id": number})
            watching.membership._beat(connection)


@pytest.mark.gen_test
async def test_a_restart_tells_nothing_twice_and_misses_nothing(
    settings: Settings, now_after: Callable[[], float]
) -> None:
    first, close = another(settings)
    await first.alerts.look(now_after())
    await _fail(first)
    assert await first.alerts.look(now_after()) == 1
    await _fail(first)
    # As if it had been killed: it never looked at the second one, and did not say that it ends.
    number, first.membership._identity.number = first.membership._identity.number, 0
    close()
    second, close = another(settings)
    notice_end(number, second)
    assert await second.alerts.look(now_after() + 60) == 0
    assert await second.alerts.look(now_after() + 16 * MINUTE) == 1
    query = text("SELECT subject FROM contents JOIN messages USING (id) WHERE server = 'alerts'")
    rows = second.store.read_now(lambda connection: connection.execute(query).scalars().all())
    assert rows == ["[Relay] registry: 1 message failed"] * 2
    third_look = await second.alerts.look(now_after() + DAY)
    assert third_look in (0, 1)  # the form is silent by then, and nothing else
    await second.dispatcher.stop(5)
    close()


@pytest.mark.gen_test
async def test_a_restart_does_not_say_that_a_provider_works_again(
    settings: Settings, events: list[dict[str, Any]]
) -> None:
    (first, close), now = another(settings), time.time()
    script("provider").answers[:] = [KEY_REFUSED]
    put(first.store, 1, "queued", server="quiet", at=now)
    await first.dispatcher.deliver_waiting()
    assert [await first.alerts.look(now + seconds) for seconds in (0, 120)] == [0, 1]
    close()
    second, close = another(settings)
    looks = [await second.alerts.look(now + seconds) for seconds in (200, 600, 900)]
    assert (second.dispatcher.down(), looks) == ({}, [0, 0, 0])
    await second.dispatcher.deliver_waiting(now + DAY + HOUR)
    assert [await second.alerts.look(now + seconds) for seconds in (910, 1210)] == [0, 1]
    told = [(one["kind"], one["over"]) for one in events if one["event"] == "alert.told"]
    assert told == [("breaker", False), ("breaker", True)]
    await second.dispatcher.stop(5)
    close()


async def _fail(site: Site) -> None:
    """Let a message fail that was just stored."""
    script("provider").answers[:] = [DeliveryFailed("no")]
    put(site.store, int(time.time() * 1e6) % 2**40, "queued", server="registry", at=time.time())
    await site.dispatcher.deliver_waiting()


@pytest.fixture
def now_after() -> Callable[[], float]:
    return time.time


@pytest.mark.gen_test
async def test_a_test_alert_goes_to_everybody_at_once(site: Site, mails: Mails) -> None:
    _, result, _ = await site.alerts.test()
    [mail] = mails()
    assert (result, mail.subject) == ("sent", "[Relay] test alert")
    assert mail.to == ("ops@example.gov", "pager@example.gov")


@pytest.mark.gen_test
async def test_the_loop_outlives_a_look_that_fails(
    site: Site, events: list[dict[str, Any]]
) -> None:
    failed = asyncio.Event()

    async def broken(now: float) -> int:
        failed.set()
        raise OSError

    site.alerts.look = broken  # type: ignore[method-assign]
    running = asyncio.create_task(site.alerts.run())
    await failed.wait()
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    assert [one["error"] for one in events if one["event"] == "alerts.unlooked"] == ["OSError"]


class TestWithoutAlerts:
    """Settings without `[alerts]`."""

    @pytest.fixture
    def settings_toml(self, settings_toml: str) -> str:
        start, end = SETTINGS.index("[alerts]"), SETTINGS.index("[servers.alerts]")
        return SETTINGS[:start] + SETTINGS[end:]

    @pytest.mark.gen_test
    async def test_it_is_logged_once_and_nobody_gets_a_mail(
        self,
        site: Site,
        post: Post,
        mails: Mails,
        app: Application,
        now: float,
        events: list[dict[str, Any]],
    ) -> None:
        script("provider").answers[:] = [DeliveryFailed("no")]
        await post(PATH, FORM)
        assert [await site.alerts.look(now + seconds) for seconds in (0, 15, 30)] == [0, 0, 0]
        raised = [one for one in events if one["event"] == "alert.raised"]
        assert [(one["kind"], one["server"], one["count"]) for one in raised] == [
            ("failed", "registry", 1)
        ]
        assert mails() == []


# What a daemon sees of a message that failed.
FAILED = {"id": "01a225c9-8625-7000-8000-00639b340123", "words": "no"}


def elsewhere(settings: Settings) -> Settings:
    """The same settings for a daemon on another machine, with a folder of its own."""
    data = settings.data.with_name("elsewhere")
    data.mkdir()
    return replace(settings, data=data)


@pytest.mark.postgresql
@pytest.mark.gen_test
async def test_of_several_daemons_one_tells_what_all_of_them_saw_and_once(
    settings: Settings, now_after: Callable[[], float]
) -> None:
    (leading, close), (other, close_other) = another(settings), another(elsewhere(settings))
    assert (leading.membership.is_leader, other.membership.is_leader) == (True, False)
    await leading.alerts.look(now_after())
    await _fail(other)
    assert await other.alerts.look(now_after()) == 0  # left to the other one
    leading.event_counts.saw("registry", "failed", FAILED)
    assert await leading.alerts.look(now_after()) == 1
    [alert] = standing(leading)
    assert alert["count"] == 2
    assert await leading.alerts.look(now_after()) == 0
    close_other()
    close()


@pytest.mark.postgresql
@pytest.mark.gen_test
async def test_a_provider_that_fails_another_daemon_alone_is_told_too(
    settings: Settings, now_after: Callable[[], float]
) -> None:
    (leading, close), (other, close_other) = another(settings), another(elsewhere(settings))
    script("provider").answers[:] = [KEY_REFUSED]
    put(other.store, 1, "queued", server="quiet", at=time.time())
    await other.dispatcher.deliver_waiting()
    assert other.dispatcher.down()
    assert not leading.dispatcher.down()
    with other.store.shared.watching() as connection:  # type: ignore[union-attr]
        other.membership._beat(connection)
    assert await leading.alerts.look(now_after()) == 0
    assert await leading.alerts.look(now_after() + 150) == 1
    [alert] = standing(leading)
    assert alert["kind"] == "breaker"
    close_other()
    close()


@pytest.mark.postgresql
@pytest.mark.gen_test
async def test_a_daemon_that_leads_no_more_tells_nothing_and_forgets_nothing(
    settings: Settings, now_after: Callable[[], float]
) -> None:
    (former, close), (new, close_new) = another(settings), another(elsewhere(settings))
    await former.alerts.look(now_after())
    former.event_counts.saw("registry", "failed", FAILED)
    with new.store.shared.watching() as connection:  # type: ignore[union-attr]
        connection.execute(text("UPDATE leases SET until = 0"))  # it does not know that yet
        new.membership._beat(connection)
    assert former.membership.is_leader
    assert new.membership.is_leader
    with pytest.raises(NotLeading):
        await former.alerts.look(now_after())
    assert standing(new) == []
    former.membership._leading_until = 0.0
    assert await former.alerts.look(now_after()) == 0
    assert await new.alerts.look(now_after()) == 1
    close()
    close_new()


@pytest.mark.postgresql
@pytest.mark.gen_test
async def test_what_a_daemon_that_is_gone_saw_is_told_once_though_it_reported_only_a_part(
    settings: Settings, now_after: Callable[[], float]
) -> None:
    (leading, close), (other, close_other) = another(settings), another(elsewhere(settings))
    await leading.alerts.look(now_after())
    await _fail(other)
    await other.alerts.look(now_after())  # the first failure is reported, the second one is not
    await _fail(other)
    number, other.membership._identity.number = other.membership._identity.number, 0
    notice_end(number, leading)
    assert await leading.alerts.look(now_after()) == 1
    [alert] = standing(leading)
    assert (alert["kind"], alert["count"]) == ("failed", 2)
    assert [await leading.alerts.look(now_after()) for _ in range(2)] == [0, 0]
    [alert] = standing(leading)
    assert alert["count"] == 2
    close_other()
    close()
