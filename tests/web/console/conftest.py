"""The console of a site, and browsers of people who are signed in."""

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from argon2 import PasswordHasher
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from relay.operators import passwords
from relay.operators.people import FIRST
from relay.operators.roles import Role
from relay.site import Site
from relay.store import operators
from relay.web.console import make_console
from tests.support.engines import both
from tests.support.stored import by

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery staple"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both(metafunc)


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords at a cost that tests can bear."""
    monkeypatch.setattr(passwords, "_hasher", QUICK)


class Page(NamedTuple):
    """What the console answered."""

    status: int
    text: str
    headers: Any

    @property
    def cookie(self) -> str:
        """The session that it gives, as the browser sends it back."""
        return self.headers.get("Set-Cookie", "").partition(";")[0]

    @property
    def csrf(self) -> str:
        """The token of its forms."""
        return re.findall('name="csrf" value="([0-9a-f]{64})"', self.text)[0]


class Browser:
    """A browser at the console: it brings its cookie, and posts from the console's own pages."""

    def __init__(self, client: AsyncHTTPClient, url: str, cookie: str = "") -> None:
        self.client, self.url, self.cookie = client, url, cookie
        self.token = ""

    async def get(self, path: str, **headers: str) -> Page:
        """Load a page; keep the token of its forms."""
        page = await self._fetch(path, "GET", None, headers)
        if 'name="csrf"' in page.text:
            self.token = page.csrf
        return page

    async def post(
        self,
        path: str,
        form: dict[str, Any] | None = None,
        *,
        csrf: str | None = None,
        **headers: str,
    ) -> Page:
        """Post a form as one of the console's pages does."""
        token = self.token if csrf is None else csrf
        body = urlencode({**(form or {}), "csrf": token}, doseq=True).encode()
        headers = {
            "Origin": self.url,
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        return await self._fetch(path, "POST", body, headers)

    async def _fetch(
        self, path: str, method: str, body: bytes | None, headers: dict[str, str]
    ) -> Page:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        response: HTTPResponse = await self.client.fetch(
            self.url + path,
            method=method,
            body=body,
            headers=sent,
            follow_redirects=False,
            raise_error=False,
            request_timeout=20,
        )
        text = response.body.decode(errors="replace") if response.body else ""
        return Page(response.code, text, response.headers)


@pytest.fixture
def console(site: Site, io_loop: Any) -> Iterator[str]:
    """The URL of the site's console, which listens."""
    server = HTTPServer(make_console(site))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    site.console = ("127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def app(site: Site) -> Application:
    return make_console(site)


SignIn = Callable[[Role], Awaitable[Browser]]


@pytest.fixture
def signed_in(site: Site, console: str, http_client: AsyncHTTPClient) -> SignIn:
    """Make a person of a role and sign in; return the browser."""

    async def sign_in(role: Role) -> Browser:
        name = f"{role.label}{secrets.token_hex(3)}"
        await site.people.invite(name, role, by(FIRST))
        person = site.store.read_now(operators.by_name, name)
        assert person is not None
        session = await site.people.begin(person, by(name))
        return Browser(http_client, console, f"relay_console={session.secret}")

    return sign_in


@pytest.fixture
def browser(console: str, http_client: AsyncHTTPClient) -> Browser:
    """A browser of nobody."""
    return Browser(http_client, console)
