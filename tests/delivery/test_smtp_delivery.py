"""SMTP from a form to the mailboxes: who has it, who is tried again, what is in doubt, fallback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from relay.delivery.in_doubt import InDoubtResolver
from relay.site import Site
from relay.store.outbox import retention
from tests.conftest import FORM, Outbox, Post
from tests.support.daemon import ROOT
from tests.support.fake_postmark import FakePostmark
from tests.support.mail_server import LOST, MailServerRig, mail_server_rig
from tests.support.stored import by

SETTINGS = """
[relay]
wait = 30

[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.desk]
plugins = ["bearer_token", "default", "journal", "smtp"]
sender = "Desk <desk@example.gov>"
recipients = ["@example.gov"]
smtp_url = "smtp://127.0.0.1:{port}?tls=none"
retry = [10]
deadline = 5
max_age_hours = 1

[servers.both]
plugins = ["bearer_token", "default", "postmark", "smtp"]
sender = "Both <both@example.gov>"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{postmark}"
smtp_url = "smtp://127.0.0.1:{port}?tls=none"
retry = [10]
deadline = 5
"""

JOURNAL = """
from relay import hookimpl

seen = []

@hookimpl
def sent(message, receipt):
    seen.append(("sent", receipt.dropped))

@hookimpl
def deferred(message, error):
    seen.append(("deferred", str(error)))

@hookimpl
def expired(message, error):
    seen.append(("expired", str(error)))
"""

EVERYBODY = {
    "to_address": "ann@example.gov, Bob@example.gov",
    "cc": "cy@example.gov",
    "bcc": "di@example.gov",
}
DESK = "/rest/email/desk"


@pytest.fixture
def rig() -> Iterator[MailServerRig]:
    with mail_server_rig() as rig:
        yield rig


@pytest.fixture
def settings_toml(rig: MailServerRig, postmark: FakePostmark, tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "journal.py").write_text(JOURNAL, encoding="utf-8")
    return SETTINGS.format(port=rig.port, postmark=postmark.url)


def journal() -> list[Any]:
    return sys.modules["relay_plugins.journal"].seen


def fates(site: Site) -> dict[str, str]:
    """What is recorded of recipients, by address."""
    query = text("SELECT address, state FROM recipients")
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    return {row.address: row.state for row in rows}


async def send(post: Post, path: str = DESK, **fields: str) -> Any:
    return await post(path, {**FORM, **EVERYBODY, **fields})


@pytest.mark.gen_test
async def test_a_form_arrives_at_all_its_recipients_and_nobody_sees_the_blind_copy(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    reply = await send(post)
    assert reply.words == "Message sent"
    id = reply.headers["X-Relay-Message-Id"]
    [taken] = rig.taken
    assert set(taken.recipients) == {f"{name}@example.gov" for name in ("ann", "Bob", "cy", "di")}
    assert taken.mail["Message-ID"] == f"<{id}@example.gov>"
    assert b"di@example.gov" not in taken.content
    row = outbox.last()
    assert (row["state"], row["delivery"], row["provider_id"]) == ("sent", "smtp", id)
    assert fates(site) == {}


@pytest.mark.gen_test
async def test_only_who_was_refused_for_now_is_tried_again(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox, events: list[Any]
) -> None:
    rig.refused = {
        "Bob@example.gov": "450 4.2.0 greylisted",
        "cy@example.gov": "550 5.1.1 cy@example.gov is unknown",
    }
    assert (await send(post)).words == "Message queued"
    assert outbox.states() == ["queued"]
    assert fates(site) == {
        "ann@example.gov": "taken",
        "di@example.gov": "taken",
        "cy@example.gov": "refused",
    }
    [told] = [event for event in events if event["event"] == "message.deferred"]
    assert (told["later"], told["dropped"]) == (1, 1)
    assert [kind for kind, _ in journal()] == ["deferred"]
    # The restart of a daemon forgets nothing of it: it stands in the store.
    rig.refused.clear()
    assert await site.dispatcher.deliver_waiting(time.time() + 13) == 1
    assert [taken.recipients for taken in rig.taken] == [
        ["ann@example.gov", "di@example.gov"],
        ["Bob@example.gov"],
    ]
    first, second = (taken.mail for taken in rig.taken)
    for name in ("Message-ID", "Date", "From", "To", "Cc", "Subject"):
        assert first[name] == second[name]
    assert outbox.states() == ["sent"]
    assert [attempt["outcome"] for attempt in outbox.attempts()] == ["partly", "sent"]
    assert [kind for kind, _ in journal()] == ["deferred", "sent"]
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_who_keeps_being_put_off_is_the_only_one_that_expires(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    rig.refused = {"cy@example.gov": "450 4.2.0 never today"}
    await send(post)
    for hour in (0.5, 0.9, 1.1, 1.2):
        await site.dispatcher.deliver_waiting(time.time() + 3600 * hour)
    assert outbox.states() == ["expired"]
    assert len(rig.taken) == 1
    assert "cy@example.gov" not in fates(site)
    assert [kind for kind, _ in journal()] == ["deferred"] * 4 + ["expired"]


@pytest.mark.gen_test
async def test_where_some_have_it_and_the_rest_is_refused_for_good_it_was_sent_without_them(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    rig.refused = {"cy@example.gov": "450 4.2.0 later"}
    reply = await send(post)
    rig.refused = {"cy@example.gov": "550 5.1.1 unknown after all"}
    await site.dispatcher.deliver_waiting(time.time() + 13)
    row = outbox.last()
    assert row["state"] == "sent"
    assert row["provider_id"] == reply.headers["X-Relay-Message-Id"]
    assert "taken without cy@example.gov" in row["words"]
    assert fates(site)["cy@example.gov"] == "refused"
    assert journal()[-1] == ("sent", ("cy@example.gov",))
    assert len(rig.taken) == 1


@pytest.mark.gen_test
async def test_an_answer_that_is_lost_for_the_rest_sends_nothing_to_the_others(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    rig.refused = {"ann@example.gov": "450 4.2.0 later"}
    await send(post)
    rig.refused.clear()
    rig.answers["END"] = [LOST]
    now = time.time()
    await site.dispatcher.deliver_waiting(now + 13)
    assert outbox.states() == ["in_doubt"]
    doubts = InDoubtResolver(
        site.store, lambda: site.chains, site.dispatcher.revived, site.dispatcher.settled
    )
    for seconds in (140, 640):
        await doubts.look(now + seconds)
    await site.dispatcher.deliver_waiting(now + 700)
    doubts.stop()
    assert outbox.states() == ["sent"]
    assert [taken.recipients for taken in rig.taken[1:]] == [["ann@example.gov"]] * 2


@pytest.mark.gen_test
async def test_a_blind_copy_alone_is_left_for_later(
    site: Site, post: Post, rig: MailServerRig
) -> None:
    rig.refused = {"di@example.gov": "450 4.2.0 later"}
    await send(post)
    rig.refused.clear()
    await site.dispatcher.deliver_waiting(time.time() + 13)
    first, second = rig.taken
    assert second.recipients == ["di@example.gov"]
    assert first.mail["To"] == second.mail["To"]
    assert b"di@example.gov" not in second.content


@pytest.mark.gen_test
async def test_nobody_asks_the_store_about_recipients_where_nothing_is_known_of_them(
    site: Site, post: Post, rig: MailServerRig
) -> None:
    statements: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    engines = (site.store._reading, site.store._writing)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", hear)
    assert (await send(post)).words == "Message sent"
    # From memory, and from the store.
    await site.pauses.pause("desk", by("somebody"))
    await send(post)
    await site.pauses.resume("desk", by("somebody"))
    await site.dispatcher.deliver_waiting()
    assert len(rig.taken) == 2
    assert not [one for one in statements if "FROM recipients" in one or "INTO recipients" in one]


@pytest.mark.gen_test
async def test_after_a_lost_answer_it_waits_ten_minutes_and_goes_again_as_the_same_mail(
    site: Site, post: Post, rig: MailServerRig, outbox: Outbox, events: list[Any]
) -> None:
    rig.answers["END"] = [LOST, LOST]
    now = time.time()
    assert (await send(post)).words == "Message queued"
    assert outbox.states() == ["in_doubt"]
    doubts = InDoubtResolver(
        site.store, lambda: site.chains, site.dispatcher.revived, site.dispatcher.settled
    )
    for seconds in (125, 300, 595):
        await doubts.look(now + seconds)
        assert outbox.states() == ["in_doubt"]
        assert await site.dispatcher.deliver_waiting(now + seconds) == 0
    await doubts.look(now + 640)
    [row] = outbox.rows()
    assert (row["state"], row["maybe_twice"]) == ("queued", 1)
    [told] = [event for event in events if event["event"] == "message.resent"]
    assert told["note"] == "may be delivered twice"
    # Lost again, it is for a person to decide.
    await site.dispatcher.deliver_waiting(now + 650)
    for seconds in (900, 1700):
        await doubts.look(now + seconds)
    doubts.stop()
    assert outbox.states() == ["held"]
    assert len({taken.mail["Message-ID"] for taken in rig.taken}) == 1
    assert len(rig.taken) == 2


@pytest.mark.gen_test
async def test_smtp_takes_over_while_postmark_is_down_with_the_same_id(
    site: Site, post: Post, rig: MailServerRig, postmark: FakePostmark, outbox: Outbox
) -> None:
    down = (503, {"ErrorCode": 100, "Message": "maintenance"})
    postmark.answers = [down] * 6
    replies = [await send(post, "/rest/email/both") for _ in range(5)]
    assert {reply.words for reply in replies} == {"Message queued"}
    assert rig.taken == []
    assert (await send(post, "/rest/email/both")).words == "Message sent"
    assert len(rig.taken) == 1
    # Of the five that are due again one is Postmark's probe, and fails.
    await site.dispatcher.deliver_waiting(time.time() + 13)
    sent = [row["id"] for row in outbox.rows() if row["state"] == "sent"]
    assert {row["delivery"] for row in outbox.rows() if row["state"] == "sent"} == {"smtp"}
    mails = {taken.mail["X-Relay-Message-Id"]: taken.mail for taken in rig.taken}
    assert (len(sent), mails.keys()) == (5, set(sent))
    assert all(mails[id]["Message-ID"] == f"<{id}@example.gov>" for id in sent)
    # Four of them Postmark was offered before, under the same id and with the same words.
    offered = {next(iter(one["Metadata"].values())): one for one in postmark.messages}
    assert len(offered.keys() & mails.keys()) == 4
    for id in offered.keys() & mails.keys():
        assert mails[id]["Subject"] == offered[id]["Subject"]


@pytest.mark.gen_test
async def test_what_only_postmark_can_render_waits_for_postmark(
    site: Site, post: Post, rig: MailServerRig, postmark: FakePostmark, outbox: Outbox
) -> None:
    postmark.answers = [(401, {"ErrorCode": 10, "Message": "no such token"})]
    await send(post, "/rest/email/both")
    assert (await send(post, "/rest/email/both", template_id="7777")).words == "Message queued"
    assert outbox.last()["state"] == "queued"
    assert outbox.attempts()[-1]["words"].startswith("its template is not stored here")
    assert rig.taken == []
    postmark.answers = []
    for seconds in (13, 30, 60):
        await site.dispatcher.deliver_waiting(time.time() + seconds)
    assert outbox.states() == ["sent", "sent"]
    assert [row["delivery"] for row in outbox.rows()][1] == "postmark"


@pytest.mark.gen_test
async def test_alone_it_refuses_a_template_that_is_not_stored_by_name(
    post: Post, rig: MailServerRig, outbox: Outbox
) -> None:
    reply = await send(post, template_id="7777")
    assert (reply.status, outbox.states()) == (400, ["failed"])
    assert "7777" in reply.words
    assert rig.connections == 0


def printed(settings: Path, *command: str) -> str:
    """What a command of run.py prints."""
    secrets = {"APPLICATION_KEY": "a" * 40, "POSTMARK_TOKEN": "token"}
    ran = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--settings", str(settings), *command],
        env={**os.environ, **secrets, "CA": "no certificate", "PASSWORD": "p" * 20},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ran.stdout + ran.stderr


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_queue_show_tells_of_every_recipient_and_retention_forgets_them(
    site: Site, post: Post, rig: MailServerRig, tmp_path: Path
) -> None:
    rig.refused = {"Bob@example.gov": "450 4.2.0 later", "cy@example.gov": "550 5.1.1 unknown"}
    id = (await send(post)).headers["X-Relay-Message-Id"]
    shown = printed(tmp_path / "settings.toml", "queue", "show", id)
    lines = [line.strip() for line in shown.splitlines()]
    assert "bob@example.gov  queued" in lines
    for words in ("ann@example.gov  taken at ", "cy@example.gov  refused at "):
        assert [line for line in lines if line.startswith(words)], shown
    assert any("partly by smtp" in line and "450 4.2.0 later" in line for line in lines)
    rig.refused.clear()
    await site.dispatcher.deliver_waiting(time.time() + 13)
    servers = [chain.server for chain in site.chains.values()]
    assert await retention.clear_old(site.store, servers, time.time() + 40 * 86400) == 1
    assert fates(site) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('smtp_url = "smtp://user:pass@a.gov"', "smtp_url: a password stands elsewhere"),
        ('smtp_url = "smtp://user@a.gov"', "smtp_url: a user and an smtp_password"),
        ('smtp_url = "smtp://a.gov"\nsmtp_password = "x"', "smtp_password: a secret stands"),
        ('smtp_url = "smtp://a.gov"\nsmtp_ca = { env = "CA" }', "smtp_url: the certificates"),
        ("", "smtp_url: "),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(tmp_path: Path, line: str, words: str) -> None:
    output = check(tmp_path, line)
    assert len(output.splitlines()) == 1
    assert words in output
    assert "pass@" not in output


def check(folder: Path, lines: str) -> str:
    """What `run.py check` says of a server with these lines."""
    path = folder / "settings.toml"
    head = '[servers.desk]\nplugins = ["smtp"]\nsender = "a@example.gov"\n'
    path.write_text(head + lines, encoding="utf-8")
    return printed(path, "check")


@pytest.mark.slow
def test_check_names_a_mail_server_without_tls(tmp_path: Path) -> None:
    warning = "[servers.desk] smtp_url has no TLS"
    assert warning in check(tmp_path, 'smtp_url = "smtp://mail.example.gov?tls=none"')
    for url in ("smtp://127.0.0.1?tls=none", "smtp://mail.example.gov", "smtps://a.gov"):
        assert warning not in check(tmp_path, f'smtp_url = "{url}"')
    password = 'smtp_password = { env = "PASSWORD" }'
    assert warning not in check(tmp_path, f'smtp_url = "smtp://u@a.gov"\n{password}')
