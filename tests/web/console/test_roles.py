"""Every route of the console, for everybody: who is asked to sign in, refused, let through."""

import re
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from sqlalchemy import select

from relay.operators.roles import Role
from relay.site import Site
from relay.store.schema import metadata
from relay.web.console import ROUTES
from relay.web.console.handler import ConsoleHandler
from tests.web.console.conftest import Browser, Page, SignIn

# The pages that are shown to people who are not signed in. There are to be no others.
# The metrics are for programs, and judge for themselves who asks.
OPEN = {"SignInHandler", "LinkHandler", "StartHandler", "CallbackHandler", "StaticHandler"}
OPEN |= {"MetricsHandler"}

SCREENS = [route for route in ROUTES if issubclass(route[1], ConsoleHandler)]
SERVER = "contactform"
METHODS = ("GET", "POST")


def a_path(pattern: str) -> str:
    """Make a path that a route's pattern takes: a server's name, or the first characters."""
    named = re.sub(r"\(([^()]*)\)", lambda group: _server(group[1]) or group[0], pattern)
    path = _text(parser.parse(named))
    assert re.fullmatch(pattern, path), pattern
    return path


def _server(pattern: str) -> str:
    return SERVER if re.fullmatch(pattern, SERVER) else ""


def _text(parsed: Any) -> str:
    return "".join(_piece(kind, value) for kind, value in parsed)


def _piece(kind: Any, value: Any) -> str:
    if kind is kinds.LITERAL:
        return chr(value)
    if kind in (kinds.ANY, kinds.NOT_LITERAL):
        return "a"
    if kind is kinds.IN:
        return _piece(*value[0]) if value[0][0] is not kinds.NEGATE else "a"
    if kind is kinds.RANGE:
        return chr(value[0])
    if kind is kinds.CATEGORY:
        return "1"
    if kind is kinds.BRANCH:
        return _text(value[1][0])
    if kind is kinds.SUBPATTERN:
        return _text(value[-1])
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        return _text(value[2]) * max(1, value[0])
    assert kind is kinds.AT, kind
    return ""


def stored(site: Site) -> dict[str, Any]:
    """Return every row of every table."""

    def dump(connection: Any) -> dict[str, Any]:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
        }

    return site.store.read_now(dump)


def seen(page: Page) -> str:
    """Say in a word what somebody was told."""
    if page.status == 303 and page.headers["Location"].startswith("/sign-in?next="):
        return "sign in"
    words = {403: "refused", 405: "no such method"}
    return words.get(page.status, "broken" if page.status >= 500 else "allowed")


def expected(handler: type[ConsoleHandler], method: str, role: Role | None) -> str:
    """Say what somebody who brings a good token is to be told."""
    if method not in handler.methods:
        return "no such method"
    if role is None:
        return "sign in" if method == "GET" else "refused"
    needed = handler.role if method == "GET" else handler.role_to_act or handler.role
    return "allowed" if role >= needed else "refused"


async def ask(browser: Browser, path: str, method: str) -> str:
    return seen(await (browser.get(path) if method == "GET" else browser.post(path)))


def test_who_is_not_signed_in_sees_these_pages_and_no_others() -> None:
    every, screens = ({route[1].__name__ for route in routes} for routes in (ROUTES, SCREENS))
    assert every - screens == OPEN
    for pattern, handler in SCREENS:
        assert isinstance(getattr(handler, "role", None), Role), f"{pattern} says nobody's role"
        assert handler.prepare is ConsoleHandler.prepare, f"{pattern} judges for itself"


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.gen_test(timeout=60)
async def test_every_route_lets_through_whom_it_says(
    site: Site, signed_in: SignIn, browser: Browser
) -> None:
    async def afresh(role: Role) -> Browser:
        one = await signed_in(role)
        await one.get("/")  # for its token
        return one

    wrong = []
    for role in (None, *Role):
        who = browser if role is None else await afresh(role)
        for pattern, handler in SCREENS:
            path = a_path(pattern)
            for method in METHODS:
                told, right = await ask(who, path, method), expected(handler, method, role)
                if told != right and role is not None:  # the page before may have signed out
                    who = await afresh(role)
                    told = await ask(who, path, method)
                if told != right:
                    wrong.append((method, path, role and role.label, told, right))
    assert wrong == []


@pytest.mark.sqlite
@pytest.mark.gen_test(timeout=60)
async def test_a_form_that_brings_no_token_of_the_session_does_nothing(
    site: Site, signed_in: SignIn
) -> None:
    browser, other = await signed_in(Role.ADMIN), await signed_in(Role.ADMIN)
    await other.get("/")
    before, wrong = stored(site), []
    for pattern, handler in SCREENS:
        for token in ("", "0" * 64, other.token) if "POST" in handler.methods else ():
            page = await browser.post(a_path(pattern), csrf=token)
            if page.status != 403 or "Nothing was done" not in page.text:
                wrong.append((pattern, token, page.status))
    assert wrong == []
    assert stored(site) == before
