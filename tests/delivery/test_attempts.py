"""Delivery through a provider: what it receives, and what each of its answers does."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.delivery import retry
from relay.site import Site, open_site
from relay.store.outbox import batching, unsent
from relay.store.outbox.claims import OWNED_SECONDS
from relay.store.queries import listing
from relay.web.application import make_app
from tests.conftest import FORM, Outbox, Post
from tests.support.fake_postmark import FakePostmark, error
from tests.support.keys import APPLICATION_KEY
from tests.support.stored import dies

SETTINGS = """
[relay]
wait = {wait}

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["registry", "member", "paused"]

[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "default", "postmark"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov", "@example.com"]
headers = ["X-Form"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 1.5
retry = [10, 100]
max_age_hours = 1

[servers.member]
plugins = ["bearer_token", "session_token", "default"]
group = "registry"
sender = "Member <member@example.gov>"
recipients = ["@example.gov"]

[servers.paused]
plugins = ["bearer_token", "session_token", "honeypot", "default", "postmark"]
sender = "Paused <paused@example.gov>"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
enabled = false
"""

PATH = "/rest/email/registry"
SENT = {"status": "success", "response": "Message sent"}
QUEUED = {"status": "success", "response": "Message queued"}
INACTIVE = (
    "You tried to send to recipient(s) that have been marked as inactive. Found inactive "
    "addresses: desk@example.gov. Inactive recipients are ones that have generated a hard bounce, "
    "a spam complaint, or a manual suppression."
)


JOURNAL = """
from relay import hookimpl

seen = []

@hookimpl
def sent(message, receipt, server):
    seen.append(("sent", message.subject, receipt.provider_id != "", server.name))

@hookimpl
def deferred(message, error):
    seen.append(("deferred", message.subject, error.code))

@hookimpl
def failed(message, error):
    seen.append(("failed", message.subject, error.code))

@hookimpl
def expired(message, error):
    seen.append(("expired", message.subject, error.code))

@hookimpl
def screened(submission, decoy):
    seen.append(("screened", submission.fields["subject"], decoy.reason))
"""

LATER = """
from relay import DeliveryDeferred, hookimpl

@hookimpl
def deliver(messages):
    return [DeliveryDeferred("not now")] * len(messages)
"""


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS.format(url=postmark.url, wait=30)


async def session_form(post: Post) -> dict[str, Any]:
    token = (await post("/rest/email_token/create", key=None)).json["token_session"]
    return {**FORM, "token_session": token}


@pytest.mark.gen_test
async def test_the_provider_gets_the_message_in_its_own_words(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    fields = {
        **FORM,
        "to_address": '"Doe, Jane" <jane@example.gov>, desk@example.gov',
        "cc": "a@example.com",
        "bcc": "b@example.com",
        "sender": "Registry =?utf-8?q?x?=",
        "tag": "Birth",
        "useHtml": "1",
        "email[headers][0][Name]": "X-Form",
        "email[headers][0][Value]": "7",
    }
    reply = await post(PATH, fields)
    assert (reply.status, reply.json) == (200, SENT)
    [call] = postmark.calls
    assert call["path"] == "/email"
    assert call["headers"]["X-Postmark-Server-Token"] == "postmark-server-token"
    assert call["headers"]["Content-Type"] == "application/json"
    assert call["body"] == {
        "From": '"Registry \\=?utf-8?q?x?=" <registry@example.gov>',
        "To": '"Doe, Jane" <jane@example.gov>, desk@example.gov',
        "Cc": "a@example.com",
        "Bcc": "b@example.com",
        "ReplyTo": "resident@example.com",
        "Subject": "I have a great idea",
        "TextBody": "Make the roads green.",
        "HtmlBody": "Make the roads green.",
        "Tag": "Birth",
        "Headers": [{"Name": "X-Form", "Value": "7"}],
        "Metadata": {site.outbox.metadata_key: reply.headers["X-Relay-Message-Id"]},
        "MessageStream": "outbound",
    }
    assert site.outbox.metadata_key.startswith("relay-")
    assert len(site.outbox.metadata_key) == len("relay-") + 8
    assert outbox.last()["state"] == "sent"
    assert outbox.last()["provider_id"]


@pytest.mark.gen_test
async def test_the_lines_of_deliveries_name_no_request_that_happened_to_begin_them(
    post: Post, events: list[dict[str, Any]]
) -> None:
    replies = await asyncio.gather(*(post("/rest/email/registry", FORM) for _ in range(3)))
    asked = {reply.headers["X-Request-Id"] for reply in replies}
    lines = [event for event in events if event["event"] in ("message.accepted", "message.sent")]
    assert {line["request"] for line in lines if line["event"] == "message.accepted"} == asked
    sent = [line for line in lines if line["event"] == "message.sent"]
    assert len(sent) == 3
    assert not [line for line in sent if "request" in line]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("reference", "key"), [("23904341", "TemplateId"), ("welcome", "TemplateAlias")]
)
async def test_a_template_is_sent_by_reference_with_its_model(
    post: Post, postmark: FakePostmark, reference: str, key: str
) -> None:
    fields = {**FORM, "template_id": reference, "permit": "A-7", "useHtml": "0", "contact": ""}
    assert (await post(PATH, fields)).json == SENT
    [call] = postmark.calls
    assert call["path"] == "/email/withTemplate"
    assert call["body"][key] == (int(reference) if reference.isdigit() else reference)
    assert not call["body"].keys() & {"Subject", "TextBody", "HtmlBody"}
    assert call["body"]["TemplateModel"] == {
        "to_address": "desk@example.gov",
        "from_address": "resident@example.com",
        "name": "A Resident",
        "subject": "I have a great idea",
        "message": "Make the roads green.",
        "permit": "A-7",
        "TextBody": "Make the roads green.",
        "ReplyTo": "resident@example.com",
    }


@pytest.mark.gen_test
async def test_a_server_without_a_delivery_goes_through_its_groups(
    post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    assert (await post("/rest/email/member", FORM)).json == SENT
    assert postmark.messages[0]["From"] == "Member <member@example.gov>"
    assert (outbox.last()["server"], outbox.last()["delivery"]) == ("member", "postmark")


REFUSED = [
    (422, error(300, "Invalid 'To' address: 'desk@example.gov'.")),
    (422, error(402, "Invalid JSON.")),
    (422, error(411, "Attachment file type not allowed.")),
    (422, error(1101, "The 'TemplateId' associated with this request is not valid.")),
    (413, b""),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", REFUSED, ids=lambda answer: str(answer)[:40])
async def test_what_the_provider_refuses_for_good_is_400_and_the_token_is_usable_again(
    post: Post, postmark: FakePostmark, outbox: Outbox, answer: tuple[int, Any]
) -> None:
    postmark.answers = [answer]
    form = await session_form(post)
    refused = await post("/rest/email_session/registry", form)
    assert (refused.status, refused.json["status"]) == (400, "error")
    assert str(answer[0]) in refused.words
    assert "@" not in refused.words
    assert outbox.states() == ["failed"]
    assert outbox.unspent_tokens() == 1
    sent = await post("/rest/email_session/registry", form)
    assert sent.json == SENT
    assert outbox.states() == ["failed", "sent"]


DEFERRED = [
    (429, b""),
    (503, error(100, "Maintenance")),
    (500, error(100, "Maintenance")),
    (401, error(10, "Request does not contain a valid Server token.")),
    (422, error(400, "The 'From' address you supplied (x@example.gov) is not a Sender Signature")),
    (422, error(405, "Not allowed to send.")),
    (422, error(413, "This account is not approved to send email.")),
    (404, b"<html>not here</html>"),
    (302, b""),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("answer", DEFERRED, ids=lambda answer: str(answer)[:40])
async def test_what_was_certainly_not_sent_is_queued_and_sent_later(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, answer: tuple[int, Any]
) -> None:
    postmark.answers = [answer]
    reply = await post(PATH, FORM)
    assert (reply.status, reply.json) == (200, QUEUED)
    assert outbox.states() == ["queued"]
    assert await site.dispatcher.deliver_waiting(time.time()) == 0
    assert await site.dispatcher.deliver_waiting(time.time() + 13) == 1
    assert outbox.states() == ["sent"]
    assert [attempt["outcome"] for attempt in outbox.attempts()] == ["deferred", "sent"]
    assert len(postmark.calls) == 2


IN_DOUBT = [
    "reset",
    "drip",
    "hang",
    (500, error(101, "An internal fault")),
    (502, b"<html>bad gateway</html>"),
    (504, b""),
    (200, b"<html>welcome to the hotel</html>"),
    (200, b'{"ErrorCode": 0, "Mess'),
    (200, {"ErrorCode": 0, "Message": "OK"}),
]


@pytest.mark.slow
@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("answer", IN_DOUBT, ids=lambda answer: str(answer)[:40])
async def test_a_lost_answer_leaves_the_message_in_doubt_and_it_is_not_sent_again(
    site: Site,
    post: Post,
    postmark: FakePostmark,
    outbox: Outbox,
    answer: str | tuple[int, Any],
) -> None:
    postmark.answers = [answer]
    started = time.monotonic()
    form = await session_form(post)
    reply = await post("/rest/email_session/registry", form)
    assert (reply.status, reply.json) == (200, QUEUED)
    assert outbox.states() == ["in_doubt"]
    assert outbox.unspent_tokens() == 0
    # The deadline is 1.5 s; the grace after it is never needed.
    assert time.monotonic() - started < 1.5 + 3
    assert await site.dispatcher.deliver_waiting(time.time() + 1e6) == 0
    assert len(postmark.calls) == 1
    listed = site.store.read_now(unsent.page, unsent.Selection("in_doubt"), None, 10)
    assert [row.id for row in listed.rows] == [reply.headers["X-Relay-Message-Id"]]


@pytest.mark.gen_test
async def test_a_success_that_lacks_its_error_code_is_a_success(
    post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    late = {"MessageID": "b7bc2f4a", "Message": "Message accepted, but delivery may be delayed."}
    postmark.answers = [(200, late)]
    assert (await post(PATH, FORM)).json == SENT
    assert outbox.last()["provider_id"] == "b7bc2f4a"


@pytest.mark.gen_test
async def test_recipients_that_the_provider_dropped_stand_in_the_history_and_not_in_the_log(
    post: Post, postmark: FakePostmark, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    words = "Message OK, but will not deliver to these inactive addresses: a@example.gov. Inactive"
    postmark.answers = [(200, {"ErrorCode": 0, "MessageID": "1", "Message": words})]
    reply = await post(PATH, {**FORM, "cc": "a@example.gov"})
    assert reply.json == SENT
    assert "taken without a@example.gov" in outbox.last()["words"]
    assert (events[-1]["event"], events[-1]["dropped"]) == ("message.sent", 1)
    assert events[-1]["log_level"] == "warning"


@pytest.mark.gen_test
async def test_the_provider_is_left_alone_for_as_long_as_it_asks(
    post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    postmark.answers = [(429, b"", {"Retry-After": "500"})]
    before = time.time()
    assert (await post(PATH, FORM)).json == QUEUED
    assert 499 < outbox.last()["due_at"] - before < 510


@pytest.mark.gen_test
async def test_an_answer_that_ends_its_connection_is_read_whole(
    post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    postmark.answers = ["close"]
    assert (await post(PATH, FORM)).json == SENT
    assert outbox.last()["provider_id"] == "late"


@pytest.mark.gen_test
async def test_a_provider_that_is_not_there_got_nothing_and_no_attempt_is_counted(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, load: Callable[[str], Settings]
) -> None:
    live = postmark.url
    site.reload(load(SETTINGS.format(url="http://127.0.0.1:1", wait=30)))
    assert (await post(PATH, FORM)).json == QUEUED
    row = outbox.last()
    assert (row["state"], row["attempts"], row["tries"]) == ("queued", 0, 1)
    site.reload(load(SETTINGS.format(url=live, wait=30)))
    assert await site.dispatcher.deliver_waiting(time.time() + 13) == 1
    assert outbox.last()["state"] == "sent"


@pytest.mark.gen_test
async def test_the_ladder_of_retries_is_climbed_and_ends_with_expiry(
    site: Site, post: Post, outbox: Outbox, load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "later.py").write_text(LATER, encoding="utf-8")
    toml = SETTINGS.replace('"default", "postmark"]', '"default", "later", "postmark"]')
    site.reload(load(toml.format(url="http://127.0.0.1:1", wait=30)))
    await post(PATH, FORM)
    delays = []
    while outbox.states() == ["queued"]:
        now = outbox.last()["due_at"]
        assert await site.dispatcher.deliver_waiting(now) == 1
        delays.append(outbox.last()["due_at"] - now)
    low, high = retry.JITTER
    assert all(100 * low <= delay <= 100 * high + 1 for delay in delays[:-1])
    assert len(set(delays)) == len(delays)
    # An hour of 100 s steps, with the first one of 10 s.
    assert 28 <= outbox.last()["attempts"] <= 48
    assert outbox.states() == ["expired"]
    assert await site.dispatcher.deliver_waiting(time.time() + 1e6) == 0
    assert outbox.attempts()[-1]["outcome"] == "deferred"
    assert {attempt["delivery"] for attempt in outbox.attempts()} == {"later"}


@pytest.mark.gen_test(timeout=20)
async def test_a_provider_that_answers_slowly_is_waited_for_no_longer_than_wait(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, load: Callable[[str], Settings]
) -> None:
    site.reload(load(SETTINGS.format(url=postmark.url, wait=0.2)))
    postmark.answers = ["hang"]
    started = time.monotonic()
    reply = await post(PATH, FORM)
    assert reply.json == QUEUED
    assert 0.2 <= time.monotonic() - started < 1.2
    assert outbox.states() == ["sending"]


@pytest.mark.gen_test
async def test_a_server_that_is_switched_off_stores_and_answers_queued_at_once(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, load: Callable[[str], Settings]
) -> None:
    reply = await post("/rest/email/paused", FORM)
    assert (reply.status, reply.json) == (200, QUEUED)
    robot = await post("/rest/email/paused", {**FORM, "contact": "x"})
    assert robot.json == QUEUED
    assert await site.dispatcher.deliver_waiting(time.time() + 1e6) == 0
    assert outbox.states() == ["queued", "screened"]
    on = SETTINGS.replace("enabled = false", "enabled = true")
    site.reload(load(on.format(url=postmark.url, wait=30)))
    await site.dispatcher.deliver_waiting()
    assert outbox.states() == ["sent", "screened"]


@pytest.mark.gen_test
async def test_with_the_queue_off_first_attempts_are_made_and_retries_wait(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, load: Callable[[str], Settings]
) -> None:
    off = SETTINGS.replace("deadline = 1.5", "deadline = 1.5\nqueue_enabled = false")
    site.reload(load(off.format(url=postmark.url, wait=30)))
    postmark.answers = [(503, b"")]
    assert (await post(PATH, FORM)).json == QUEUED
    assert (await post(PATH, FORM)).json == SENT
    assert await site.dispatcher.deliver_waiting(time.time() + 1000) == 0
    assert outbox.states() == ["queued", "sent"]


@pytest.mark.gen_test
async def test_a_robot_is_told_queued_while_the_provider_is_down(
    post: Post, postmark: FakePostmark
) -> None:
    postmark.answers = [(503, b"")]
    assert (await post(PATH, FORM)).json == QUEUED
    assert (await post(PATH, {**FORM, "contact": "x"})).json == QUEUED
    assert (await post(PATH, FORM)).json == SENT
    assert (await post(PATH, {**FORM, "contact": "x"})).json == SENT


@pytest.mark.gen_test(timeout=20)
async def test_the_loop_answers_while_every_sender_waits_for_the_provider(
    site: Site, post: Post, postmark: FakePostmark, load: Callable[[str], Settings]
) -> None:
    site.reload(load(SETTINGS.format(url=postmark.url, wait=0)))
    postmark.answers = ["hang"] * 16
    for _ in range(16):
        assert (await post(PATH, FORM)).json == QUEUED
    await postmark.hanging(16)
    assert sum(thread.name.startswith("sender") for thread in threading.enumerate()) == 16
    started = time.monotonic()
    assert (await post("/healthz", method="GET")).status == 200
    assert time.monotonic() - started < 1
    postmark.release()


@pytest.mark.gen_test
async def test_many_messages_at_once_are_each_sent_once(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    forms = [{**FORM, "subject": f"Idea {number}"} for number in range(100)]
    replies = await asyncio.gather(*(post(PATH, form) for form in forms))
    assert {reply.json["response"] for reply in replies} == {"Message sent"}
    received = sorted(message["Subject"] for message in postmark.messages)
    assert received == sorted(form["subject"] for form in forms)
    assert set(outbox.states()) == {"sent"}
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_observers_learn_what_became_of_a_message(
    site: Site,
    post: Post,
    postmark: FakePostmark,
    load: Callable[[str], Settings],
    tmp_path: Path,
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "journal.py").write_text(JOURNAL, encoding="utf-8")
    watched = SETTINGS.replace('"default", "postmark"]', '"default", "journal", "postmark"]')
    site.reload(load(watched.format(url=postmark.url, wait=30)))
    postmark.answers = [(200, {"MessageID": "1"}), (503, b""), (422, error(300, "x"))]
    postmark.answers += [(503, b"")] * 4
    for subject in ("one", "two", "three"):
        await post(PATH, {**FORM, "subject": subject})
    await post(PATH, {**FORM, "subject": "four", "contact": "robot"})
    for seconds in (4000, 5000, 6000, 7000):
        await site.dispatcher.deliver_waiting(time.time() + seconds)
    assert sys.modules["relay_plugins.journal"].seen == [
        ("sent", "one", True, "registry"),
        ("deferred", "two", "503/0"),
        ("failed", "three", "422/300"),
        ("screened", "four", "honeypot"),
        *[("deferred", "two", "503/0")] * 3,
        ("expired", "two", "503/0"),
    ]


@pytest.mark.gen_test
async def test_a_backlog_larger_than_one_claim_is_delivered_without_a_further_push(
    site: Site,
    post: Post,
    outbox: Outbox,
    load: Callable[[str], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "MAX_CLAIM", 10)
    boxed = """
[servers.boxed]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "boxed@example.gov"
recipients = ["@example.gov"]
enabled = false
"""
    toml = (
        SETTINGS.replace('"paused"]', '"paused", "boxed"]', 1).format(
            url="http://127.0.0.1:1", wait=30
        )
        + boxed
    )
    site.reload(load(toml))
    forms = [{**FORM, "subject": str(number)} for number in range(45)]
    replies = await asyncio.gather(*(post("/rest/email/boxed", form) for form in forms))
    assert {reply.json["response"] for reply in replies} == {"Message queued"}
    site.reload(load(toml.replace(boxed, boxed.replace("enabled = false", ""))))
    while site.dispatcher.waiting:
        await site.store.read(listing.count_unsent)
    assert outbox.states() == ["sent"] * 45


@pytest.mark.gen_test
async def test_no_answer_of_the_provider_and_no_token_stands_in_the_log(
    post: Post, postmark: FakePostmark, events: list[dict[str, Any]]
) -> None:
    postmark.answers = [(422, error(406, INACTIVE)), (401, error(10, "canary words")), "reset"]
    for to in ("gone@example.gov", "desk@example.gov", "desk@example.gov"):
        await post(PATH, FORM | {"to_address": to})
    logged = json.dumps(events)
    assert [event["code"] for event in events if "code" in event][:2] == ["suppressed", "401/10"]
    for canary in ("desk@example.gov", "canary", "postmark-server-token", APPLICATION_KEY):
        assert canary not in logged


@pytest.mark.gen_test
async def test_what_was_queued_before_a_restart_is_sent_after_it_and_what_was_sending_is_in_doubt(
    settings: Settings, post: Post, site: Site, postmark: FakePostmark, outbox: Outbox
) -> None:
    postmark.answers = [(503, b""), "hang"]
    assert (await post(PATH, FORM)).json == QUEUED
    waiting = asyncio.ensure_future(post(PATH, {**FORM, "subject": "Interrupted"}))
    await postmark.hanging()
    assert outbox.states() == ["queued", "sending"]
    # The daemon dies here: a second one finds the rows as they are on the disk.
    dies(site)
    with open_site(settings) as second:
        assert make_app(second) is not None
        assert outbox.states() == ["queued", "in_doubt"]
        assert second.dispatcher.waiting == 1
        assert second.outbox.metadata_key == site.outbox.metadata_key
        assert await second.dispatcher.deliver_waiting(time.time() + 13 + OWNED_SECONDS) == 1
        assert outbox.states() == ["sent", "in_doubt"]
        postmark.release()
        # The first one's late outcome has lost its claim and changes nothing.
        await waiting
        assert outbox.states() == ["sent", "in_doubt"]
        assert [message["Subject"] for message in postmark.messages] == [
            "I have a great idea",
            "Interrupted",
            "I have a great idea",
        ]
        await second.dispatcher.stop(5)
