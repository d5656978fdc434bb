"""The console's screens: what each shows to whom, and what its forms do."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from relay.core import clock
from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts, canaries
from relay.store.acts import Wanted
from relay.store.canaries import Canary, NewCanary
from relay.store.engine.disk_space import Space
from relay.store.schema import contents
from relay.store.suppressions import Word
from relay.templates.rules import TemplateDraft
from tests.conftest import Outbox
from tests.support.keys import key
from tests.support.stored import by, put, row
from tests.web.console.conftest import SignIn

SETTINGS = (
    key("application", "contactform")
    + """
[servers.contactform]
plugins = ["bearer_token", "honeypot", "contactform", "mailbox"]
sender = "relay@example.gov"
recipients = ["@example.gov"]

[servers.parks]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "parks@example.gov"
recipients = ["@example.gov"]
"""
)
REFUSED = "406 You tried to send to jane{}@example.com, which is inactive (request 123456)"


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


def now() -> float:
    return clock.now()


def did(site: Site) -> list[tuple[str, str]]:
    """What people did, oldest first: verb and target."""
    rows = site.store.read_now(acts.page, Wanted(), 1000).rows
    quiet = ("invite", "sign in")
    return [(act.verb, act.target) for _, act in rows[::-1] if act.verb not in quiet]


def says(site: Site, id: str, **columns: str) -> None:
    """Have a message say something."""

    def change(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        connection.execute(update(contents).where(contents.c.id == id).values(columns))
        return batch

    site.store.write_now(change, [None])


SCREENS = ("/", "/messages", "/to-do", "/screened", "/suppressions", "/servers", "/templates")


@pytest.mark.gen_test
async def test_every_screen_is_shown_also_when_there_is_nothing(signed_in: SignIn) -> None:
    browser = await signed_in(Role.ADMIN)
    for path in (*SCREENS, "/acts", "/servers/contactform", "/servers/parks/try"):
        page = await browser.get(path)
        assert (path, page.status) == (path, 200)
        assert page.text.count("<h1") == 1
    for path in ("/nothing", "/servers/nothing", "/work/0123456789abcdef", "/templates/parks/7"):
        assert (path, (await browser.get(path)).status) == (path, 404)


@pytest.mark.gen_test
async def test_the_overview_says_in_one_sentence_how_it_stands(
    site: Site, signed_in: SignIn
) -> None:
    browser = await signed_in(Role.VIEWER)
    assert "All mail is flowing." in (await browser.get("/")).text
    put(site.store, 1, "failed", at=now())
    assert "All mail is flowing; 1 message needs a person." in (await browser.get("/")).text
    put(site.store, 2, "queued", server="parks", at=now() - 900)
    page = await browser.get("/")
    assert "1 message waits, the oldest for 15m." in page.text
    await site.pauses.pause("parks", by("jo"))
    page = await browser.get("/")
    assert "parks is paused: 1 message waits." in page.text
    assert page.text.count("<svg") == 2 + 2  # the two charts, and a line for each server
    assert "<table" in page.text


@pytest.mark.gen_test
async def test_the_overview_says_that_the_disk_is_full(
    site: Site, signed_in: SignIn, tmp_path: Path
) -> None:
    browser = await signed_in(Role.VIEWER)
    whole = os.statvfs(tmp_path)
    full = os.statvfs_result([*whole[:4], 0, *whole[5:10]])
    site.space = Space(tmp_path, look=lambda folder: full)
    page = await browser.get("/")
    assert "The disk is full: posts are refused until there is room." in page.text
    assert "0 MB free" in page.text


@pytest.mark.gen_test
async def test_a_server_is_paused_and_resumed_by_a_click(site: Site, signed_in: SignIn) -> None:
    browser = await signed_in(Role.OPERATOR)
    await browser.get("/")
    page = await browser.post("/servers/parks/pause", {"back": "overview"})
    assert (page.status, page.headers["Location"]) == (303, "/")
    assert site.pauses.names() == {"parks"}
    await browser.post("/servers/parks/resume")
    assert not site.pauses.names()
    assert did(site) == [("pause", "parks"), ("resume", "parks")]


@pytest.mark.gen_test
async def test_a_page_of_a_server_says_all_but_its_secrets(signed_in: SignIn) -> None:
    operator, viewer = await signed_in(Role.OPERATOR), await signed_in(Role.VIEWER)
    page = await operator.get("/servers/contactform")
    for said in ("authenticate", "bearer_token", "delivers to the embedded mailbox", "max_age"):
        assert said in page.text
    assert "relay@example.gov" in page.text
    assert "relay@example.gov" not in (await viewer.get("/servers/contactform")).text


@pytest.mark.gen_test
async def test_a_page_of_a_server_says_how_its_canaries_do(site: Site, signed_in: SignIn) -> None:
    arrived = Canary("contactform", "", 1_790_000_000.0, False, 1_790_000_004.0, 4.0)
    site.store.write_now(canaries.begin, [NewCanary(arrived, None)])
    viewer = await signed_in(Role.VIEWER)
    page = await viewer.get("/servers/contactform")
    assert "<dd>arrived 2026-09-21 14:13:24Z, took 4s</dd>" in page.text
    assert "Canary" not in (await viewer.get("/servers/default")).text


@pytest.mark.gen_test
async def test_a_form_is_tried_and_nothing_is_stored(signed_in: SignIn, outbox: Outbox) -> None:
    browser = await signed_in(Role.OPERATOR)
    await browser.get("/servers/contactform/try")
    form = {
        "f_to_address": "desk@example.gov",
        "f_from_address": "jane@example.com",
        "f_name": "Jane",
        "f_subject": "Green <roads>",
        "f_message": "Hello.",
        "f_url": "https://www.example.gov/contact",
    }
    page = await browser.post("/servers/contactform/try", form)
    assert "It would become this message." in page.text
    assert "Green &lt;roads&gt;" in page.text
    page = await browser.post("/servers/contactform/try", form | {"f_to_address": "x"})
    assert "It would be refused" in page.text
    assert 'value="jane@example.com"' in page.text  # what was typed stays
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_messages_are_found_by_who_may_find_them(site: Site, signed_in: SignIn) -> None:
    operator, viewer = await signed_in(Role.OPERATOR), await signed_in(Role.VIEWER)
    id = put(site.store, 1, "failed", at=now() - 5)
    says(site, id, recipients="jane@example.com", subject="Roads")
    other = put(site.store, 2, "sent", at=now() - 4, server="parks")
    says(site, other, subject="Trees")
    page = await operator.get("/messages")
    assert page.text.index(other) < page.text.index(id)
    for words, found in (
        ("jane@example.com", id),
        ("roads", id),
        ("state:failed", id),
        ("server:parks", other),
        ("Tre*", other),
    ):
        text = (await operator.get(f"/messages?q={words.replace('@', '%40')}")).text
        assert (words, id in text, other in text) == (words, found == id, found == other)
    page = await viewer.get("/messages?q=state:failed")
    assert id in page.text
    assert "Roads" not in page.text
    assert "jane@example.com</td>" not in page.text
    page = await viewer.get("/messages?q=jane")
    assert "Your role searches by server" in page.text
    assert id not in page.text
    page = await operator.get("/messages?q=before:soon")
    assert "is not a date" in page.text
    assert 'value="before:soon"' in page.text


@pytest.mark.gen_test
async def test_what_was_found_is_taken_away(site: Site, signed_in: SignIn) -> None:
    browser = await signed_in(Role.OPERATOR)
    says(site, put(site.store, 1, "failed", at=now() - 5), subject="=cmd|' /C calc'!A0")
    says(site, put(site.store, 2, "sent", at=now() - 5), subject="Trees")
    page = await browser.get("/messages/export?q=state:failed&as=csv")
    assert page.headers["Content-Type"].startswith("text/csv")
    lines = page.text.splitlines()
    assert (len(lines), "'=cmd" in lines[1]) == (2, True)
    page = await browser.get("/messages/export?as=json")
    assert next(json.loads(line)["subject"] for line in page.text.splitlines()) == "Trees"
    assert (await browser.get("/messages/export?as=xlsx")).status == 400
    assert did(site) == [("export", "messages")] * 2


@pytest.mark.gen_test
async def test_what_failed_for_one_cause_is_one_group_and_one_order(
    site: Site, signed_in: SignIn
) -> None:
    browser = await signed_in(Role.OPERATOR)
    at = now() - 60
    ids = [put(site.store, n, "failed", at=at, words=REFUSED.format(n)) for n in range(120)]
    other = put(site.store, 300, "failed", at=at, words="500 something else")
    page = await browser.get("/to-do")
    assert page.text.count('<section class="sheet group">') == 2
    assert "120 messages of contactform" in page.text
    assert "(address)" in page.text
    assert "jane7@" not in page.text
    [first, *_] = page.text.split("</section>")
    form = dict(re.findall('name="([a-z]+)" value="([^"]*)"', first))
    page = await browser.post("/to-do", form | {"order": "dismiss"})
    assert page.status == 303
    await site.works.ended()
    page = await browser.get(page.headers["Location"])
    assert "120 done" in page.text
    assert {verb for verb, _ in did(site)} == {"dismiss"}
    assert len(did(site)) == 120
    page = await browser.get("/to-do")
    assert ids[0] not in page.text
    assert other in page.text


@pytest.mark.gen_test
async def test_all_of_a_group_is_sent_to_another_address(
    site: Site, signed_in: SignIn, outbox: Outbox
) -> None:
    browser = await signed_in(Role.OPERATOR)
    ids = [put(site.store, n, "failed", at=now() - 60, words="no such office") for n in range(3)]
    await browser.get("/to-do")
    form = {"state": "failed", "server": "contactform", "cause": "no such office", "broken": "0"}
    page = await browser.post("/to-do", form | {"order": "readdress", "address": "nobody"})
    assert page.headers["Location"] == "/to-do"
    page = await browser.post("/to-do", form | {"order": "readdress", "address": "a@example.gov"})
    await site.works.ended()
    assert "3 done" in (await browser.get(page.headers["Location"])).text
    again = [one for one in outbox.rows() if one["id"] not in ids]
    assert [one["document"]["to"] for one in again] == [[["a@example.gov", ""]]] * 3
    assert "Nothing to do" in (await browser.get("/to-do")).text


@pytest.mark.parametrize(
    "change",
    [
        {"order": "explode"},
        {"order": "cancel"},
        {"state": "sent"},
        {"state": "nothing"},
        {"server": None},
    ],
)
@pytest.mark.gen_test
async def test_an_order_that_there_is_not_is_refused(
    site: Site, signed_in: SignIn, change: dict[str, Any]
) -> None:
    browser = await signed_in(Role.OPERATOR)
    id = put(site.store, 1, "failed", at=now(), words="no")
    await browser.get("/to-do")
    form = {
        "state": "failed",
        "server": "contactform",
        "cause": "no",
        "broken": "0",
        "order": "retry",
    }
    given = {name: value for name, value in (form | change).items() if value is not None}
    assert (await browser.post("/to-do", given)).status == 400
    assert row(site.store, id)["state"] == "failed"
    assert did(site) == []


@pytest.mark.gen_test
async def test_one_message_is_ordered_about_on_its_page(site: Site, signed_in: SignIn) -> None:
    browser = await signed_in(Role.OPERATOR)
    id = put(site.store, 1, "failed", at=now() - 9)
    await browser.get("/to-do")
    page = await browser.post(f"/messages/{id}/orders", {"order": "retry"})
    assert (page.status, page.headers["Location"]) == (303, f"/messages/{id}")
    # What it is by now depends on how quick delivery was.
    [ordered] = site.store.read_now(acts.of, id)
    assert (ordered.before, ordered.after) == ("failed", "queued")
    second = put(site.store, 2, "failed", at=now() - 8)
    for typed, status in (("no address", "failed"), ("a@example.com", "failed")):
        await browser.post(f"/messages/{second}/orders", {"order": "readdress", "address": typed})
        assert row(site.store, second)["state"] == status
    page = await browser.post(
        f"/messages/{second}/orders", {"order": "readdress", "address": " other@example.gov "}
    )
    again = page.headers["Location"].rpartition("/")[2]
    assert again != second
    assert (await browser.post(f"/messages/{id}/orders", {"order": "explode"})).status == 400
    assert did(site) == [("retry", id), ("readdress", second)]


@pytest.mark.gen_test
async def test_addresses_are_suppressed_and_lifted(site: Site, signed_in: SignIn) -> None:
    browser = await signed_in(Role.OPERATOR)
    await browser.get("/suppressions")
    form = {"group": "contactform", "order": "add", "addresses": "Jane@example.com\n\nbad\n"}
    page = await browser.post("/suppressions", form)
    assert (page.status, "line 3, bad" in page.text) == (400, True)
    assert "Jane@example.com" in page.text  # what was typed stays
    form["addresses"] = "address,reason\njane@example.com,old\njo@example.com,old\n"
    assert (await browser.post("/suppressions", form)).status == 303
    page = await browser.get("/suppressions")
    assert "jane@example.com" in page.text
    exported = (await browser.get("/suppressions/export?as=csv")).text.splitlines()
    assert len(exported) == 3
    form = {"group": "contactform", "order": "lift", "addresses": "jane@example.com"}
    await browser.post("/suppressions", form)
    page = await browser.get("/suppressions")
    assert "jane@example.com" not in page.text
    assert "jo@example.com" in page.text
    assert [verb for verb, _ in did(site)] == ["suppress", "suppress", "lift"]


@pytest.mark.gen_test
async def test_versions_of_a_template_are_compared_and_restored(
    site: Site, signed_in: SignIn
) -> None:
    draft = TemplateDraft(name="Welcome", alias="welcome", subject="Hi", text="One\nTwo\n")
    new = await site.library.create("contactform", draft, by("ada"))
    await site.library.edit("contactform", new.id, TemplateDraft(text="One\n<Three>\n"), by("jo"))
    place = f"/templates/contactform/{new.id}"
    operator, admin = await signed_in(Role.OPERATOR), await signed_in(Role.ADMIN)
    assert "welcome" in (await operator.get("/templates")).text
    page = await operator.get(f"{place}?version=1")
    assert "<del>Two</del>" in page.text
    assert "<ins>&lt;Three&gt;</ins>" in page.text
    assert (await operator.post(f"{place}/restore", {"version": "1"})).status == 403
    await admin.get(place)
    assert (await admin.post(f"{place}/restore", {"version": "x"})).status == 400
    assert (await admin.post(f"{place}/restore", {"version": "1"})).status == 303
    restored = await site.library.find("contactform", new.id)
    assert (restored.version, restored.text) == (3, "One\nTwo\n")
    assert (await operator.get(f"{place}?version=9")).status == 404


@pytest.mark.gen_test
async def test_acts_are_listed_searched_and_taken_away(site: Site, signed_in: SignIn) -> None:
    browser = await signed_in(Role.OPERATOR)
    await site.pauses.pause("parks", by("ada"))
    word = Word("parks", "jane@example.com", "manual", now(), words="")
    await site.orders.suppress([word], by("jo"))
    page = await browser.get("/acts?q=ada")
    assert "parks" in page.text
    assert "suppress" not in page.text.partition("<main")[2]
    page = await browser.get("/acts/export?as=json")
    verbs = [json.loads(line)["verb"] for line in page.text.splitlines()]
    assert verbs[-2:] == ["pause", "suppress"]
    assert "jane" not in page.text
