"""A person's own page: password, second factor, recovery codes, sessions."""

import re

import pyotp
import pytest

from relay.core import clock
from relay.operators.people import FIRST
from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts
from relay.store.acts import Wanted
from tests.support.stored import by
from tests.web.console.conftest import PASSWORD, Browser

pytestmark = pytest.mark.slow

OTHER = "four other words by chance"


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved."""
    times = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


async def joined(browser: Browser, site: Site) -> Browser:
    """Sign jo in, by a link."""
    secret = await site.people.invite("jo", Role.VIEWER, by(FIRST))
    page = await browser.post(f"/sign-in/link/{secret}", {"password": PASSWORD, "again": PASSWORD})
    return Browser(browser.client, browser.url, page.cookie)


async def set_up(browser: Browser, moment: list[float]) -> tuple[pyotp.TOTP, list[str]]:
    """Set up the second factor as the page says; return the app, and the recovery codes."""
    page = await browser.get("/you")
    [shown] = re.findall("<code>((?:[A-Z2-7]{4} ?){8})</code>", page.text)
    app = pyotp.TOTP(shown.replace(" ", ""))
    form = {"code": app.at(int(moment[0])), "present": PASSWORD}
    page = await browser.post("/you/second-factor", form)
    assert page.status == 200, page.text
    return app, re.findall("<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", page.text)


async def sign_in(browser: Browser, code: str, password: str = PASSWORD) -> int:
    nobody = Browser(browser.client, browser.url)
    form = {"name": "jo", "password": password, "code": code}
    return (await nobody.post("/sign-in", form)).status


@pytest.mark.gen_test
async def test_who_has_a_second_factor_signs_in_with_it_once(
    browser: Browser, site: Site, moment: list[float]
) -> None:
    jo = await joined(browser, site)
    assert await sign_in(jo, "") == 200
    app, codes = await set_up(jo, moment)
    assert await sign_in(jo, "") == 403
    assert await sign_in(jo, app.at(int(moment[0]))) == 403  # it was used to set it up
    moment[0] += 30
    code = app.at(int(moment[0]))
    assert await sign_in(jo, code, "wrong") == 403
    assert await sign_in(jo, code) == 200
    assert await sign_in(jo, code) == 403
    assert await sign_in(jo, codes[0].upper()) == 200
    assert await sign_in(jo, codes[0]) == 403
    assert "9 recovery codes are left" in (await jo.get("/you")).text


@pytest.mark.gen_test
async def test_a_link_is_no_second_factor(
    browser: Browser, site: Site, moment: list[float]
) -> None:
    await set_up(await joined(browser, site), moment)
    secret = await site.people.relink(await site.people.named("jo"), by(FIRST))
    page = await browser.post(f"/sign-in/link/{secret}", {"password": OTHER, "again": OTHER})
    assert (page.status, page.headers["Location"], page.cookie) == (303, "/sign-in", "")
    assert await sign_in(browser, "", OTHER) == 403


@pytest.mark.parametrize(
    ("path", "form", "why"),
    [
        ("/you/second-factor", {"code": "000000", "present": PASSWORD}, "not the code"),
        ("/you/second-factor", {"code": "", "present": PASSWORD}, "not the code"),
        ("/you/second-factor", {"code": "000000", "present": "wrong"}, "not your password"),
        ("/you/second-factor", {"code": "000000"}, "not your password"),
        ("/you/second-factor/remove", {"present": PASSWORD}, "no second factor"),
        ("/you/recovery-codes", {"present": PASSWORD}, "no second factor"),
        ("/you/password", {"password": OTHER, "again": OTHER}, "not your password"),
        ("/you/password", {"present": PASSWORD, "password": OTHER, "again": "x"}, "differ"),
        ("/you/password", {"present": PASSWORD, "password": "x", "again": "x"}, "12 characters"),
    ],
)
@pytest.mark.gen_test
async def test_what_cannot_be_is_said_in_words_and_changes_nothing(
    browser: Browser, site: Site, path: str, form: dict[str, str], why: str
) -> None:
    jo = await joined(browser, site)
    await jo.get("/you")
    before = await site.people.named("jo")
    page = await jo.post(path, form)
    assert (page.status, why in page.text) == (400, True)
    assert (await site.people.named("jo"))._replace(seen_at=before.seen_at) == before


@pytest.mark.gen_test
async def test_another_password_ends_the_other_sessions(browser: Browser, site: Site) -> None:
    jo, elsewhere = await joined(browser, site), Browser(browser.client, browser.url)
    page = await elsewhere.post("/sign-in", {"name": "jo", "password": PASSWORD})
    elsewhere.cookie = page.cookie
    await jo.get("/you")
    form = {"present": PASSWORD, "password": OTHER, "again": OTHER}
    page = await jo.post("/you/password", form)
    assert page.status == 200
    old, jo.cookie, jo.token = jo.cookie, page.cookie, page.csrf
    assert (await elsewhere.get("/you")).status == 303
    assert (await Browser(browser.client, browser.url, old).get("/you")).status == 303
    assert (await jo.get("/you")).status == 200
    assert await sign_in(jo, "", OTHER) == 200
    assert await sign_in(jo, "") == 403


@pytest.mark.gen_test
async def test_signing_out_everywhere_ends_all_sessions(browser: Browser, site: Site) -> None:
    jo, elsewhere = await joined(browser, site), Browser(browser.client, browser.url)
    page = await elsewhere.post("/sign-in", {"name": "jo", "password": PASSWORD})
    elsewhere.cookie = page.cookie
    assert "signed in in 2 places" in (await jo.get("/you")).text
    assert (await jo.post("/you/sign-out-everywhere")).status == 303
    assert [(await one.get("/you")).status for one in (jo, elsewhere)] == [303, 303]


@pytest.mark.gen_test
async def test_signing_out_elsewhere_ends_all_sessions_but_this_one(
    browser: Browser, site: Site
) -> None:
    jo, elsewhere = await joined(browser, site), Browser(browser.client, browser.url)
    page = await elsewhere.post("/sign-in", {"name": "jo", "password": PASSWORD})
    elsewhere.cookie = page.cookie
    await jo.get("/you")
    page = await jo.post("/you/sign-out-elsewhere")
    assert (page.status, "other sessions are over" in page.text) == (200, True)
    assert [(await one.get("/you")).status for one in (jo, elsewhere)] == [200, 303]


@pytest.mark.gen_test
async def test_passwords_are_not_guessed_by_a_thief_of_the_session(
    browser: Browser, site: Site
) -> None:
    jo = await joined(browser, site)
    await jo.get("/you")
    for one in range(19):
        site.sign_in_limits.take(f"192.0.2.{one}", "jo")
    form = {"present": "x", "password": OTHER, "again": OTHER}
    pages = [await jo.post("/you/password", form) for _ in range(2)]
    assert ["not your password" in page.text for page in pages] == [True, False]
    assert "too many tries" in pages[-1].text


@pytest.mark.gen_test
async def test_what_a_person_sets_is_an_act(
    browser: Browser, site: Site, moment: list[float]
) -> None:
    jo = await joined(browser, site)
    _, codes = await set_up(jo, moment)
    await jo.post("/you/recovery-codes", {"present": PASSWORD})
    assert await sign_in(jo, codes[0]) == 403  # the old ones are good no more
    await jo.post("/you/second-factor/remove", {"present": PASSWORD})
    await jo.post("/you/sign-out-everywhere")
    done = site.store.read_now(acts.page, Wanted("jo"), 50).rows
    assert [(act.by.who, act.by.way, act.verb, act.target) for _, act in done][::-1] == [
        (FIRST, "command", "invite", "jo"),
        ("jo", "console", "set password", "jo"),
        ("jo", "console", "sign in", "jo"),
        ("jo", "console", "set second factor", "jo"),
        ("jo", "console", "renew recovery codes", "jo"),
        ("jo", "console", "remove second factor", "jo"),
        ("jo", "console", "end sessions", "jo"),
    ]
    assert all(act.by.origin == "127.0.0.1" for _, act in done[:-1])
