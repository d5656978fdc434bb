"""The screen that finds, exports and erases what is stored about an address."""

import json
from typing import Any

import pytest

from relay.operators.roles import Role
from relay.site import Site
from relay.store import acts
from relay.store.acts import Wanted
from relay.store.outbox import enqueue
from tests.support.person import fill, message, naming
from tests.web.console.conftest import SignIn

pytestmark = pytest.mark.slow

JO, BAJO = "Jo.Doe@x-y.gov", "ba-jo.doe@x-y.gov"


@pytest.mark.gen_test
async def test_it_finds_exports_and_erases_once_the_address_is_typed_again(
    site: Site, signed_in: SignIn, events: list[dict[str, Any]]
) -> None:
    fill(site.store, JO)
    fill(site.store, BAJO, first=100)
    browser = await signed_in(Role.ADMIN)
    page = await browser.get("/person")
    assert (page.status, "Export" in page.text) == (200, False)
    page = await browser.post("/person", {"address": JO})
    assert "<dt>messages of its own</dt><dd>5</dd>" in page.text
    page = await browser.post("/person/export", {"address": JO})
    assert page.headers["Content-Disposition"] == 'attachment; filename="person.json"'
    assert len(json.loads(page.text)["messages"]) == 5
    for again in ("", BAJO, "x"):
        page = await browser.post("/person/erase", {"address": JO, "again": again})
        assert (page.status, "Nothing was done" in page.text) == (400, True)
    page = await browser.post("/person/erase", {"address": JO, "again": JO.lower()})
    assert (page.status, "5 messages cleared" in page.text) == (200, True)
    assert "Nothing.</p>" in page.text
    left = [repr(row).lower() for rows in naming(site.store, JO).values() for row in rows]
    assert all(BAJO in row for row in left)
    done = site.store.read_now(acts.page, Wanted(), 50).rows
    assert [act.verb for _, act in done][:2] == ["erase", "export"]
    assert all(act.by.way == "console" and act.by.origin for _, act in done[:2])
    assert "jo.doe" not in json.dumps(events).lower()


@pytest.mark.gen_test
async def test_what_waits_is_shown_and_cancelled_if_one_says_so(
    site: Site, signed_in: SignIn
) -> None:
    one = message(1, "held", writer=JO)
    site.store.write_now(enqueue.add_together, [[one]])
    browser = await signed_in(Role.ADMIN)
    await browser.get("/person")
    asked = {"address": JO, "again": JO}
    page = await browser.post("/person/erase", asked)
    assert page.status == 409
    assert "nothing is erased unless what waits may be cancelled" in page.text
    assert f'<a href="/messages/{one.id}">' in page.text
    page = await browser.post("/person/erase", {**asked, "waiting": "yes"})
    assert (page.status, "1 message cleared" in page.text) == (200, True)
    assert naming(site.store, JO) == {}


@pytest.mark.parametrize("path", ["/person", "/person/export", "/person/erase"])
@pytest.mark.gen_test
async def test_only_admins_may_and_only_by_their_own_form(
    site: Site, signed_in: SignIn, path: str
) -> None:
    fill(site.store, JO)
    before = naming(site.store, JO)
    form = {"address": JO, "again": JO}
    for role in (Role.VIEWER, Role.OPERATOR):
        browser = await signed_in(role)
        await browser.get("/")
        page = await browser.post(path, form)
        assert (page.status, "Your role may not do this" in page.text) == (403, True)
    browser = await signed_in(Role.ADMIN)
    await browser.get("/person")
    page = await browser.post(path, form, csrf="0" * 64)
    assert (page.status, "from another session" in page.text) == (403, True)
    page = await browser.post(path, form, Origin="https://evil.example")
    assert page.status == 403
    assert naming(site.store, JO) == before


@pytest.mark.parametrize("address", ["", "jo", "<script>@x", "jo@x.gov, an@x.gov"])
@pytest.mark.gen_test
async def test_what_is_no_address_is_told_so(signed_in: SignIn, address: str) -> None:
    browser = await signed_in(Role.ADMIN)
    await browser.get("/person")
    page = await browser.post("/person", {"address": address})
    assert (page.status, 'role="alert"' in page.text) == (400, True)
    assert "<script>@" not in page.text
