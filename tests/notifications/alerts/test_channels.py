"""Alerts beside mail, over real HTTP: to a webhook, Slack and Teams; no way stops another."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from tornado.ioloop import IOLoop

from relay.config.settings import Settings
from relay.core.errors import DeliveryDeferred, DeliveryFailed
from relay.site import Site
from relay.store import webhooks as stored
from tests.conftest import FORM, Post
from tests.notifications.alerts.conftest import DAY, HOUR, MINUTE, PATH, Mail, script
from tests.support.webhook_receiver import SECRET, WebhookReceiver

pytestmark = pytest.mark.slow

Mails = Callable[[], list[Mail]]

CHANNELS = """
slack = "SLACK"
teams = { env = "TEAMS_URL" }
networks = ["127.0.0.1"]

[alerts.webhook]
url = "HOOK"
secret = { env = "HOOK_SECRET" }
networks = ["127.0.0.1"]

[webhooks.crm]
url = "CRM"
secret = { env = "HOOK_SECRET" }
events = ["failed"]
networks = ["127.0.0.1"]

[servers.alerts]
"""


class Channels(NamedTuple):
    """Who is told: the alerts' three ways beside mail, and a webhook for events."""

    slack: WebhookReceiver
    teams: WebhookReceiver
    hook: WebhookReceiver
    crm: WebhookReceiver

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(one.calls) for one in self[:3])


@pytest.fixture
def channels(io_loop: IOLoop) -> Iterator[Channels]:
    made = Channels(*(WebhookReceiver(secret) for secret in ("", "", SECRET, SECRET)))
    yield made
    for one in made:
        io_loop.run_sync(one.close)


@pytest.fixture
def environment(environment: dict[str, str], channels: Channels) -> dict[str, str]:
    return {**environment, "HOOK_SECRET": SECRET, "TEAMS_URL": channels.teams.url}


@pytest.fixture
def settings_toml(settings_toml: str, channels: Channels) -> str:
    named = {"SLACK": channels.slack, "HOOK": channels.hook, "CRM": channels.crm}
    added = CHANNELS
    for name, receiver in named.items():
        added = added.replace(f'"{name}"', f'"{receiver.url}"')
    return settings_toml.replace("[servers.alerts]\n", added)


def lines(card: dict[str, Any]) -> list[str]:
    """The lines of a card of Teams, where nothing is markup."""
    [attachment] = card["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    blocks = attachment["content"]["body"]
    assert {one["type"] for one in blocks} == {"RichTextBlock"}
    return [run["text"] for block in blocks for run in block["inlines"]]


@pytest.mark.gen_test
async def test_an_alert_goes_by_mail_to_a_webhook_to_slack_and_to_teams(
    site: Site, post: Post, mails: Mails, channels: Channels, now: float
) -> None:
    words = "<!channel> & clerk@example.gov [here](https://evil.example)"
    script("provider").answers[:] = [DeliveryFailed(words)]
    await post(PATH, FORM)
    assert await site.alerts.look(now) == 1
    await site.webhooks.look(now)
    [mail] = mails()
    assert channels.counts == (1, 1, 1)
    [said] = channels.hook.calls
    assert said.content["type"] == "alert"
    data = said.content["data"]
    assert (data["subject"], data["text"]) == (mail.subject, mail.text)
    assert [one["kind"] for one in data["alerts"]] == ["failed"]
    slack = channels.slack.calls[0].content["text"]
    assert slack.startswith("*[Relay] registry: 1 message failed*\n")
    assert "&lt;!channel&gt; &amp; (address)" in slack
    card = lines(channels.teams.calls[0].content)
    assert card[0] == mail.subject
    assert any("<!channel> & (address) [here](https://evil.example)" in one for one in card)
    await site.alerts.look(now + 1)
    await site.webhooks.look(now + 1)
    assert channels.counts == (1, 1, 1)


@pytest.mark.gen_test
async def test_mail_that_fails_keeps_nobody_from_being_told(
    site: Site, post: Post, mails: Mails, channels: Channels, now: float
) -> None:
    script("courier").answers[:] = [DeliveryDeferred("down", opens_breaker=True)] * 9
    for round in range(3):
        script("provider").answers[:] = [DeliveryFailed("no")]
        await post(PATH, FORM)
        await site.alerts.look(now + round * HOUR)
        await site.webhooks.look(now + round * HOUR)
    assert channels.counts == (3, 3, 3)
    assert len(mails()) == 3  # stored: they go when mail goes again


@pytest.mark.gen_test
async def test_a_channel_that_fails_keeps_no_other_way_from_telling(
    site: Site, post: Post, mails: Mails, channels: Channels, now: float
) -> None:
    channels.slack.answers = [500]
    channels.hook.answers = [500]
    script("provider").answers[:] = [DeliveryFailed("no")]
    await post(PATH, FORM)
    await site.alerts.look(now)
    await site.webhooks.look(now)
    assert (len(mails()), channels.counts) == (1, (1, 1, 1))
    await site.webhooks.look(now + MINUTE)
    assert channels.counts == (2, 1, 2)


@pytest.mark.gen_test
async def test_a_webhook_where_all_fails_for_a_day_is_off_and_told_of_urgently(
    site: Site, post: Post, mails: Mails, channels: Channels, now: float
) -> None:
    channels.crm.answers = [500] * 99
    script("provider").answers[:] = [DeliveryFailed("no")]
    await post(PATH, FORM)
    for hours in (0, 12, 23.9):
        await site.webhooks.look(now + hours * HOUR)
    assert len(channels.crm.calls) == 3
    await site.alerts.look(now + DAY)
    await site.webhooks.look(now + DAY + MINUTE)
    await site.webhooks.look(now + 2 * DAY)
    assert len(channels.crm.calls) == 4  # it is off
    before = len(mails())
    await site.alerts.look(now + 2 * DAY)
    [mail] = mails()[before:]
    assert mail.subject == "[Relay] crm: nothing is called any more"
    assert "pager@example.gov" in mail.to
    await site.webhooks.look(now + 2 * DAY)
    assert channels.hook.calls[-1].content["data"]["alerts"][0]["urgent"] is True
    channels.crm.answers = []
    await site.store.write(stored.switch_on, ("crm", now + 2 * DAY))
    await site.webhooks.look(now + 2 * DAY + MINUTE)
    assert len(channels.crm.calls) == 5
    await site.alerts.look(now + 2 * DAY + MINUTE)
    assert "[Relay] crm: is called again" in [one.subject for one in mails()]


@pytest.mark.gen_test
async def test_a_test_alert_goes_every_way(site: Site, mails: Mails, channels: Channels) -> None:
    _, result, called = await site.alerts.test()
    assert (result, called) == ("sent", ["alerts.webhook", "alerts.slack", "alerts.teams"])
    await site.webhooks.look()
    assert channels.counts == (1, 1, 1)
    assert channels.hook.types == ["alert.test"]
    assert "test alert" in channels.slack.calls[0].content["text"]


@pytest.mark.gen_test
async def test_alerts_need_no_mail_where_a_channel_is_named(
    load: Callable[[str], Settings],
    settings_toml: str,
    site: Site,
    post: Post,
    mails: Mails,
    channels: Channels,
    now: float,
    events: list[dict[str, Any]],
) -> None:
    by_mail = 'to = ["Operations <ops@example.gov>"]\nurgent_to = ["pager@example.gov"]\n'
    assert by_mail in settings_toml
    site.reload(load(settings_toml.replace(by_mail, "")))
    script("provider").answers[:] = [DeliveryFailed("no")]
    await post(PATH, FORM)
    await site.alerts.look(now)
    await site.webhooks.look(now)
    assert (mails(), channels.counts) == ([], (1, 1, 1))
    assert [one["kind"] for one in events if one["event"] == "alert.told"] == ["failed"]
