"""What a caller entrusts to the relay stands in its store, and in no log line and no error."""

import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from relay.core import logs
from relay.site import Site
from tests.conftest import Outbox, Post
from tests.forms.test_attachments import multipart
from tests.support.fake_postmark import FakePostmark, Taken, error
from tests.support.keys import APPLICATION_KEY, PAGE_KEY
from tests.support.stored import by

NewToken = Callable[[], Awaitable[int]]

KEY = "canary-key-canary-key-canary-key-01"
CANARIES = {
    "to_address": "canary-to@example.gov",
    "from_address": '"canary-writer" <canary-from@example.com>',
    "name": "canary-name",
    "sender": "canary-sender",
    "subject": "canary-subject",
    "message": "canary-message",
    "tag": "canary-tag",
    "extra": "canary-extra",
}
FILE = ("photo", "canary-file.txt", b"canary-content")

SETTINGS = """
[relay]
wait = 30

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[keys.page]
secret = {{ env = "PAGE_KEY" }}
kind = "publishable"
servers = ["registry"]

[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "breaking", "default", "postmark"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov", "@example.com"]
attachments = true
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
deadline = 1.5
retry = [10]

[servers.boxed]
plugins = ["bearer_token", "default", "breaking", "mailbox"]
sender = "Boxed <boxed@example.gov>"
recipients = ["@example.gov"]
"""

# Breaks where its subject says so, with all that it knows in its words.
BREAKING = """
from relay import hookimpl


@hookimpl
def screen(submission):
    if "screen breaks" in str(submission.fields.get("subject")):
        raise ValueError(dict(submission.fields), submission.headers)


@hookimpl
def accepted(message):
    if "observer breaks" in str(message.subject):
        raise ValueError(message.subject, message.to, message.text)


@hookimpl(wrapper=True)
def compose(form):
    message = yield
    if "compose breaks" in str(message.subject):
        raise ValueError(message.subject, message.to, dict(form))
    return message


@hookimpl(wrapper=True)
def deliver(messages):
    if any("deliver breaks" in str(message.subject) for message in messages):
        raise ValueError(messages[0].subject, messages[0].to, messages[0].text)
    return (yield)
"""


@pytest.fixture
def settings_toml(postmark: FakePostmark, tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "breaking.py").write_text(BREAKING)
    return SETTINGS.format(url=postmark.url)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that would be written to stderr: Relay's own lines and the libraries'."""
    written = io.StringIO()
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    logs.configure("json")
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(written))
    structlog.configure(cache_logger_on_first_use=False)
    level = logging.root.level
    logging.root.setLevel(logging.DEBUG)
    yield written
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def clean(text: str, *more: str) -> None:
    """Check that a text has none of the canaries."""
    for canary in ("canary", APPLICATION_KEY, PAGE_KEY, "postmark-server-token", *more):
        assert canary not in text


def about(what: str) -> dict[str, str]:
    return {**CANARIES, "subject": f"canary-subject {what}"}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("wrong values", {name: f"canary {name}\n" for name in CANARIES}),
    ("wrong addresses", {"to_address": "canary@@", "cc": "canary", "reply_to": "<canary"}),
    ("a list of addresses", {"to_address": "canary@example.gov; canary-two@example.gov"}),
    ("quoted", {"to_address": '"canary@example.gov'}),
    ("strangers", {"to_address": "canary@evil.com"}),
    ("a long one", {"to_address": "canary" * 60 + "@example.gov"}),
    ("a domain", {"to_address": "a@canary..gov"}),
    ("a number", {"to_address": "a@canary_.gov", "senddatetime": "canary"}),
    ("headers", {"headers": [{"Name": "X-Form", "Value": "canary\n"}]}),
    ("a header that may not be set", {"headers": [{"Name": "Sender", "Value": "canary"}]}),
    ("a template", {"template_id": "canary !"}),
    ("flags", {"useHtml": "canary"}),
    ("a file", {"attachments": [{"Name": "canary.exe", "Content": "Y2FuYXJ5"}]}),
    ("a file that is none", {"attachments": [{"Name": "canary.pdf", "Content": "Y2FuYXJ5"}]}),
    ("no base64", {"attachments": [{"Name": "canary.txt", "Content": "canary!"}]}),
    ("twice", {"to": "canary-two@example.gov"}),
    ("html", {"HtmlBody": "canary" * 20_000}),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("fields", [one[1] for one in REFUSED], ids=[one[0] for one in REFUSED])
async def test_a_refusal_repeats_nothing(
    post: Post, outbox: Outbox, logged: io.StringIO, fields: dict[str, Any]
) -> None:
    given = {**CANARIES, **fields}
    replies = [await post("/rest/email/registry", content=given)]
    if all(isinstance(value, str) for value in given.values()):
        replies.append(await post("/rest/email/registry", given))
        replies.append(await post("/rest/email/registry", **multipart(given, [])))
    for reply in replies:
        assert reply.status == 400
        clean(reply.body.decode() + str(dict(reply.headers)))
    assert logged.getvalue().count("submission.refused") == len(replies)
    clean(logged.getvalue())
    assert outbox.rows() == []


CREDENTIALS: list[tuple[str, dict[str, Any]]] = [
    ("a wrong key", {"key": KEY}),
    ("a key as a field", {"key": None, "form": {**CANARIES, "key": KEY}}),
    ("a key of another scheme", {"headers": {"Authorization": f"Basic {KEY}"}}),
    ("a wrong token", {"form": {**CANARIES, "token_session": "4503599627370497"}}),
    ("a token that is none", {"form": {**CANARIES, "token_session": "canary"}}),
    ("a broken key", {"headers": {"Authorization": f"token {KEY}\xff"}}),
    ("a page", {"key": APPLICATION_KEY, "form": {**CANARIES, "return_to": "canary"}}),
    ("a wrong origin", {"headers": {"Origin": "https://www.evil.com/canary"}}),
    ("a bad request key", {"headers": {"Idempotency-Key": "canary canary"}}),
    ("JSON that is none", {"form": None, "body": b'{"canary": ', "media": "application/json"}),
    ("a form that is none", {"form": None, "body": b"canary", "media": "canary/canary"}),
    ("bytes", {"form": None, "body": b'{"a": "canary\xff"}', "media": "application/json"}),
    ("parts", {"form": None, "body": b"--b\r\ncanary", "media": "multipart/form-data; boundary=b"}),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "asked", [one[1] for one in CREDENTIALS], ids=[one[0] for one in CREDENTIALS]
)
async def test_who_is_not_let_in_is_told_and_logged_without_what_was_brought(
    post: Post, outbox: Outbox, logged: io.StringIO, asked: dict[str, Any]
) -> None:
    asked = {"form": CANARIES, "key": PAGE_KEY, **asked}
    for path in ("/rest/email_session/registry", "/rest/email_token/remove"):
        reply = await post(path, **asked)
        clean(reply.body.decode() + str(dict(reply.headers)), "4503599627370497")
    clean(logged.getvalue(), "4503599627370497")
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_what_is_sent_is_logged_without_what_it_says(
    post: Post, outbox: Outbox, new_token: NewToken, logged: io.StringIO, site: Site
) -> None:
    token = await new_token()
    form = {**CANARIES, "token_session": str(token)}
    sent = [
        await post("/rest/email/registry", **multipart(CANARIES, [FILE])),
        await post("/rest/email_session/registry", form, key=PAGE_KEY),
        await post("/rest/email/registry", {**CANARIES, "senddatetime": "+5 minutes"}),
        await post("/rest/email/boxed", CANARIES),
        await post("/rest/email/registry", **multipart({**CANARIES, "contact": "x"}, [FILE])),
    ]
    again = await post("/rest/email_session/registry", form, key=PAGE_KEY)
    assert [reply.status for reply in [*sent, again]] == [200] * 5 + [403]
    assert await site.acceptance.release(
        sent[-1].headers["X-Relay-Message-Id"], 2e9, by("somebody")
    )
    await site.dispatcher.deliver_waiting(3e9)
    assert "canary-content" not in json.dumps(outbox.rows())  # it is base64 there
    assert outbox.rows()[0]["document"]["attachments"][0][0] == "canary-file.txt"
    for reply in (*sent, again):
        clean(reply.body.decode() + str(dict(reply.headers)), str(token))
    for event in ("message.accepted", "message.sent", "submission.screened", "submission.released"):
        assert event in logged.getvalue()
    clean(logged.getvalue(), str(token), "Y2FuYXJ5LWNvbnRlbnQ")


INACTIVE = "Found inactive addresses: canary-to@example.gov. canary-to@example.gov"
ANSWERS: list[tuple[Any, int, str]] = [
    ((422, error(406, INACTIVE)), 200, "held"),
    ((422, error(300, "Invalid 'To' address: 'canary-to@example.gov'.")), 400, "failed"),
    ((429, error(429, INACTIVE)), 200, "queued"),
    ((503, b"canary-to@example.gov"), 200, "queued"),
    ((401, error(10, INACTIVE)), 200, "queued"),
    ("reset", 200, "in_doubt"),
    ((200, b'{"canary": '), 200, "in_doubt"),
    ((500, error(500, INACTIVE)), 200, "in_doubt"),
    (Taken("reset"), 200, "in_doubt"),
]


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(("answer", "status", "state"), ANSWERS, ids=lambda one: str(one)[:40])
async def test_what_the_provider_says_of_somebody_is_not_told_or_logged(
    post: Post,
    postmark: FakePostmark,
    outbox: Outbox,
    logged: io.StringIO,
    answer: Any,
    status: int,
    state: str,
) -> None:
    postmark.answers = [answer]
    reply = await post("/rest/email/registry", **multipart(CANARIES, [FILE]))
    assert (reply.status, outbox.last()["state"]) == (status, state)
    clean(reply.body.decode() + str(dict(reply.headers)))
    clean(logged.getvalue())


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize("place", ["screen", "compose", "observer", "deliver"])
async def test_a_plugin_that_breaks_tells_nothing_of_what_it_broke_on(
    post: Post, outbox: Outbox, logged: io.StringIO, site: Site, place: str
) -> None:
    reply = await post("/rest/email/registry", **multipart(about(f"{place} breaks"), [FILE]))
    assert reply.status == (500 if place in ("screen", "compose") else 200)
    await site.dispatcher.deliver_waiting()
    clean(reply.body.decode() + str(dict(reply.headers)))
    assert "ValueError" in logged.getvalue()
    clean(logged.getvalue())
    clean(json.dumps([row["words"] for row in outbox.rows()]))


def test_the_canaries_are_seen_where_they_do_leak(logged: io.StringIO) -> None:
    structlog.get_logger().info("message.accepted", to=CANARIES["to_address"])
    logging.getLogger("library").warning("canary")
    with pytest.raises(AssertionError):
        clean(logged.getvalue())
