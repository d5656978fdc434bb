"""Messages for later: accepted with their time, sent when it has come, cancelled before."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from marshmallow import ValidationError

from relay.config.settings import Settings
from relay.forms.fields import SendTime
from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post, Reply
from tests.support.daemon import Daemon
from tests.support.keys import OTHER_KEY, PAGE_KEY

NewToken = Callable[[], Awaitable[int]]

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
LATER = {**FORM, "senddatetime": "+5 minutes"}
CANCEL = "/rest/email_cancel/contactform"


def history(site: Site) -> list[tuple[str, str]]:
    rows = site.store.read_now(
        lambda connection: connection.exec_driver_sql("SELECT kind, words FROM events").all()
    )
    return [(row.kind, row.words) for row in rows]


def sent_at(value: Any) -> float | None:
    return SendTime(clock=lambda: NOW + 0.25).deserialize(value)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("+5 minutes", NOW + 300.25),
        ("tomorrow 9am", NOW + 21 * 3600),
        (NOW + 1, NOW + 1),
        (str(int(NOW) + 1), NOW + 1),
        ("2026-11-21T12:00:30Z", NOW + 30),
        ("2026-11-21 12:00:30", NOW + 30),
        ("2026-11-21T14:00:30+02:00", NOW + 30),
        ("now", None),
        (NOW, None),
    ],
)
def test_a_time_is_read_and_one_without_a_zone_is_utc(value: Any, at: float | None) -> None:
    assert sent_at(value) == at


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("when it suits you", "Could not evaluate scheduled date."),
        (True, "Could not evaluate scheduled date."),
        ({"a": "b"}, "Could not evaluate scheduled date."),
        (NOW - 1, "Scheduled date is in the past."),
        ("yesterday", "Scheduled date is in the past."),
        ("+401 days", "Emails can only be scheduled up to 400 days in advance."),
    ],
)
def test_a_time_that_cannot_be_is_refused_in_the_contracts_words(value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        sent_at(value)
    assert raised.value.messages == [words]


@pytest.mark.gen_test
@pytest.mark.parametrize("content", [LATER, {"email": LATER}], ids=["flat", "nested"])
async def test_a_message_for_later_is_stored_and_answered_at_once(
    post: Post, outbox: Outbox, site: Site, content: dict[str, Any]
) -> None:
    before = time.time()
    reply = await post("/rest/email/contactform", content=content)
    row = outbox.last()
    assert (reply.status, reply.json) == (
        200,
        {"status": "success", "response": "Message scheduled", "id": row["id"]},
    )
    assert reply.headers["X-Relay-Message-Id"] == row["id"]
    assert (row["state"], row["tries"]) == ("scheduled", 0)
    assert before + 299 <= row["due_at"] <= time.time() + 300
    assert row["since"] == row["due_at"] == row["document"]["send_at"]
    assert site.dispatcher.waiting == 1


@pytest.mark.gen_test
async def test_a_message_for_later_is_sent_when_its_time_has_come_and_not_before(
    post: Post, outbox: Outbox, site: Site
) -> None:
    await post("/rest/email/contactform", LATER)
    due_at = outbox.last()["due_at"]
    assert await site.dispatcher.deliver_waiting(due_at - 0.01) == 0
    assert outbox.states() == ["scheduled"]
    assert await site.dispatcher.deliver_waiting(due_at) == 1
    assert (outbox.states(), site.dispatcher.waiting) == (["sent"], 0)


@pytest.mark.gen_test
@pytest.mark.parametrize("moment", ["now", " ", ""])
async def test_a_message_for_now_is_sent_at_once(post: Post, outbox: Outbox, moment: str) -> None:
    reply = await post("/rest/email/contactform", {**FORM, "senddatetime": moment})
    assert reply.json == {"status": "success", "response": "Message sent"}
    assert "send_at" not in outbox.last()["document"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("noonish", "senddatetime: Could not evaluate scheduled date."),
        ("1000000000", "senddatetime: Scheduled date is in the past."),
        (
            "+2 years",
            "senddatetime: Emails can only be scheduled up to 400 days in advance.",
        ),
    ],
)
async def test_a_wrong_time_is_refused_by_name(
    post: Post, outbox: Outbox, new_token: NewToken, moment: str, words: str
) -> None:
    token = await new_token()
    form = {**FORM, "senddatetime": moment, "token_session": token}
    reply = await post("/rest/email_session/contactform", form)
    assert (reply.status, reply.words) == (400, words)
    assert (outbox.rows(), outbox.unspent_tokens()) == ([], 1)


@pytest.mark.gen_test
async def test_a_server_that_takes_no_scheduled_mail_refuses_it(
    post: Post, outbox: Outbox, site: Site, load: Callable[[str], Settings]
) -> None:
    toml = SETTINGS.replace("[servers.default]", "[servers.default]\nscheduling = false")
    site.reload(load(toml))
    reply = await post("/rest/email/default", LATER)
    assert (reply.status, reply.words) == (400, "senddatetime: messages cannot be scheduled here")
    assert outbox.rows() == []
    assert (await post("/rest/email/contactform", LATER)).words == "Message scheduled"


@pytest.mark.gen_test
async def test_a_visitor_without_javascript_comes_back_to_the_page(
    post: Post, outbox: Outbox
) -> None:
    reply = await post("/rest/email/contactform", {**LATER, "return_to": "thanks"})
    assert reply.status == 303
    assert reply.headers["Location"] == "https://www.example.gov/thanks?lang=en&relay=scheduled"
    assert outbox.states() == ["scheduled"]


def shape(reply: Reply) -> tuple[int, list[str], list[str], str]:
    return reply.status, sorted(reply.headers), list(reply.json), reply.words


@pytest.mark.gen_test
async def test_a_robots_message_for_later_is_answered_like_a_clean_one(
    post: Post, outbox: Outbox, site: Site
) -> None:
    clean = await post("/rest/email/contactform", LATER)
    robot = await post("/rest/email/contactform", {**LATER, "contact": "x"})
    assert shape(robot) == shape(clean)
    assert outbox.states() == ["scheduled", "screened"]
    assert robot.json["id"] == outbox.last()["id"]
    assert await site.dispatcher.deliver_waiting(time.time() + 600) == 1
    assert outbox.states() == ["sent", "screened"]


@pytest.mark.gen_test
async def test_a_scheduled_message_is_cancelled(
    post: Post, outbox: Outbox, site: Site, events: list[dict[str, Any]]
) -> None:
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    reply = await post(CANCEL, {"id": id})
    assert (reply.status, reply.json) == (
        200,
        {"status": "success", "response": "Message cancelled"},
    )
    assert outbox.states() == ["cancelled"]
    assert history(site) == [("cancelled", "with key application")]
    assert [event["id"] for event in events if event["event"] == "message.cancelled"] == [id]
    assert site.dispatcher.waiting == 0
    assert await site.dispatcher.deliver_waiting(time.time() + 600) == 0
    again = await post(CANCEL, {"id": id})
    assert (again.status, again.words) == (409, "already cancelled")


@pytest.mark.gen_test
@pytest.mark.parametrize("shape", ["flat", "bracket names", "nested", "bracketed form"])
async def test_the_id_comes_in_every_shape_of_body(post: Post, outbox: Outbox, shape: str) -> None:
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    bodies = {
        "flat": {"content": {"id": id}},
        "bracket names": {"content": {"email[id]": id}},
        "nested": {"content": {"email": {"id": id}}},
        "bracketed form": {"form": {"email[id]": id}},
    }
    assert (
        await post(
            CANCEL.upper().replace("/REST/EMAIL_CANCEL", "/rest/email_cancel"), **bodies[shape]
        )
    ).status == 200
    assert outbox.states() == ["cancelled"]


@pytest.mark.gen_test
async def test_who_may_not_post_may_not_cancel(post: Post, outbox: Outbox) -> None:
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    for key in (None, "wrong-key-wrong-key-wrong-key-wrong-", OTHER_KEY, PAGE_KEY):
        for asked in ({"id": id}, {"id": ""}, {"key": PAGE_KEY, "id": id}):
            reply = await post(CANCEL, asked, key=key)
            assert (reply.status, reply.words) == (401, "could not authenticate")
    assert outbox.states() == ["scheduled"]


LENIENT = '''
"""Lets everybody in, as a page would be."""

from relay import Identity, hookimpl


@hookimpl
def authenticate(submission, server):
    return Identity("page", "publishable")
'''


@pytest.mark.gen_test
async def test_whoever_is_let_in_without_a_secret_key_may_not_cancel(
    post: Post, outbox: Outbox, site: Site, load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "lenient.py").write_text(LENIENT, encoding="utf-8")
    site.reload(load(SETTINGS.replace('["bearer_token", "session', '["lenient", "session', 1)))
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    assert (await post(CANCEL, {"id": id})).status == 401
    assert outbox.states() == ["scheduled"]


@pytest.mark.gen_test
async def test_a_wrong_key_at_this_door_is_seen_as_at_any_other(post: Post, site: Site) -> None:
    for key in ("wrong-key-wrong-key-wrong-key-wrong-", None):
        assert (await post(CANCEL, {"id": "any"}, key=key)).status == 401
    [(key, seen)] = site.event_counts.take().items()
    assert (key.kind, key.server, seen.count) == ("keys", "contactform", 2)
    assert set(seen.reasons) == {"unknown_key", "no_header"}


OWN = """
from relay import EmailForm, Message, hookimpl

@hookimpl
def schema(server):
    return EmailForm()

@hookimpl
def compose(form, server):
    return Message(server.sender, form["to_address"], subject="Mine", text=form["message"])
"""


@pytest.mark.gen_test
async def test_a_message_that_a_plugin_makes_all_by_itself_is_scheduled_too(
    post: Post, outbox: Outbox, site: Site, load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "own.py").write_text(OWN, encoding="utf-8")
    site.reload(load(SETTINGS.replace('"contactform", "mailbox"', '"own", "mailbox"')))
    assert (await post("/rest/email/contactform", LATER)).words == "Message scheduled"
    row = outbox.last()
    assert (row["state"], row["subject"]) == ("scheduled", "Mine")
    assert row["due_at"] == row["document"]["send_at"]


@pytest.mark.gen_test
async def test_only_a_servers_own_scheduled_messages_are_known(post: Post, outbox: Outbox) -> None:
    scheduled = (await post("/rest/email/contactform", LATER)).json["id"]
    sent = (await post("/rest/email/contactform", FORM)).headers["X-Relay-Message-Id"]
    robot = (await post("/rest/email/contactform", {**LATER, "contact": "x"})).json["id"]
    for path, id in (
        ("/rest/email_cancel/default", scheduled),
        (CANCEL, sent),
        (CANCEL, robot),
        (CANCEL, "no-such-message"),
    ):
        reply = await post(path, {"id": id})
        assert (reply.status, reply.words) == (404, "unknown message")
    assert (await post("/rest/email_cancel/nowhere", {"id": scheduled})).status == 404
    assert outbox.states() == ["scheduled", "sent", "screened"]


@pytest.mark.gen_test
@pytest.mark.parametrize("id", [None, "", 7, ["x"], {"x": "y"}])
async def test_what_is_no_id_is_refused_by_name(post: Post, id: Any) -> None:
    reply = await post(CANCEL, content={"id": id})
    assert (reply.status, reply.words) == (400, "id: Missing data for required field.")


@pytest.mark.gen_test
async def test_a_message_whose_time_has_come_is_not_cancelled(
    post: Post, outbox: Outbox, site: Site
) -> None:
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    await site.dispatcher.deliver_waiting(time.time() + 600)
    reply = await post(CANCEL, {"id": id})
    assert (reply.status, reply.words) == (409, "already sent")
    assert (outbox.states(), history(site)) == (["sent"], [])


DELAYING = '''
"""Never takes a message at the first call."""

import threading

from relay import DeliveryDeferred, hookimpl


@hookimpl
def deliver(messages, server):
    return [DeliveryDeferred("come again") for _ in messages]
'''


@pytest.mark.gen_test
async def test_a_message_that_was_tried_already_is_not_cancelled(
    post: Post, outbox: Outbox, site: Site, load: Callable[[str], Settings], tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "delaying.py").write_text(DELAYING, encoding="utf-8")
    site.reload(load(SETTINGS.replace('"contactform", "mailbox"', '"contactform", "delaying"')))
    id = (await post("/rest/email/contactform", LATER)).json["id"]
    await site.dispatcher.deliver_waiting(time.time() + 301)
    assert outbox.states() == ["queued"]
    reply = await post(CANCEL, {"id": id})
    assert (reply.status, reply.words) == (409, "already being sent")
    assert outbox.states() == ["queued"]


@pytest.mark.gen_test
async def test_a_get_does_not_cancel(post: Post) -> None:
    assert (await post(CANCEL, method="GET")).status == 405


DAEMON = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["default"]

[servers.default]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["*"]
"""
DAEMON_KEY = "application-key-application-key-0"


def until(daemon: Daemon, event: str, seconds: float) -> dict[str, Any]:
    """Wait for a log event, at most so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = [one for one in daemon.events() if one["event"] == event]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(f"no {event} within {seconds} s:\n{daemon.log()}")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_it_is_sent_within_two_seconds_of_its_time(tmp_path: Path, *, restarted: bool) -> None:
    daemon = Daemon(tmp_path, DAEMON, {"APPLICATION_KEY": DAEMON_KEY})
    with daemon:
        at = time.time() + (4 if restarted else 2)
        reply = daemon.post("/rest/email/default", DAEMON_KEY, json={**FORM, "senddatetime": at})
        assert reply.json()["response"] == "Message scheduled"
        if restarted:
            daemon.stop(9)
            daemon.start()
        sent = until(daemon, "message.sent", at + 3 - time.time())
    moment = datetime.fromisoformat(sent["timestamp"]).timestamp()
    assert sent["id"] == reply.json()["id"]
    assert at <= moment <= at + 2
    assert json.dumps(daemon.events()).count("message.sent") == 1
