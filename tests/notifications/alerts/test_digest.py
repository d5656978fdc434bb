"""The daily digest: once a day at its time, only with problems, and its numbers are right."""

from collections.abc import Callable

import pytest

from relay.core.errors import DeliveryDeferred
from relay.site import Site
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
from tests.support.stored import by, put

Mails = Callable[[], list[Mail]]


@pytest.fixture
def settings_toml(settings_toml: str) -> str:
    return SETTINGS.replace('digest = ""', 'digest = "07:00"').replace("expect_mail_hours = 48", "")


@pytest.fixture
def seven(now: float) -> float:
    """The first seven o'clock that is more than an hour after the site's beginning."""
    today = now // DAY * DAY + 7 * HOUR
    return today if today > now + HOUR else today + DAY


@pytest.mark.gen_test
async def test_a_day_without_problems_has_no_digest(
    site: Site, post: Post, mails: Mails, now: float, seven: float
) -> None:
    await site.alerts.look(now)
    await post(PATH, FORM)
    for hours in range(72):
        assert await site.alerts.look(seven + hours * HOUR) == 0
    assert mails() == []


@pytest.mark.gen_test
async def test_a_day_with_problems_has_one_that_counts_them(
    site: Site, post: Post, mails: Mails, now: float, seven: float
) -> None:
    await site.alerts.look(max(now, seven - 23 * HOUR))  # after the seven o'clock before it
    for number in range(3):
        put(site.store, number, "sent", server="registry", at=seven - HOUR)
    put(site.store, 3, "screened", server="registry", at=seven - HOUR)
    put(site.store, 4, "held", server="registry", at=seven - 20 * DAY)
    put(
        site.store,
        5,
        "in_doubt",
        server="quiet",
        at=seven - 55 * MINUTE,
        happened=[("resent", seven - 2 * MINUTE)],
    )
    put(site.store, 6, "queued", server="quiet", at=seven - 50 * MINUTE)
    put(site.store, 7, "expired", server="quiet", at=seven - 4 * DAY, due_at=seven - MINUTE)
    put(site.store, 8, "failed", server="quiet", at=seven - 4 * DAY, due_at=seven - 3 * DAY)
    put(
        site.store,
        9,
        "sent",
        server="quiet",
        at=seven - 9 * DAY,
        happened=[("bounced", seven - 2 * MINUTE)],
    )
    assert await site.alerts.look(seven - 1) == 0
    assert await site.alerts.look(seven) == 1
    [mail] = mails()
    title = "1 expired, 1 held, 1 in doubt, 1 maybe twice, 1 bounced"
    assert mail.subject == f"[Relay] the day's problems: {title}"
    blocks = mail.text.partition("by what became of it:\n")[2].partition("\nLook:")[0]
    lines = [line.split() for line in blocks.splitlines()]
    assert lines == [
        [],
        ["quiet"],
        ["accepted", "2"],
        ["expired", "1"],
        ["in", "doubt", "1"],
        ["maybe", "twice", "1"],
        ["bounced", "1"],
        ["waiting", "1"],
        ["oldest", "waiting", "55m"],
        [],
        ["registry"],
        ["accepted", "3"],
        ["sent", "3"],
        ["screened", "1"],
        ["held", "1"],
    ]
    assert [await site.alerts.look(seven + seconds) for seconds in (15, 240)] == [0, 0]


@pytest.mark.gen_test
async def test_the_next_one_counts_from_the_last_and_what_is_over_is_not_told_again(
    site: Site, mails: Mails, outbox: Outbox, now: float, seven: float
) -> None:
    await site.alerts.look(now)
    put(
        site.store,
        1,
        "failed",
        server="quiet",
        at=seven - HOUR,
        happened=[("bounced", seven - 2 * MINUTE)],
    )
    assert await site.alerts.look(seven) == 1
    await attempted(site, outbox)
    assert await site.alerts.look(seven + DAY) == 0
    put(site.store, 2, "failed", server="quiet", at=seven + DAY + HOUR)
    assert await site.alerts.look(seven + 2 * DAY) == 1
    assert [mail.subject.partition(": ")[2] for mail in mails()] == [
        "1 failed, 1 bounced",
        "1 failed",
    ]


@pytest.mark.gen_test
async def test_mail_that_waits_for_long_is_a_problem_and_what_goes_on_is_listed(
    site: Site, post: Post, mails: Mails, now: float, seven: float
) -> None:
    script("provider").answers[:] = [DeliveryDeferred("busy")]
    await site.alerts.look(now)
    await post(PATH, FORM)
    await site.alerts.look(seven)
    digest = mails()[-1]
    assert digest.subject == "[Relay] the day's problems: mail waits"
    await site.alerts.look(seven + DAY)
    assert "Going on:\n  waiting registry since " in mails()[-1].text


@pytest.mark.gen_test
async def test_a_digest_that_cannot_be_sent_is_made_when_it_can(
    site: Site, mails: Mails, now: float, seven: float
) -> None:
    await site.alerts.look(now)
    put(site.store, 1, "failed", server="quiet", at=seven - HOUR)
    await site.pauses.pause("alerts", by("somebody"))
    assert await site.alerts.look(seven) == 0
    await site.pauses.resume("alerts", by("somebody"))
    assert await site.alerts.look(seven + HOUR) == 1
    assert mails()[0].subject == "[Relay] the day's problems: 1 failed"


class TestAlways:
    """With digest_always."""

    @pytest.fixture
    def settings_toml(self, settings_toml: str) -> str:
        return settings_toml.replace(
            "\n[servers.alerts]", "digest_always = true\n[servers.alerts]", 1
        )

    @pytest.mark.gen_test
    async def test_a_day_without_problems_has_a_digest_too(
        self, site: Site, mails: Mails, now: float, seven: float
    ) -> None:
        await site.alerts.look(now)
        put(site.store, 1, "sent", server="quiet", at=seven - HOUR)
        assert await site.alerts.look(seven) == 1
        assert mails()[0].subject == "[Relay] the day's problems: none"


@pytest.mark.gen_test
async def test_an_event_that_is_written_down_late_is_in_the_next_one(
    site: Site, mails: Mails, outbox: Outbox, now: float, seven: float
) -> None:
    """Of two daemons that write at the same time, the one with the lower number may be second."""
    await site.alerts.look(now)
    put(site.store, 1, "sent", server="quiet", at=seven - 9 * DAY, happened=[("bounced", seven)])
    assert await site.alerts.look(seven) == 0
    put(site.store, 2, "sent", server="quiet", at=seven - 9 * DAY, happened=[("resent", seven - 5)])
    assert await site.alerts.look(seven + DAY) == 1
    await attempted(site, outbox)
    assert await site.alerts.look(seven + 2 * DAY) == 0
    assert [mail.subject.partition(": ")[2] for mail in mails()] == ["1 maybe twice, 1 bounced"]
