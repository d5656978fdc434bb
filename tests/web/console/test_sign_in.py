"""Signing in and out, sessions, and who may ask for a page of the console."""

import re
import time

import pytest

from relay.core import clock
from relay.operators import people
from relay.operators.people import FIRST, IDLE_SECONDS, SESSION_SECONDS
from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts, operators
from relay.store.acts import Wanted
from tests.support.stored import by
from tests.web.console.conftest import PASSWORD, Browser, SignIn


async def link(site: Site, name: str = "jo", role: Role = Role.OPERATOR) -> str:
    return f"/sign-in/link/{await site.people.invite(name, role, by(FIRST))}"


@pytest.mark.gen_test
async def test_who_is_not_signed_in_is_asked_to_and_comes_back_to_the_page(
    browser: Browser, site: Site
) -> None:
    page = await browser.get("/?q=1")
    assert (page.status, page.headers["Location"]) == (303, "/sign-in?next=%2F%3Fq%3D1")
    set_it = await browser.post(await link(site), {"password": PASSWORD, "again": PASSWORD})
    assert set_it.status == 200
    page = await browser.post("/sign-in?next=%2F%3Fq%3D1", {"name": "Jo ", "password": PASSWORD})
    assert 'url=/?q=1"' in page.text
    browser.cookie = page.cookie
    page = await browser.get("/")
    assert (page.status, "jo" in page.text) == (200, True)


@pytest.mark.parametrize(
    "asked", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "/a\nb", ""]
)
@pytest.mark.gen_test
async def test_nobody_is_sent_to_another_site(browser: Browser, site: Site, asked: str) -> None:
    await browser.post(await link(site), {"password": PASSWORD, "again": PASSWORD})
    page = await browser._fetch(
        "/sign-in?next=" + re.sub("[^a-z/.:]", lambda found: f"%{ord(found[0]):02x}", asked),
        "POST",
        f"name=jo&password={PASSWORD.replace(' ', '+')}".encode(),
        {"Origin": browser.url, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert 'content="0; url=/"' in page.text


@pytest.mark.parametrize(
    ("name", "password"),
    [("jo", "wrong"), ("nobody", PASSWORD), ("jo", ""), ("", ""), ("jo x", PASSWORD)],
)
@pytest.mark.gen_test
async def test_a_wrong_sign_in_has_one_answer_and_one_cost(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    await browser.post(await link(site), {"password": PASSWORD, "again": PASSWORD})
    verified = []
    verify = people.passwords._verify
    monkeypatch.setattr(
        people.passwords, "_verify", lambda *given: verified.append(1) or verify(*given)
    )
    page = await browser.post("/sign-in", {"name": name, "password": password})
    assert page.status == 403
    assert "do not belong together" in page.text
    assert verified == [1]
    assert not page.cookie


@pytest.mark.parametrize(
    ("tries", "answers"),
    [
        ([("127.0.0.1", f"other{one}") for one in range(9)], [403, 429]),
        ([(f"192.0.2.{one}", "jo") for one in range(19)], [403, 429]),
        ([(f"192.0.2.{one}", f"other{one}") for one in range(50)], [403, 403]),
        ([("127.0.0.1", f"other{one}") for one in range(10)], [429, 429]),
        ([(f"192.0.2.{one}", "jo") for one in range(20)], [429, 429]),
    ],
)
@pytest.mark.gen_test
async def test_so_many_may_try_from_one_address_and_with_one_name(
    browser: Browser, site: Site, tries: list[tuple[str, str]], answers: list[int]
) -> None:
    for address, name in tries:
        site.sign_in_limits.take(address, name)
    pages = [await browser.post("/sign-in", {"name": "Jo", "password": "x"}) for _ in answers]
    assert [page.status for page in pages] == answers
    assert ("Too many have tried" in pages[-1].text) == (answers[-1] == 429)


@pytest.mark.parametrize("name", ["a:b", "::1", "\u202e", "x" * 5000, "%", "jo\0"])
@pytest.mark.gen_test
async def test_whatever_is_typed_as_a_name_is_wrong_at_most(browser: Browser, name: str) -> None:
    page = await browser.post("/sign-in", {"name": name, "password": "x"})
    assert page.status == 403
    assert "do not belong together" in page.text


@pytest.mark.parametrize(
    ("password", "again", "why"),
    [
        ("short", "short", "12 characters"),
        (PASSWORD, PASSWORD + "x", "differ"),
        ("password1234", "password1234", "commonest"),
        ("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "commonest"),
        ("jo", "jo", "12 characters"),
        ("x" * 1001, "x" * 1001, "1,000 characters at most"),
    ],
)
@pytest.mark.gen_test
async def test_a_password_that_is_none_is_refused_in_words(
    browser: Browser, site: Site, password: str, again: str, why: str
) -> None:
    where = await link(site)
    page = await browser.post(where, {"password": password, "again": again})
    assert (page.status, why in page.text) == (400, True)
    assert (await browser.get(where)).status == 200


@pytest.mark.gen_test
async def test_a_link_is_good_once_and_for_a_day(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, old = await link(site), await link(site, "ada")
    assert (await browser.get(where)).status == 200
    assert (await browser.get(where)).status == 200  # to look at it uses nothing up
    await browser.post(where, {"password": PASSWORD, "again": PASSWORD})
    assert (await browser.get(where)).status == 404
    assert (await browser.post(where, {"password": PASSWORD, "again": PASSWORD})).status == 404
    now = time.time()
    monkeypatch.setattr(clock, "now", lambda: now + people.LINK_SECONDS + 1)
    assert (await browser.get(old)).status == 404


@pytest.mark.gen_test
async def test_the_first_link_signs_in_at_once_until_there_is_a_password(
    browser: Browser, site: Site
) -> None:
    first = await site.people.first_link()
    again = await site.people.first_link()
    if site.store.shared is None:
        assert (await browser.get(f"/sign-in/link/{first}")).status == 404
        first = again
    page = await browser.get(f"/sign-in/link/{first}")
    browser.cookie = page.cookie
    assert "(admin)" in (await browser.get("/")).text
    admin = site.store.read_now(operators.by_name, FIRST)
    assert admin is not None
    await site.people.set_password(admin, PASSWORD, by(FIRST))
    assert await site.people.first_link() is None
    assert (await browser.get("/")).status == 303  # and all sessions are over


@pytest.mark.parametrize(("idle", "total"), [(IDLE_SECONDS + 1, 0), (0, SESSION_SECONDS + 1)])
@pytest.mark.gen_test
async def test_a_session_ends_when_it_is_old_or_not_used(
    signed_in: SignIn, monkeypatch: pytest.MonkeyPatch, idle: float, total: float
) -> None:
    browser, now = await signed_in(Role.VIEWER), time.time()
    moments = [now + idle] if idle else [now + at for at in range(0, int(total), IDLE_SECONDS - 60)]
    for at in moments if total else []:
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        assert (await browser.get("/")).status == 200
    monkeypatch.setattr(clock, "now", lambda: now + (idle or total))
    assert (await browser.get("/")).status == 303
    monkeypatch.setattr(clock, "now", lambda: now)
    assert (await browser.get("/")).status == 303  # it is gone, not asleep


@pytest.mark.gen_test
async def test_a_stolen_session_is_worth_nothing_after_signing_out(signed_in: SignIn) -> None:
    browser = await signed_in(Role.ADMIN)
    thief = Browser(browser.client, browser.url, browser.cookie)
    assert (await thief.get("/")).status == 200
    await browser.get("/")
    assert (await browser.post("/sign-out")).status == 303
    assert (await thief.get("/")).status == 303


@pytest.mark.gen_test
async def test_who_is_removed_is_signed_out(signed_in: SignIn, site: Site) -> None:
    await signed_in(Role.ADMIN)
    browser = await signed_in(Role.OPERATOR)
    [person] = [one for one in await site.people.listed() if one.role == "operator"]
    await site.people.remove(person, by(FIRST))
    assert (await browser.get("/")).status == 303
    assert [one.role for one in await site.people.listed()] == ["admin"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"X_Forwarded_For": "192.0.2.1"}, 403),
        ({"Forwarded": "for=192.0.2.1"}, 403),
        ({"X_Real_Ip": "192.0.2.1"}, 403),
        ({}, 200),
    ],
)
@pytest.mark.gen_test
async def test_the_console_answers_under_its_own_name_only(
    signed_in: SignIn, headers: dict[str, str], status: int
) -> None:
    browser = await signed_in(Role.VIEWER)
    assert (await browser.get("/", **headers)).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.gen_test
async def test_a_form_of_another_site_does_nothing(
    signed_in: SignIn, headers: dict[str, str]
) -> None:
    browser = await signed_in(Role.ADMIN)
    await browser.get("/")
    assert (await browser.post("/sign-out", **headers)).status == 403
    assert (await browser.get("/")).status == 200


@pytest.mark.gen_test
async def test_a_form_needs_the_token_of_its_own_session(signed_in: SignIn) -> None:
    browser, other = await signed_in(Role.ADMIN), await signed_in(Role.ADMIN)
    await browser.get("/")
    await other.get("/")
    for token in ("", "0" * 64, other.token, browser.token.upper() + "0", "é" * 64):
        page = await browser.post("/sign-out", csrf=token)
        assert (page.status, "Nothing was done" in page.text) == (403, True)
    assert (await browser.get("/")).status == 200
    assert (await browser.post("/sign-out")).status == 303


@pytest.mark.gen_test
async def test_cookies_are_the_browsers_alone(browser: Browser, site: Site) -> None:
    page = await browser.post(await link(site), {"password": PASSWORD, "again": PASSWORD})
    [cookie] = page.headers.get_list("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    secret = page.cookie.partition("=")[2]
    assert len(secret) >= 43


@pytest.mark.gen_test
async def test_signing_in_inviting_and_removing_are_acts(
    browser: Browser, site: Site, events: list[dict[str, object]]
) -> None:
    where = await link(site)
    await browser.post(where, {"password": PASSWORD, "again": PASSWORD})
    await browser.post("/sign-in", {"name": "jo", "password": "wrong"})
    jo = await site.people.named("jo")
    await site.people.change_role(jo, Role.VIEWER, by(FIRST))
    await site.people.remove(await site.people.named("jo"), by(FIRST))
    rows = site.store.read_now(acts.page, Wanted(), 50).rows
    done = [(act.by.who, act.verb, act.target, act.before, act.after) for _, act in rows]
    assert done[::-1] == [
        (FIRST, "invite", "jo", "", "operator"),
        ("jo", "set password", "jo", "", ""),
        ("jo", "sign in", "jo", "", ""),
        (FIRST, "change role", "jo", "operator", "viewer"),
        (FIRST, "remove", "jo", "viewer", ""),
    ]
    said = repr(events)
    assert where.rpartition("/")[2] not in said
    assert PASSWORD not in said


@pytest.mark.gen_test
async def test_the_last_admin_stays(site: Site, signed_in: SignIn) -> None:
    await signed_in(Role.ADMIN)
    [admin] = await site.people.listed()
    with pytest.raises(people.Refused):
        await site.people.remove(admin, by(FIRST))
    with pytest.raises(people.Refused):
        await site.people.change_role(admin, Role.VIEWER, by(FIRST))
    await signed_in(Role.ADMIN)
    await site.people.remove(admin, by(FIRST))


@pytest.mark.parametrize("name", ["", " ", "a b", "jö", "a" * 101, "a/b", "<b>", "a\nb"])
@pytest.mark.gen_test
async def test_a_name_is_plain(site: Site, name: str) -> None:
    with pytest.raises(people.Refused):
        await site.people.invite(name, Role.VIEWER, by(FIRST))


@pytest.mark.gen_test
async def test_a_name_is_one_persons_and_may_be_given_again_after_he_left(site: Site) -> None:
    await site.people.invite("Jo", Role.VIEWER, by(FIRST))
    with pytest.raises(people.Refused):
        await site.people.invite("jo", Role.ADMIN, by(FIRST))
    await site.people.remove(await site.people.named("jo"), by(FIRST))
    await site.people.invite("jo", Role.ADMIN, by(FIRST))
    assert (await site.people.named("jo")).role == "admin"


@pytest.mark.gen_test
async def test_browsers_name_their_origin_with_the_consoles_own_forms(
    browser: Browser, signed_in: SignIn
) -> None:
    for page in (await browser.get("/sign-in"), await (await signed_in(Role.VIEWER)).get("/")):
        assert page.headers["Referrer-Policy"] == "same-origin"
