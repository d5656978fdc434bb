"""The screen of the people: invited, changed, signed out, removed."""

import re

import pytest

from relay.operators.people import FIRST
from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts
from relay.store.acts import Wanted
from tests.conftest import SETTINGS
from tests.support.stored import by
from tests.web.console.conftest import PASSWORD, Browser, SignIn

pytestmark = pytest.mark.slow


@pytest.mark.gen_test
async def test_an_admin_invites_somebody_who_then_signs_in(
    signed_in: SignIn, site: Site, browser: Browser
) -> None:
    admin = await signed_in(Role.ADMIN)
    await admin.get("/operators")
    page = await admin.post("/operators", {"name": " Jo@Example.gov ", "role": "operator"})
    [link] = re.findall(r"<code>(http://[^<]+)</code>", page.text)
    assert link.startswith(f"{admin.url}/sign-in/link/")
    assert link not in (await admin.get("/operators")).text
    path = link.removeprefix(admin.url)
    page = await browser.get(path)
    assert (page.status, "jo@example.gov" in page.text) == (200, True)
    browser.cookie = (await browser.post(path, {"password": PASSWORD, "again": PASSWORD})).cookie
    assert "(operator)" in (await browser.get("/")).text
    assert (await browser.get("/operators")).status == 403


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"order": "role", "role": "operator"}, "another role"),
        ({"order": "link"}, "/sign-in/link/"),
        ({"order": "sign-out"}, "sessions of jo are over"),
        ({"order": "remove"}, "jo is removed"),
    ],
)
@pytest.mark.gen_test
async def test_an_order_is_done_and_is_an_act(
    signed_in: SignIn, site: Site, form: dict[str, str], words: str
) -> None:
    admin = await signed_in(Role.ADMIN)
    await site.people.invite("jo", Role.VIEWER, by(FIRST))
    await site.people.begin(await site.people.named("jo"), by("jo"))
    assert "jo" in (await admin.get("/operators/jo")).text
    page = await admin.post("/operators/jo", form)
    assert (page.status, words in page.text) == (200, True)
    [(_, act)] = site.store.read_now(acts.page, Wanted(), 1).rows
    assert (act.by.way, act.target) == ("console", "jo")
    assert act.by.who.startswith("admin")


@pytest.mark.parametrize(
    ("path", "form", "why"),
    [
        ("/operators", {"name": "jo", "role": "admin"}, "somebody called jo already"),
        ("/operators", {"name": "j o", "role": "admin"}, "letters, digits"),
        ("/operators", {"name": "ada", "role": "root"}, "a role is one of"),
        ("/operators", {"name": "", "role": "viewer"}, "letters, digits"),
        ("/operators/jo", {"order": "erase"}, "no order erase"),
        ("/operators/jo", {"order": "role", "role": ""}, "a role is one of"),
        ("/operators/jo", {"order": "second-factor"}, "no second factor"),
        ("/operators/ada", {"order": "remove"}, "nobody called ada"),
    ],
)
@pytest.mark.gen_test
async def test_what_cannot_be_is_said_in_words_and_changes_nothing(
    signed_in: SignIn, site: Site, path: str, form: dict[str, str], why: str
) -> None:
    admin = await signed_in(Role.ADMIN)
    await site.people.invite("jo", Role.VIEWER, by(FIRST))
    await admin.get("/operators")
    before = await site.people.listed()
    page = await admin.post(path, form)
    assert (page.status, why in page.text) == (400, True)
    assert await site.people.listed() == before


@pytest.mark.gen_test
async def test_the_last_admin_is_neither_removed_nor_demoted(signed_in: SignIn, site: Site) -> None:
    admin = await signed_in(Role.ADMIN)
    [person] = await site.people.listed()
    await admin.get("/operators")
    for form in ({"order": "remove"}, {"order": "role", "role": "viewer"}):
        page = await admin.post(f"/operators/{person.name}", form)
        assert (page.status, "last admin" in page.text) == (400, True)
    assert (await admin.get("/operators")).status == 200


@pytest.mark.parametrize("settings_toml", [f"{SETTINGS}\n[console]\npasswords = false\n"])
@pytest.mark.gen_test
async def test_without_passwords_nobody_is_invited(
    signed_in: SignIn, site: Site, browser: Browser
) -> None:
    secret = await site.people.invite("jo", Role.VIEWER, by(FIRST))
    assert (await browser.get(f"/sign-in/link/{secret}")).status == 404
    admin = await signed_in(Role.ADMIN)
    await admin.get("/operators")
    page = await admin.post("/operators", {"name": "ada", "role": "viewer"})
    assert (page.status, "passwords are off" in page.text) == (400, True)
