"""The page of a message: why it is as it is, what happened, what it says, and who may see what."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, insert, update

from relay.cli.queue.show import _next, circumstances
from relay.cli.status import Daemon as Running
from relay.config.settings import Settings
from relay.core import clock
from relay.core.states import State
from relay.operators import timeline
from relay.operators.roles import Role
from relay.site import Site
from relay.store import installation, suppressions
from relay.store.outbox import retention
from relay.store.outbox.retention import Clearing
from relay.store.schema import contents, daemons
from relay.store.suppressions import Word
from tests.conftest import FORM, SETTINGS, Outbox
from tests.forms.test_attachments import CONTENTS, multipart
from tests.support.keys import APPLICATION_KEY
from tests.support.stored import CREATED, put
from tests.web.console.conftest import Page, SignIn

HOSTILE = "<script>alert(1)</script>\"'&"
BROKEN = """
from relay import hookimpl

@hookimpl
def compose(form, server):
    if form["subject"] == "break":
        raise KeyError("secret")
"""


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "nonsense.py").write_text(BROKEN)
    toml = SETTINGS.replace('"honeypot", "contactform"', '"honeypot", "nonsense", "contactform"')
    return toml.replace("[servers.contactform]\n", "[servers.contactform]\nattachments = true\n")


@pytest.fixture
def post(site: Site, http_client: Any, io_loop: Any) -> Any:
    """Post a form to the site's own address, as a page's script does."""
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port

    from relay.web.application import make_app

    server = HTTPServer(make_app(site))
    socket, port = bind_unused_port()
    server.add_socket(socket)

    async def posted(*files: tuple[str, str, bytes], **fields: Any) -> str:
        sent = multipart({**FORM, **fields}, list(files))
        page = {"Origin": "https://www.example.gov", "Referer": "https://www.example.gov/contact"}
        headers = {
            **page,
            "Authorization": f"token {APPLICATION_KEY}",
            "Content-Type": sent["media"],
        }
        url = f"http://127.0.0.1:{port}/rest/email/contactform"
        reply = await http_client.fetch(
            url, method="POST", headers=headers, body=sent["body"], raise_error=False
        )
        assert reply.code in (200, 500)
        return Outbox(site).last()["id"]

    yield posted
    server.stop()
    io_loop.run_sync(server.close_all_connections)


def words_of(page: Page) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"</?code>", "", page.text)
    text = re.sub(r"<[^>]+>", " ", text)
    return " ".join(html.unescape(text).split())


@pytest.mark.gen_test
async def test_a_form_is_followed_from_its_page_to_the_one_who_took_it(
    post: Any, site: Site, signed_in: SignIn
) -> None:
    id = await post(("photo", "a.png", CONTENTS["png"]), phone="617 555 0100", shoe="44")
    while site.dispatcher.waiting:
        await site.store.read(lambda connection: None)
    browser = await signed_in(Role.OPERATOR)
    page = await browser.get(f"/messages/{id}")
    said = words_of(page)
    assert page.status == 200
    for words in (
        "Why? The embedded mailbox took it; nobody else got it.",
        "Posted by a page's script on https://www.example.gov/contact with the key application",
        "Checks passed",
        "no robot's: honeypot",
        "nobody used: shoe",
        "phone the text",
        "name Reply-To, the text",
        "Attempt 1: Sent by mailbox",
        "I have a great idea",
        "desk@example.gov",
        "a.png",
    ):
        assert words in said
    assert f'value="{browser.url}/messages/{id}"' in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.text
    raw = await browser.get(f"/messages/{id}/raw")
    assert "Subject: I have a great idea" in raw.text
    file = await browser.get(f"/messages/{id}/attachments/1")
    assert "attachment" in file.headers["Content-Disposition"]
    assert (await browser.get(f"/messages/{id}/attachments/2")).status == 404
    assert (await browser.get(f"/messages/{id[:-1]}x")).status == 404
    assert (await browser.get(f"/messages/{'0' * 36}")).status == 404


@pytest.mark.gen_test
async def test_a_viewer_sees_states_and_times_and_nothing_that_somebody_wrote(
    post: Any, site: Site, signed_in: SignIn
) -> None:
    id = await post(("photo", "plan.png", CONTENTS["png"]), shoe="44")
    browser = await signed_in(Role.VIEWER)
    page = await browser.get(f"/messages/{id}")
    assert page.status == 200
    assert "Posted by a page's script" in words_of(page)
    for secret in (*FORM.values(), "shoe", "plan.png", "csrf-orders", 'name="order"'):
        assert html.escape(secret) not in page.text.replace(f"/messages/{id}", "")
    for part in ("html", "raw", "attachments/1"):
        assert (await browser.get(f"/messages/{id}/{part}")).status == 403


@pytest.mark.gen_test
@pytest.mark.parametrize("state", list(State))
async def test_every_state_has_a_page_and_queue_show_says_the_same(
    state: State, site: Site, settings: Settings, signed_in: SignIn
) -> None:
    id = put(site.store, 1, state, words=f"it says {HOSTILE}", due_at=CREATED + 60, tries=1)
    page = await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}")
    assert page.status == 200
    assert HOSTILE not in page.text
    told = site.store.read_now(timeline.gather, id)
    assert told is not None
    lines = list(_next(told, circumstances(settings, {}, Running({}), clock.now())))
    [why] = [line.removeprefix("why: ") for line in lines if line.startswith("why: ")]
    assert " ".join(why.split()) in words_of(page)
    for line in lines:
        if line.startswith("do: "):
            assert line[4:].replace("`", "") in words_of(page)


@pytest.mark.gen_test
async def test_what_strangers_write_is_text_on_the_page(
    post: Any, site: Site, signed_in: SignIn
) -> None:
    id = await post(**{HOSTILE: HOSTILE, "subject": HOSTILE, "message": HOSTILE})
    page = await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}")
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert html.escape("<script>alert(1)</script>") in page.text


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"contact": "http://spam.example"}, "a field was filled in that people do not see"),
        ({"subject": "break"}, "A plugin failed at this form, which is kept as it came: KeyError"),
    ],
)
async def test_a_submission_that_was_kept_back_shows_its_fields(
    post: Any, signed_in: SignIn, fields: dict[str, str], words: str
) -> None:
    id = await post(("photo", "a.png", CONTENTS["png"]), shoe="size 44", **fields)
    page = await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}")
    said = words_of(page)
    assert words in said
    assert "shoe size 44" in said
    assert "photo file a.png" in said
    assert 'value="release_submission"' in page.text
    assert 'value="drop_submission"' in page.text
    hidden = await (await signed_in(Role.VIEWER)).get(f"/messages/{id}")
    assert "size 44" not in hidden.text
    assert (await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}/raw")).status == 404


@pytest.mark.gen_test
async def test_pauses_suppressions_and_doubts_are_told(site: Site, signed_in: SignIn) -> None:
    group = site.chains["contactform"].server.group
    word = Word(group, "desk@example.gov", "bounced", CREATED, None, None, "no such user")
    site.store.write_now(suppressions.note, [word])
    site.store.write_now(installation.pause, [("contactform", CREATED)])
    browser = await signed_in(Role.OPERATOR)
    waits = words_of(await browser.get(f"/messages/{put(site.store, 1, 'queued')}"))
    assert "contactform is paused since 2026-09-21" in waits
    assert "run.py resume contactform" in waits
    assert f"desk@example.gov gets no mail of {group}: bounced" in waits
    lost = put(site.store, 2, "in_doubt", tried=[("in_doubt", CREATED)])
    page = await browser.get(f"/messages/{lost}")
    assert 'name="twice"' in page.text
    assert "agrees that it may arrive twice" in words_of(page)
    viewer = await signed_in(Role.VIEWER)
    assert "desk@" not in (await viewer.get(f"/messages/{lost}")).text


@pytest.mark.gen_test
async def test_a_template_is_shown_with_its_model(site: Site, signed_in: SignIn) -> None:
    id = put(site.store, 1, "sent", kind="template", delivery="postmark")
    document = (
        '{"sender":["relay@example.gov",""],"to":[["desk@example.gov",""]],"template":"welcome",'
        '"model":{"name":"<b>Jane</b>"}}'
    )

    def change(connection: Connection, batch: Any) -> Any:
        mine = update(contents).where(contents.c.id == id)
        connection.execute(mine.values(document=document))
        return batch

    site.store.write_now(change, [None])
    page = await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}")
    assert "welcome" in page.text
    assert "&lt;b&gt;Jane&lt;/b&gt;" in page.text


@pytest.mark.gen_test
async def test_what_was_cleared_keeps_its_history_and_no_order_that_sends(
    post: Any, site: Site, signed_in: SignIn
) -> None:
    id = await post()
    while site.dispatcher.waiting:
        await site.store.read(lambda connection: None)
    assert await site.store.write(retention.clear, Clearing([id], clock.now())) == 1
    page = await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}")
    assert "What it said was cleared" in words_of(page)
    assert 'name="order"' not in page.text
    assert "www.example.gov" not in page.text


@pytest.mark.gen_test
async def test_nobody_sees_it_who_is_not_signed_in(site: Site, browser: Any) -> None:
    id = put(site.store, 1, "queued")
    for part in ("", "/html", "/raw", "/attachments/1"):
        page = await browser.get(f"/messages/{id}{part}")
        path = quote(f"/messages/{id}{part}", safe="")
        assert (page.status, page.headers["Location"]) == (303, f"/sign-in?next={path}")


@pytest.mark.gen_test
async def test_a_provider_that_fails_another_daemon_is_told_of(
    site: Site, signed_in: SignIn
) -> None:
    group = site.chains["contactform"].server.group
    outage = {
        "plugin": "mailbox",
        "group": group,
        "servers": ["contactform"],
        "since": CREATED,
        "words": "no connection: ConnectionRefusedError",
        "next_probe": None,
    }
    row = {"id": 77, "host": "b", "pid": 1, "version": "1", "started_at": 0, "heartbeat_at": 0}

    def join(connection: Connection, batch: Any) -> Any:
        connection.execute(insert(daemons).values(**row, outages=json.dumps([outage])))
        return batch

    site.store.write_now(join, [None])
    id = put(site.store, 1, "queued", due_at=CREATED)
    said = words_of(await (await signed_in(Role.OPERATOR)).get(f"/messages/{id}"))
    assert f"mailbox of {group} fails since 2026-09-21" in said
    assert "Look at the URL in the settings, and whether the provider is up." in said
