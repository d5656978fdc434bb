"""Replies: a form goes out with a reply address, and what the office answers reaches the writer."""

import asyncio
import base64
import json
import queue
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from relay.config import settings as relay_settings
from relay.core.errors import ConfigurationError
from relay.core.message import Attachment, Callback, Reply
from relay.hooks.loader import build
from relay.site import Site
from relay.store import reply_addresses
from relay.store.maintenance import housekeeping
from relay.store.outbox import operator_actions
from relay.store.outbox.operator_actions import Order
from tests.conftest import FORM, Outbox, Post
from tests.support import stored
from tests.support.daemon import Daemon
from tests.support.fake_postmark import FakePostmark
from tests.web.postmark.conftest import settled

Load = Callable[[str], relay_settings.Settings]

SECRET = "webhook-secret-webhook-secret-00"
CREDENTIALS = {"Authorization": "Basic " + base64.b64encode(f"postmark:{SECRET}".encode()).decode()}
PATH = "/rest/email/postmark/contactform/inbound"
ADDRESS = re.compile(r"r\+[a-z2-7]{16}\.[a-z2-7]{10}@inbound\.example\.gov")
DAY = 86400.0

SETTINGS = """
[alerts]
to = ["ops@example.gov"]

[servers.alerts]
plugins = ["mailbox"]
sender = "relay@example.gov"

[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]

[servers.contactform]
plugins = ["bearer_token", "honeypot", "contactform", "postmark", "postmark_webhooks"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov", "desk@example.org"]
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "POSTMARK_URL"
deadline = 2
replies = "r@inbound.example.gov"
webhook_secrets = [{ env = "WEBHOOK_SECRET" }]

[servers.member]
plugins = ["bearer_token", "default"]
group = "contactform"
sender = "member@example.gov"
recipients = ["@example.gov"]
replies = "r@inbound.example.gov"
reply_days = 2

[servers.other]
plugins = ["bearer_token", "default", "postmark_webhooks", "mailbox"]
sender = "other@example.gov"
recipients = ["@example.gov"]
replies = "r@inbound.example.gov"
webhook_secrets = [{ env = "WEBHOOK_SECRET" }]
"""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "WEBHOOK_SECRET": SECRET}


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS.replace("POSTMARK_URL", postmark.url)


def inbound(address: str, **changes: Any) -> dict[str, Any]:
    """What Postmark posts of a mail that came in."""
    headers = [{"Name": "Return-Path", "Value": "<jane@example.gov>"}]
    headers += [{"Name": "In-Reply-To", "Value": "<form@example.gov>"}]
    hash = address.partition("+")[2].partition("@")[0]
    full = [{"Email": address, "Name": "A Resident", "MailboxHash": hash}]
    return {
        "FromName": "Jane Doe",
        "MessageStream": "inbound",
        "From": "jane@example.gov",
        "FromFull": {"Email": "jane@example.gov", "Name": "Jane Doe", "MailboxHash": ""},
        "To": f'"A Resident" <{address}>',
        "ToFull": full,
        "Cc": "",
        "CcFull": [],
        "OriginalRecipient": address,
        "Subject": "Re: I have a great idea",
        "MessageID": "a1b2c3d4-0000-4000-8000-000000000001",
        "ReplyTo": "",
        "MailboxHash": hash,
        "Date": "Sat, 21 Nov 2026 16:33:54 +0000",
        "TextBody": "Green it will be.\n\n> Make the roads green.",
        "HtmlBody": "<p onclick='x'>Green it will <b>be</b>.</p>",
        "StrippedTextReply": "Green it will be.",
        "Tag": "",
        "Headers": headers,
        "Attachments": [],
        **changes,
    }


async def reply_address(post: Post, postmark: FakePostmark, server: str = "contactform") -> str:
    """Post a form; give the address that its Reply-To has."""
    assert (await post(f"/rest/email/{server}", FORM)).words == "Message sent"
    return ADDRESS.search(postmark.messages[-1]["ReplyTo"])[0]


async def tell(post: Post, mail: dict[str, Any], path: str = PATH) -> None:
    reply = await post(path, content=mail, key=None, headers=CREDENTIALS)
    assert reply.status == 200


@pytest.mark.gen_test
async def test_an_answer_returns_to_the_writer_once_however_often_it_is_told(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)
    assert postmark.messages[0]["ReplyTo"] == f"A Resident <{address}>"
    assert "resident@example.com" not in postmark.messages[0]["ReplyTo"]
    mail = inbound(address)
    await asyncio.gather(*(tell(post, mail) for _ in range(10)))
    await settled(site)
    form, passed_on = outbox.rows()
    assert passed_on["state"] == "sent"
    [_, sent] = postmark.messages
    assert list(sent.pop("Metadata").values()) == [passed_on["id"]]
    assert sent == {
        "From": "Jane Doe <contactform@example.gov>",
        "To": "A Resident <resident@example.com>",
        "ReplyTo": "jane@example.gov",
        "Subject": "Re: I have a great idea",
        "TextBody": "Green it will be.\n\n> Make the roads green.",
        "HtmlBody": "<p>Green it will <b>be</b>.</p>",
        "Headers": [
            {"Name": "In-Reply-To", "Value": "<form@example.gov>"},
            {"Name": "X-Relay-Hop", "Value": "1"},
        ],
        "MessageStream": "outbound",
    }
    words = f"an answer was passed on as {passed_on['id']}"
    assert ("answered", words) in stored.happened(site.store, form["id"])
    words = f"passes on an answer to {form['id']}"
    assert ("answer", words) in stored.happened(site.store, passed_on["id"])
    assert site.replies.told() == ["1 passed_on", "9 repeated"]


@pytest.mark.gen_test
async def test_each_mail_that_answers_is_passed_on(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    address = await reply_address(post, postmark)
    for number in range(3):
        await tell(post, inbound(address.upper(), MessageID=f"mail {number}"))
    await settled(site)
    assert len(postmark.messages) == 4


@pytest.mark.gen_test
async def test_a_member_of_a_group_is_answered_through_the_groups_account(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark, "member")
    await tell(post, inbound(address))
    await settled(site)
    assert outbox.last()["server"] == "member"
    assert postmark.messages[-1]["From"] == "Jane Doe <member@example.gov>"
    assert postmark.messages[-1]["To"] == "resident@example.com"


@pytest.mark.gen_test
async def test_a_templates_model_has_the_same_address_as_the_mail(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    assert (await post("/rest/email/contactform", {**FORM, "template_id": "7"})).status == 200
    [message] = postmark.messages
    assert ADDRESS.search(message["ReplyTo"])
    assert message["TemplateModel"]["ReplyTo"] == message["ReplyTo"]


@pytest.mark.gen_test
async def test_a_reply_to_that_is_not_the_writers_stays(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    await post("/rest/email/contactform", {**FORM, "reply_to": "team@example.gov"})
    assert postmark.messages[0]["ReplyTo"] == "team@example.gov"
    assert addresses(site) == []


@pytest.mark.gen_test
async def test_what_is_refused_or_a_robots_leaves_no_reply_address(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    await post("/rest/email/contactform", {**FORM, "contact": "robot"})
    await post("/rest/email/contactform", {**FORM, "to_address": "x@example.com"})
    assert addresses(site) == []


def addresses(site: Site) -> list[dict[str, Any]]:
    return stored.rows(site.store, "SELECT * FROM reply_addresses ORDER BY expires_at")


# What is dropped: the mail's changes, or what is done to its address, and the reason.
HEADER = [
    (("Auto-Submitted", "auto-replied"), "automatic"),
    (("Return-Path", "<>"), "automatic"),
    (("Precedence", "bulk"), "automatic"),
    (("X-Relay-Hop", "1"), "loop"),
]
DROPPED: list[tuple[dict[str, Any], Callable[[str], str], str]] = [
    *(
        ({"Headers": [{"Name": name, "Value": value}]}, str, reason)
        for (name, value), reason in HEADER
    ),
    ({}, lambda address: address.replace(".", ".a", 1)[:29] + "@inbound.example.gov", "forged"),
    ({}, lambda address: address[:-28] + "@inbound.example.gov", "forged"),
    ({}, lambda address: "r@inbound.example.gov", "forged"),
    ({}, lambda address: address.replace("inbound.", "inbound2."), "domain"),
    ({}, lambda address: "s" + address[1:], "domain"),
    ({"From": "jane@example.com"}, str, "stranger"),
    ({"From": "jane@sub.example.gov"}, str, "stranger"),
    ({"From": "jane@example.gov.example.com"}, str, "stranger"),
    ({"From": "resident@example.com", "ReplyTo": "jane@example.gov"}, str, "stranger"),
    ({"From": "", "FromName": "jane@example.gov"}, str, "stranger"),
    ({"From": "jane@example.com <jane@example.gov>, x"}, str, "stranger"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("changes", "change", "reason"), DROPPED, ids=[str(n) for n in range(len(DROPPED))]
)
async def test_what_is_no_answer_of_the_office_is_dropped_and_not_told_again(
    site: Site,
    post: Post,
    postmark: FakePostmark,
    outbox: Outbox,
    events: list[dict[str, Any]],
    changes: dict[str, Any],
    change: Callable[[str], str],
    reason: str,
) -> None:
    address = await reply_address(post, postmark)
    await tell(post, inbound(change(address), **changes))
    await settled(site)
    assert (len(postmark.messages), len(outbox.rows())) == (1, 1)
    assert site.replies.told() == [f"1 {reason}"]
    [event] = [event for event in events if event["event"] == "reply.dropped"]
    assert (event["reason"], event["server"]) == (reason, "contactform")
    assert address.partition("+")[2][:16] not in repr(event)
    # Nothing of it stands in the way of a genuine answer.
    await tell(post, inbound(address))
    await settled(site)
    assert len(postmark.messages) == 2


def alerts(outbox: Outbox) -> list[dict[str, Any]]:
    """The alerts that were stored, oldest first."""
    return [row["document"] for row in outbox.rows() if row["server"] == "alerts"]


@pytest.mark.gen_test
async def test_an_operator_is_told_of_answers_that_a_person_may_have_written(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)
    for changes, change, _ in DROPPED:
        await tell(post, inbound(change(address), **changes))
    await tell(post, inbound(address), "/rest/email/postmark/other/inbound")
    await site.alerts.look(time.time())
    [alert] = alerts(outbox)
    assert alert["subject"] == "[Relay] contactform, other: 9 answers not passed on"
    assert "Reasons:  stranger 6, domain 2" in alert["text"]
    assert "Reasons:  server 1" in alert["text"]
    assert "@" not in alert["text"]


@pytest.mark.gen_test
async def test_an_address_of_another_account_is_dropped(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)
    await tell(post, inbound(address), "/rest/email/postmark/other/inbound")
    assert len(outbox.rows()) == 1
    assert site.replies.told() == ["1 server"]


def reply(site: Site, address: str, identity: str = "id") -> Reply:
    """What the plugin reads out of an inbound mail."""
    callback = Callback("contactform", "inbound", inbound(address, MessageID=identity))
    told = site.chains["contactform"].receive(callback)
    assert isinstance(told, Reply)
    return told


@pytest.mark.gen_test
async def test_the_21st_answer_of_an_hour_is_dropped_and_the_next_hour_begins_anew(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address, server = await reply_address(post, postmark), site.chains["contactform"].server
    now = addresses(site)[0]["expires_at"] - 50 * DAY
    for number in range(21):
        await site.replies.take(reply(site, address, f"{number}"), server, now + number)
    assert len(outbox.rows()) == 21
    assert site.replies.told() == ["20 passed_on", "1 too_many"]
    await site.replies.take(reply(site, address, "another"), server, now + 3599)
    assert len(outbox.rows()) == 21
    await site.replies.take(reply(site, address, "later"), server, now + 3600)
    assert len(outbox.rows()) == 22
    # Another address has an hour of its own.
    other = await reply_address(post, postmark)
    await site.replies.take(reply(site, other, "other"), server, now + 3600)
    assert len(outbox.rows()) == 24


@pytest.mark.gen_test
async def test_an_address_expires_and_is_forgotten(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    first = await reply_address(post, postmark, "member")
    second = await reply_address(post, postmark)
    server = site.chains["contactform"].server
    short, long = addresses(site)
    assert long["expires_at"] - short["expires_at"] == pytest.approx(88 * DAY, abs=60)
    end = short["expires_at"]
    await site.replies.take(reply(site, first, "1"), server, end)
    assert site.replies.told() == ["1 expired"]
    await site.replies.take(reply(site, first, "2"), server, end - 1)
    assert len(outbox.rows()) == 3
    assert await site.store.write(reply_addresses.forget, end) == 1
    assert [row["id"] for row in addresses(site)] == [second[2:18]]
    await site.replies.take(reply(site, first, "3"), server, end - 1)
    assert len(outbox.rows()) == 3
    # The chores of every running daemon do so; neither is old enough for them.
    await housekeeping.forget(site.store)
    assert len(addresses(site)) == 1


@pytest.mark.gen_test
async def test_where_the_store_fails_nothing_of_the_answer_is_left(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)

    def hinder(connection: Connection, batch: list[str]) -> list[None]:
        connection.execute(text(batch[0]))
        return [None]

    trigger = "CREATE TRIGGER hinder BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'x'); END"
    site.store.write_now(hinder, [trigger])
    failed = await post(PATH, content=inbound(address), key=None, headers=CREDENTIALS)
    assert failed.status >= 500
    assert len(outbox.rows()) == 1
    site.store.write_now(hinder, ["DROP TRIGGER hinder"])
    await tell(post, inbound(address))
    await settled(site)
    assert len(postmark.messages) == 2


@pytest.mark.gen_test
async def test_files_that_do_not_fit_are_named_in_the_history(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)
    files = (Attachment("plan.pdf", "application/pdf", "eHh4"), Attachment("x", "x", "junk!"))
    told = reply(site, address)
    told = replace(told, message=replace(told.message, attachments=files))
    server = site.chains["contactform"].server
    await site.replies.take(told, server, addresses(site)[0]["expires_at"] - DAY)
    await settled(site)
    assert [one["Name"] for one in postmark.messages[1]["Attachments"]] == ["plan.pdf"]
    notice = "These files of the answer could not be passed on: x\n\nGreen it will be."
    assert postmark.messages[1]["TextBody"].startswith(notice)
    words = ("warning", "1 of its files were left out")
    assert words in stored.happened(site.store, outbox.last()["id"])


GIANTS = [
    {"TextBody": "x" * 1_000_001},
    {"TextBody": "x" * 1_000_001, "HtmlBody": ""},
    {"TextBody": "", "HtmlBody": f"<p>{'x' * 1_000_001}</p>"},
    {"TextBody": " ", "HtmlBody": f"<p>{'x' * 10_001}</p>" * 100},
    {"TextBody": "x" * 1_000_001, "Attachments": [{"Name": "a.exe", "Content": "eHh4"}]},
]


@pytest.mark.gen_test(timeout=30)
async def test_an_answer_that_is_too_long_is_held_for_a_person_who_is_told(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    address = await reply_address(post, postmark)
    form = outbox.last()["id"]
    for number, changes in enumerate(GIANTS, 1):
        mail = inbound(address, MessageID=f"mail {number}", **changes)
        for _ in range(2):
            await tell(post, mail)
        await settled(site)
        held = outbox.last()
        assert (held["state"], len(outbox.rows()), len(postmark.messages)) == (
            "held",
            number + 1,
            1,
        )
        assert held["words"].startswith("an answer of 1,000")
        assert f"an answer is held as {held['id']}" in [
            words for _, words in stored.happened(site.store, form)
        ]
    assert site.replies.told() == [f"{len(GIANTS)} held", f"{len(GIANTS)} repeated"]
    assert len([event for event in events if event["event"] == "reply.held"]) == len(GIANTS)
    assert site.dispatcher.waiting == 0
    await site.alerts.look(time.time())
    [alert] = alerts(outbox)
    assert alert["subject"] == f"[Relay] contactform: {len(GIANTS)} messages held for you"
    assert "an answer of 1,000,001 characters, of which 1,000,000 can be passed on" in alert["text"]
    assert held["id"] in alert["text"]
    # The writer gets the beginning once the operator lets it go.
    await site.store.write(operator_actions.release, Order([held["id"]], time.time()))
    site.dispatcher.revived(1)
    await settled(site)
    assert postmark.messages[-1]["To"] == "A Resident <resident@example.com>"
    assert postmark.messages[-1]["TextBody"].endswith("x" * 1_000_000)


@pytest.mark.gen_test
async def test_html_that_is_too_much_reaches_the_writer_as_text(
    site: Site, post: Post, postmark: FakePostmark, outbox: Outbox
) -> None:
    address = await reply_address(post, postmark)
    markup = "<p>answer</p>" + "<div><span>x</span></div>" * 2_000
    await tell(post, inbound(address, TextBody="", HtmlBody=markup))
    await settled(site)
    sent = postmark.messages[-1]
    assert sent["To"] == "A Resident <resident@example.com>"
    assert sent["TextBody"].startswith("answer\n\nx\nx\n")
    assert "HtmlBody" not in sent
    words = ("warning", "its HTML was too much, and is passed on as text")
    assert words in stored.happened(site.store, outbox.last()["id"])
    assert site.replies.told() == ["1 passed_on"]


@pytest.mark.gen_test
async def test_a_real_case_of_each_reply_is_passed_on(
    site: Site, post: Post, postmark: FakePostmark
) -> None:
    address = await reply_address(post, postmark)
    cases = json.loads((Path(__file__).parent / "replies.json").read_text(encoding="utf-8"))
    for number, case in enumerate(cases, 2):
        changes = case["request"]["over"]
        await tell(post, inbound(address, MessageID=case["name"], **changes))
        await settled(site)
        assert len(postmark.messages) == number, case["name"]
        lacks = case["expected"].get("TextBody_lacks")
        assert lacks is None or lacks not in postmark.messages[-1]["TextBody"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"TextBody": "one\vtwo"}, "one\ntwo"),
        ({"TextBody": "one\ftwo\v\vthree"}, "one\ntwo\n\nthree"),
        ({"TextBody": "one\v"}, "one\n"),
        ({"TextBody": "", "HtmlBody": "<p>one\vtwo</p>"}, "one two"),
        ({"TextBody": "", "HtmlBody": "<pre>one\ftwo</pre>"}, "one\ntwo"),
        ({"TextBody": "", "HtmlBody": "one\vtwo"}, "one\ntwo"),
    ],
)
async def test_vertical_tabs_and_form_feeds_of_an_answer_join_no_words(
    post: Post, site: Site, postmark: FakePostmark, changes: dict[str, Any], text: str
) -> None:
    address = await reply_address(post, postmark)
    await tell(post, inbound(address, **changes))
    await settled(site)
    assert postmark.messages[-1]["TextBody"] == text


@pytest.mark.gen_test
async def test_after_a_reload_without_the_setting_its_addresses_take_nothing(
    site: Site, load: Load, post: Post, postmark: FakePostmark, settings_toml: str
) -> None:
    address = await reply_address(post, postmark)
    site.reload(
        load(settings_toml.replace("replies = ", "# replies = ").replace("reply_days", "#"))
    )
    await tell(post, inbound(address))
    assert site.replies.told() == ["1 domain"]
    await post("/rest/email/contactform", FORM)
    assert postmark.messages[-1]["ReplyTo"] == "A Resident <resident@example.com>"


MISTAKES = [
    ('replies = "inbound.example.gov"', "replies: not a mail address"),
    ('replies = "R <r@inbound.example.gov>"', 'replies: looks like "r@inbound.example.gov"'),
    ('replies = "r+x@inbound.example.gov"', 'replies: looks like "r@inbound.example.gov"'),
    ('replies = "office@example.gov"', "replies: must not be the sender's address"),
    ('replies = "r@inbound.example.gov"\nreply_to = "a@example.gov"', "replies: reply_to would"),
    ("reply_days = 30", "reply_days: is for reply addresses: set replies too"),
    ('replies = "r@inbound.example.gov"\nreply_days = 0', "reply_days: Must be"),
]
OFFICE = """
[servers.office]
plugins = ["default", "mailbox"]
sender = "office@example.gov"
recipients = ["@example.gov"]
"""


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_a_mistake_in_the_settings_is_one_line(load: Load, line: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(f'[relay]\nlegacy_server = ""\n{OFFICE}{line}\n')
    assert f"[servers.office] {words}" in str(caught.value)
    assert "\n" not in str(caught.value)


REPLIES = 'replies = "r@inbound.example.gov"\n'


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (
            OFFICE + REPLIES,
            "no answer can come in: set webhook_secrets, and list postmark_webhooks",
        ),
        (OFFICE.replace('"default", ', "") + REPLIES, "this server takes no forms"),
        (OFFICE.replace("recipients", "#") + REPLIES, "needs recipients: only they may answer"),
    ],
    ids=["nothing comes in", "no forms", "anybody may answer"],
)
def test_reply_addresses_that_nobody_could_use_are_refused(
    load: Load, toml: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(load(f'[relay]\nlegacy_server = ""\n{toml}'), [])
    assert str(caught.value) == f"settings.toml [servers.office] replies: {words}"


class Provider:
    """A provider in threads of its own: takes every message, and keeps them in order."""

    def __init__(self) -> None:
        self.taken: queue.Queue[dict[str, Any]] = queue.Queue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                taken.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                body = json.dumps({"ErrorCode": 0, "MessageID": str(uuid.uuid4()), "Message": "OK"})
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *values: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("Line one\vline two", "Line one\nline two"),
        ("Line one\fline two", "Line one\nline two"),
        ("Line one\u2028line two", "Line one\nline two"),
        ("so long \ud83d", "so long \ufffd"),
        ("a\x00b\x1bc\x7fd\x9be", "abcde"),
        ("x \x03\b", "x "),
    ],
)
async def test_an_answer_keeps_its_lines_and_loses_what_nobody_sees(
    post: Post, site: Site, postmark: FakePostmark, given: str, text: str
) -> None:
    address = await reply_address(post, postmark)
    headers = [{"Name": "In-Reply-To", "Value": f"<form@example.gov>{given}"}]
    markup = f"<p>{given}</p>"
    mail = inbound(address, TextBody=given, HtmlBody=markup, FromName=given, Headers=headers)
    await tell(post, {**mail, "MessageID": given, "Subject": given})
    await settled(site)
    told = postmark.messages[-1]
    assert told["TextBody"] == text
    assert told["HtmlBody"] == f"<p>{text}</p>"
    words = " ".join(text.split())
    assert told["Subject"] == words
    assert words.split()[0] in told["From"]


@pytest.mark.slow
def test_a_running_daemon_passes_each_answer_on_once_also_after_a_restart(
    tmp_path: Path, provider: Provider, environment: dict[str, str]
) -> None:
    toml = SETTINGS.replace("POSTMARK_URL", provider.url)
    daemon = Daemon(tmp_path, toml, environment)
    words = "[servers.contactform] replies inbound.example.gov is an example"
    assert words in daemon.command("check").stdout
    with daemon:
        posted = daemon.post("/rest/email/contactform", environment["APPLICATION_KEY"], data=FORM)
        assert posted.json()["response"] == "Message sent"
        address = ADDRESS.search(provider.taken.get(timeout=30)["ReplyTo"])[0]
        told = daemon.post(PATH, json=inbound(address), headers=CREDENTIALS)
        assert (told.status_code, told.json()["status"]) == (200, "success")
        assert provider.taken.get(timeout=30)["To"] == "A Resident <resident@example.com>"
        assert "replies    1 passed_on" in daemon.command("status").stdout
    with daemon:
        for path in (PATH, PATH.replace("contactform", "other")):
            assert daemon.post(path, json=inbound(address), headers=CREDENTIALS).status_code == 200
        assert "replies    1 repeated, 1 server" in daemon.command("status").stdout
        other = inbound(address, MessageID="another")
        assert daemon.post(PATH, json=other, headers=CREDENTIALS).status_code == 200
        assert provider.taken.get(timeout=30)["To"] == "A Resident <resident@example.com>"
    assert provider.taken.empty()
    log = daemon.log()
    assert "resident@example.com" not in log
    assert address.partition("+")[2][:16] not in log
