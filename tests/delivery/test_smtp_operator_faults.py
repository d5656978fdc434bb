"""What a mail server refuses for the operator's fault: nothing is lost, and the operator hears."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from relay.site import Site
from relay.store import alerts
from relay.store.alerts import AlertKey
from tests.conftest import FORM, Outbox, Post
from tests.support.mail_server import MailServerRig, mail_server_rig

SETTINGS = """
[relay]
wait = 30

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.desk]
plugins = ["bearer_token", "default", "smtp"]
sender = "Desk <desk@example.gov>"
recipients = ["@example.gov"]
smtp_url = "smtp://127.0.0.1:{port}?tls=none"
"""

# The step, and what the server says there instead of the usual.
FAULTS = [
    ("END", "550 5.4.5 Daily user sending limit exceeded"),
    ("MAIL", "503 5.5.1 AUTH first"),
    ("MAIL", "553 5.7.1 Sender address rejected: not owned by user"),
    ("RCPT", "554 5.7.1 <ann@example.gov>: Relay access denied"),
    ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
    ("END", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
    ("RCPT", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen"),
    ("GREETING", "554 5.7.1 Your IP is banned"),
    ("MAIL", "550 no"),
]


@pytest.fixture
def rig() -> Iterator[MailServerRig]:
    with mail_server_rig() as rig:
        yield rig


@pytest.fixture
def settings_toml(rig: MailServerRig) -> str:
    return SETTINGS.format(port=rig.port)


@pytest.mark.gen_test(timeout=60)
async def test_the_visitor_hears_queued_the_breaker_opens_and_an_alert_says_the_words(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox, events: list[Any]
) -> None:
    now = time.time()
    for number, (step, answer) in enumerate(FAULTS):
        rig.hang_up()  # so that it is greeted anew
        rig.answers[step] = [answer]
        reply = await post("/rest/email/desk", {**FORM, "to_address": "ann@example.gov"})
        assert (reply.status, reply.words) == (200, "Message queued"), answer
        assert outbox.last()["state"] == "queued"
        assert site.dispatcher.down() == {("desk", "smtp"): ["desk"]}
        [outage] = site.dispatcher.outages()
        assert (outage.group, outage.plugin, outage.servers) == ("desk", "smtp", ["desk"])
        assert answer[4:9] in outage.words
        assert outage.next_probe == pytest.approx(outage.since + 10)
        [opened] = [event for event in events if event["event"] == "breaker.opened"]
        assert opened["code"][:3] == answer[:3]
        events.clear()
        await site.alerts.look(now)
        await site.alerts.look(now + 3600)
        standing = {alert.key: alert for alert in await site.store.read(alerts.standing)}
        alert = standing[AlertKey("breaker", "desk", "smtp")]
        assert alert.over_at is None
        assert answer[4:9] in alert.words
        # Mended: it is sent by itself, and all is well.
        now += 7200
        assert await site.dispatcher.deliver_waiting(now) == 1
        assert outbox.last()["state"] == "sent"
        assert (site.dispatcher.down(), len(rig.taken)) == ({}, number + 1)
        for later in (0, 3600, 24 * 3600):
            await site.alerts.look(now + later)
        now += 48 * 3600


@pytest.mark.gen_test
async def test_a_recipient_whom_the_server_relays_to_has_it_and_the_other_waits_for_the_operator(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    rig.refused = {"cy@example.gov": "554 5.7.1 <cy@example.gov>: Relay access denied"}
    named = {"to_address": "ann@example.gov", "cc": "cy@example.gov"}
    assert (await post("/rest/email/desk", {**FORM, **named})).words == "Message queued"
    assert rig.taken[0].recipients == ["ann@example.gov"]
    await site.dispatcher.deliver_waiting(time.time() + 3600)
    assert (outbox.states(), len(rig.taken)) == (["queued"], 1)
    assert site.dispatcher.down() == {("desk", "smtp"): ["desk"]}
    rig.refused.clear()
    await site.dispatcher.deliver_waiting(time.time() + 7200)
    assert outbox.states() == ["sent"]
    assert [taken.recipients for taken in rig.taken[1:]] == [["cy@example.gov"]]


@pytest.mark.gen_test
async def test_a_recipients_own_refusal_is_told_at_once_and_opens_nothing(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    rig.answers["RCPT"] = ["550 5.1.1 <ann@example.gov>: Recipient address rejected: unknown"]
    reply = await post("/rest/email/desk", {**FORM, "to_address": "ann@example.gov"})
    assert (reply.status, outbox.states()) == (400, ["failed"])
    assert site.dispatcher.down() == {}
