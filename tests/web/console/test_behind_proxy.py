"""The console behind a proxy that speaks TLS: cookies, names, and whose address an act has."""

import pytest

from relay.operators.people import FIRST
from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts
from relay.store.acts import Wanted
from tests.conftest import SETTINGS
from tests.support.stored import by
from tests.web.console.conftest import PASSWORD, Browser, Page

pytestmark = pytest.mark.slow

PUBLIC = "https://relay.example.gov"
FORWARDED = {"Host": "relay.example.gov", "X_Forwarded_For": "192.0.2.7", "Origin": PUBLIC}


@pytest.fixture
def settings_toml() -> str:
    lines = f'public_url = "{PUBLIC}"\ntrusted_proxies = ["127.0.0.0/8"]\n'
    return f"{SETTINGS}\n[console]\n{lines}"


async def joined(browser: Browser, site: Site) -> Page:
    link = f"/sign-in/link/{await site.people.invite('jo', Role.VIEWER, by(FIRST))}"
    form = {"password": PASSWORD, "again": PASSWORD}
    page = await browser.post(link, form, **FORWARDED)
    assert page.status == 200
    return page


@pytest.mark.gen_test
async def test_its_cookie_is_for_tls_and_this_host_alone(browser: Browser, site: Site) -> None:
    page = await joined(browser, site)
    [cookie] = page.headers.get_list("Set-Cookie")
    assert cookie.startswith("__Host-relay_console=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    browser.cookie = page.cookie
    assert (await browser.get("/", **FORWARDED)).status == 200
    browser.cookie = page.cookie.removeprefix("__Host-")
    assert (await browser.get("/", **FORWARDED)).status == 303
    browser.cookie = page.cookie
    await browser.get("/", **FORWARDED)
    gone = (await browser.post("/sign-out", **FORWARDED)).headers.get_list("Set-Cookie")
    assert ["Secure" in one for one in gone if one.startswith("__Host-")] == [True]


@pytest.mark.gen_test
async def test_an_act_has_the_address_of_the_proxys_visitor(browser: Browser, site: Site) -> None:
    await joined(browser, site)
    rows = site.store.read_now(acts.page, Wanted("sign in"), 1).rows
    assert [act.by.origin for _, act in rows] == ["192.0.2.7"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://relay.example.gov"},
        {"Origin": "https://relay.example.gov:8443"},
        {"Origin": "https://www.relay.example.gov"},
        {"Host": "relay.example.gov:8443"},
        {"Host": "other.example.gov"},
    ],
)
@pytest.mark.gen_test
async def test_other_names_are_others(browser: Browser, headers: dict[str, str]) -> None:
    asked = FORWARDED | headers
    page = await browser.post("/sign-in", {"name": "jo", "password": PASSWORD}, **asked)
    assert (page.status, "belong together" in page.text) == (403, False)
