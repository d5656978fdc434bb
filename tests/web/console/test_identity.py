"""Signing in at an identity provider: a real one, which lies where it is told to."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from relay.config.settings import Settings
from relay.core import clock
from relay.core.errors import ConfigurationError
from relay.operators import identity
from relay.operators.people import FIRST
from relay.operators.roles import Role
from relay.operators.sign_in import SignInLimits
from relay.site import Site
from relay.store import acts, operators
from relay.store.acts import Wanted
from tests.conftest import SETTINGS
from tests.support.identity_provider import CLIENT_SECRET, IdentityProvider, identity_provider
from tests.support.stored import by
from tests.web.console.conftest import PASSWORD, Browser, Page

OIDC = """
[console.oidc]
issuer = "{issuer}"
client_id = "relay"
client_secret = {{ env = "OIDC_SECRET" }}
roles = {{ admins = "admin", desk = "operator", others = "viewer" }}
label = "the city"
"""
# A port where nobody listens.
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def settings_toml(request: pytest.FixtureRequest) -> str:
    is_down = request.node.get_closest_marker("slow") is None
    issuer = NOBODY if is_down else request.getfixturevalue("provider").issuer
    return SETTINGS + OIDC.format(issuer=issuer)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "OIDC_SECRET": CLIENT_SECRET}


async def away(browser: Browser, path: str = "/sign-in/identity") -> str:
    """Press the button; return where one is sent to. The browser keeps the attempt's cookie."""
    page = await browser.get(path)
    assert page.status == 303, page.text
    [kept] = page.headers.get_list("Set-Cookie")
    assert {"HttpOnly", "SameSite=Lax", "Path=/sign-in/identity/callback"} <= set(kept.split("; "))
    browser.cookie = kept.partition(";")[0]
    return str(page.headers["Location"])


async def back(browser: Browser, provider: IdentityProvider, address: str, who: str) -> str:
    """Sign in there; return the path to which one is sent back."""
    came = await asyncio.to_thread(provider.sign_in, address, who)
    assert came.startswith(f"{browser.url}/sign-in/identity/callback?")
    return came.removeprefix(browser.url)


async def sign_in(browser: Browser, provider: IdentityProvider, who: str) -> Page:
    """Go there and come back."""
    browser.cookie = ""
    address = await away(browser)
    return await browser.get(await back(browser, provider, address, who))


def session(page: Page) -> str:
    cookies = [one.partition(";")[0] for one in page.headers.get_list("Set-Cookie")]
    return "".join(one for one in cookies if one.startswith("relay_console="))


def changed(address: str, **values: str) -> str:
    """Return an address with other values in its query."""
    query = {name: one for name, [one] in parse_qs(urlsplit(address).query).items()}
    return f"{address.partition('?')[0]}?{urlencode({**query, **values})}"


@pytest.mark.slow
@pytest.mark.gen_test(timeout=60)
async def test_who_has_a_role_there_comes_in_and_the_role_follows(
    site: Site, browser: Browser, provider: IdentityProvider
) -> None:
    await site.people.invite("boss", Role.ADMIN, by(FIRST))
    page = await browser.get("/sign-in?next=%2Facts")
    assert "Sign in with the city" in page.text
    [path] = re.findall('href="(/sign-in/identity[^"]*)"', page.text)
    address = await away(browser, path)
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    page = await browser.get(await back(browser, provider, address, "ada.desk"))
    assert (page.status, 'url=/acts"' in page.text) == (200, True)  # a page, for Strict cookies
    browser.cookie = session(page)
    assert "ada <span>(operator)" in (await browser.get("/acts")).text
    assert "identity provider" in (await browser.get("/you")).text
    ada = site.store.read_now(operators.by_name, "ada")
    assert ada is not None
    assert (ada.subject, ada.password) == (f"{provider.issuer} ada.desk", None)
    # The same person, to whom another role was given meanwhile.
    await site.people.change_role(ada, Role.ADMIN, by(FIRST))
    assert (await sign_in(browser, provider, "ada.desk")).status == 200
    assert (await site.people.named("ada")).role == "operator"
    rows = site.store.read_now(acts.page, Wanted("ada"), 50).rows
    done = [(act.verb, act.by.who, act.by.way, act.after) for _, act in rows][::-1]
    assert done == [
        ("come", "ada", "console", "operator"),
        ("sign in", "ada", "console", ""),
        ("change role", FIRST, "command", "admin"),
        ("change role", "ada", "console", "operator"),
        ("sign in", "ada", "console", ""),
    ]


@pytest.mark.slow
@pytest.mark.gen_test(timeout=60)
async def test_nobody_without_a_role_comes_in_nor_under_somebody_elses_name(
    site: Site, browser: Browser, provider: IdentityProvider
) -> None:
    page = await sign_in(browser, provider, "jo")
    assert (page.status, "no role here" in page.text, session(page)) == (403, True, "")
    assert await site.people.listed() == []
    link = f"/sign-in/link/{await site.people.invite('eve', Role.VIEWER, by(FIRST))}"
    await browser.post(link, {"password": PASSWORD, "again": PASSWORD})
    page = await sign_in(browser, provider, "eve.admins")
    assert (page.status, "somebody else is called eve" in page.text) == (403, True)
    assert [one.role for one in await site.people.listed()] == ["viewer"]
    page = await sign_in(browser, provider, "a b.admins")
    assert (page.status, "a name has letters" in page.text) == (403, True)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=60)
async def test_whom_the_provider_gives_no_role_any_more_is_signed_out(
    site: Site, browser: Browser, provider: IdentityProvider
) -> None:
    before = Browser(
        browser.client, browser.url, session(await sign_in(browser, provider, "ada.desk"))
    )
    assert (await before.get("/")).status == 200
    ada = await site.people.named("ada")
    known = identity.Known(str(ada.subject), "ada", None)
    with pytest.raises(identity.Refused):
        await site.people.come(known, by("ada"))
    assert (await before.get("/")).status == 303
    await site.people.invite("boss", Role.ADMIN, by(FIRST))
    await site.people.remove(ada, by(FIRST))
    page = await sign_in(browser, provider, "ada.admins")  # who has a role there comes back
    assert (page.status, (await site.people.named("ada")).role) == (200, "admin")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("state", "began in another browser"),
        ("no cookie", "began in another browser"),
        ("forged cookie", "began in another browser"),
        ("old attempt", "this attempt is over"),
        ("nonce", "cannot be trusted (InvalidClaimError)"),
        ("old token", "cannot be trusted (ExpiredTokenError)"),
        ("keys", "cannot be trusted (BadSignatureError)"),
        ("none", "cannot be trusted (UnsupportedAlgorithmError)"),
        ("HS256", "cannot be trusted (UnsupportedAlgorithmError)"),
        ("issuer", "another one than"),
        ("iss", "another one than"),
        ("code", "does not take back"),
        ("verifier", "does not take back"),
        ("denied", "says access_denied"),
        ("denied oddly", "says nothing"),
    ],
)
@pytest.mark.slow
@pytest.mark.gen_test(timeout=60)
async def test_what_is_not_as_it_should_be_is_refused_in_words(
    site: Site,
    browser: Browser,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
    events: list[dict[str, Any]],
    fault: str,
    why: str,
) -> None:
    address = await away(browser)
    if fault == "nonce":
        address = changed(address, nonce="another")
    if fault == "verifier":
        address = changed(address, code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    path = await back(browser, provider, address, "ada.desk")
    query = {"state": {"state": "another"}, "code": {"code": "x"}, "iss": {"iss": "https://x.gov"}}
    path = changed(path, **query.get(fault, {}))
    if fault.startswith("denied"):
        error = "access_denied" if fault == "denied" else "<script>alert(1)</script>"
        state = parse_qs(urlsplit(path).query)["state"][0]
        path = f"{path.partition('?')[0]}?{urlencode({'error': error, 'state': state})}"
    if fault == "no cookie":
        browser.cookie = ""
    if fault == "forged cookie":
        browser.cookie = browser.cookie[:-1] + ("0" if browser.cookie[-1] != "0" else "1")
    now = time.time()
    if fault == "old attempt":
        monkeypatch.setattr(clock, "now", lambda: now + 601)
    if fault == "old token":
        later = SimpleNamespace(now=lambda: now + 86_400)
        monkeypatch.setattr(identity, "clock", later)
    await asyncio.to_thread(provider.lie, fault)
    try:
        page = await browser.get(path)
    finally:
        await asyncio.to_thread(provider.lie, "")
    assert (page.status, session(page)) == (403, "")
    assert why in page.text
    assert "<script>alert" not in page.text
    assert await site.people.listed() == []
    assert [one["event"] for one in events].count("identity.refused") == 1
    assert CLIENT_SECRET not in repr(events)
    assert parse_qs(urlsplit(path).query).get("code", ["-"])[0] not in (page.text,)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=60)
async def test_a_way_back_is_good_once(
    site: Site, browser: Browser, provider: IdentityProvider
) -> None:
    path = await back(browser, provider, await away(browser), "ada.desk")
    page = await browser.get(path)
    assert (page.status, bool(session(page))) == (200, True)
    gone = [one for one in page.headers.get_list("Set-Cookie") if one.startswith("relay_attempt=")]
    assert 'relay_attempt=""' in gone[0]
    page = await browser.get(path)  # a browser that kept the cookie
    assert (page.status, session(page)) == (403, "")


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_a_provider_that_is_away_is_told_so_and_passwords_go_on(
    site: Site, browser: Browser
) -> None:
    page = await browser.get("/sign-in/identity")
    assert (page.status, "cannot be reached" in page.text) == (403, True)
    link = f"/sign-in/link/{await site.people.invite('jo', Role.VIEWER, by(FIRST))}"
    page = await browser.post(link, {"password": PASSWORD, "again": PASSWORD})
    assert session(page)


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_it_is_not_asked_for_ever(site: Site, browser: Browser) -> None:
    site.sign_in_limits = SignInLimits()
    pages = [await browser.get("/sign-in/identity") for _ in range(12)]
    assert [page.status for page in pages] == [403] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("line", "other", "why"),
    [
        ("issuer", '"http://login.example.gov"', "an issuer begins with https://"),
        ("issuer", '"login.example.gov"', "a URL looks like"),
        ("client_secret", '"in-the-file"', "a secret stands elsewhere"),
        ("client_secret", None, "client_secret"),
        ("client_id", '""', "client_id"),
        ("roles", '{ admins = "king" }', "roles"),
        ("roles", "{}", "roles"),
        ("roles", None, "roles"),
        ("lable", '"x"', "did you mean label"),
    ],
)
@pytest.mark.sqlite
def test_what_the_settings_cannot_mean_is_one_line(
    load: Callable[[str], Settings], line: str, other: str | None, why: str
) -> None:
    table = OIDC.format(issuer="https://login.example.gov")
    kept = [one for one in table.splitlines() if not one.startswith(f"{line} ")]
    assert load(SETTINGS + table).console.oidc is not None
    added = [] if other is None else [f"{line} = {other}"]
    with pytest.raises(ConfigurationError, match=re.escape(why)) as told:
        load(SETTINGS + "\n".join([*kept, *added]))
    assert "[console.oidc]" in str(told.value)
