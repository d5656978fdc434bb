"""What the tests share: a site in a temporary folder, its API on a free port, a real provider."""

import asyncio
import gc
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from sqlalchemy import text
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from relay.config import settings as relay_settings
from relay.config.settings import Settings
from relay.core.secret import Secret
from relay.site import Site, open_site
from relay.store.engine.database import Store
from relay.web.application import make_app
from tests.support.daemon import SHIPPED, Daemon
from tests.support.engines import empty
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import APPLICATION_KEY, ENVIRONMENT, key
from tests.support.postgresql import server_url

# Else the first test with a loop makes another one beside it, which nobody closes.
asyncio.set_event_loop(None)

SETTINGS = (
    key("application", "contactform", "default")
    + key("page", "contactform", kind="publishable")
    + key("other", "default")
    + key("account", "contactform", kind="account")
    + """
[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov", "desk@example.org"]
origins = ["https://www.example.gov"]
return_to = { thanks = "https://www.example.gov/thanks?lang=en" }
headers = ["X-Form"]

[servers.default]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
senders = ["@example.gov"]
recipients = ["*"]
"""
)

POSTMARK_SETTINGS = """
[servers.registry]
plugins = ["bearer_token", "session_token", "honeypot", "default", "postmark"]
sender = "Registry <registry@example.gov>"
recipients = ["@example.gov", "@example.com"]
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "{postmark_url}"
deadline = 2
"""

FORM = {
    "to_address": "desk@example.gov",
    "from_address": "resident@example.com",
    "name": "A Resident",
    "subject": "I have a great idea",
    "message": "Make the roads green.",
}

ALL_DAEMONS = Secret("secret-of-all-daemons-of-this-test")

Post = Callable[..., Awaitable["Reply"]]


class Reply:
    """An HTTP answer: `status`, `headers`, and the JSON body's `json`."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.code
        self.headers = response.headers
        self.body = response.body or b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def words(self) -> str:
        """What the reply says under `response`."""
        return self.json["response"]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """No looking for garbage meanwhile: what tests before have left takes longer than the test."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def settings_toml() -> str:
    """The settings under test; a module overrides this fixture with its own."""
    return SETTINGS


@pytest.fixture
def environment() -> dict[str, str]:
    return dict(ENVIRONMENT)


@pytest.fixture
def load(
    tmp_path: Path, environment: dict[str, str], engine: str, request: pytest.FixtureRequest
) -> Callable[[str], Settings]:
    """Write settings to the test's folder and read them."""

    def load_settings(toml: str) -> Settings:
        path = tmp_path / "settings.toml"
        path.write_text(toml, encoding="utf-8")
        settings = relay_settings.load(path, environment)
        if engine == "sqlite":
            return settings
        url = Secret(request.getfixturevalue("postgresql_url"))
        return replace(settings, database=url, secret=settings.secret or ALL_DAEMONS)

    return load_settings


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the migrations make it: to migrate takes longer than most tests."""
    data = tmp_path_factory.mktemp("empty")
    store = Store(f"sqlite:///{data / 'relay.db'}", data)
    store.open()
    store.close()
    return data / "relay.db"


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """An open store, without a site."""
    return sqlite_store


@pytest.fixture
def sqlite_store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    data = tmp_path / "var"
    data.mkdir(mode=0o700)
    shutil.copy(empty_database, data)
    store = Store(f"sqlite:///{data / 'relay.db'}", data)
    store.open()
    yield store
    store.close()


@pytest.fixture
def offline(tmp_path: Path) -> Daemon:
    """The shipped settings in a folder of their own, for commands without a daemon."""
    return Daemon(tmp_path, SHIPPED)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A database on a real server."""
    with server_url() as url:
        yield url


@pytest.fixture
def engine() -> str:
    """The database's engine; a package whose tests run on both makes two of each."""
    return "sqlite"


@pytest.fixture
def settings(
    load: Callable[[str], Settings], settings_toml: str, engine: str, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """The settings under test, with a database that needs no migration."""
    settings = load(settings_toml)
    settings.data.mkdir(mode=0o700, exist_ok=True)
    if engine == "sqlite":
        shutil.copy(request.getfixturevalue("empty_database"), settings.data)
        yield settings
        return
    yield settings
    empty(settings.database.reveal())


@pytest.fixture
def site(settings: Settings, io_loop: IOLoop) -> Iterator[Site]:
    """An open site that delivers what is posted, and nothing by a loop of its own."""
    with open_site(settings) as site:
        yield site
        io_loop.run_sync(lambda: site.dispatcher.stop(5))


@pytest.fixture
def app(site: Site) -> Application:
    return make_app(site)


@pytest.fixture
def post(http_client: AsyncHTTPClient, base_url: str, http_server: HTTPServer) -> Post:
    """Post to a path: `form` urlencoded, `content` as JSON, or a raw `body` with its `media`."""

    async def post_to(
        path: str,
        form: dict[str, Any] | None = None,
        *,
        content: Any = None,
        body: bytes | None = None,
        media: str | None = None,
        key: str | None = APPLICATION_KEY,
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> Reply:
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("Authorization", f"token {key}")
        if form is not None:
            body, media = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif content is not None:
            body, media = json.dumps(content).encode(), "application/json"
        if media is not None:
            sent["Content-Type"] = media
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        response = await http_client.fetch(
            base_url + path,
            method=method,
            body=body,
            headers=sent,
            follow_redirects=False,
            raise_error=False,
            allow_nonstandard_methods=True,
        )
        return Reply(response)

    return post_to


@pytest.fixture
def new_token(post: Post) -> Callable[[], Awaitable[int]]:
    """Make a session token over HTTP."""

    async def make() -> int:
        reply = await post("/rest/email_token/create", key=None)
        assert reply.status == 200
        return reply.json["token_session"]

    return make


class Outbox:
    """What the store holds, as a test sees it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def rows(self) -> list[dict[str, Any]]:
        """Every message with its contents, oldest first; the document parsed."""
        query = text("SELECT * FROM messages JOIN contents USING (id) ORDER BY id")
        rows = self._site.store.read_now(lambda connection: connection.execute(query).all())
        return [dict(row._mapping) | {"document": json.loads(row.document)} for row in rows]

    def last(self) -> dict[str, Any]:
        return self.rows()[-1]

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]

    def attempts(self) -> list[dict[str, Any]]:
        query = text("SELECT * FROM attempts ORDER BY message, number")
        rows = self._site.store.read_now(lambda connection: connection.execute(query).all())
        return [dict(row._mapping) for row in rows]

    def unspent_tokens(self) -> int:
        query = text("SELECT count(*) FROM tokens WHERE message IS NULL")
        return self._site.store.read_now(lambda connection: connection.execute(query).scalar_one())


@pytest.fixture
def outbox(site: Site) -> Outbox:
    return Outbox(site)


@pytest.fixture
def postmark(io_loop: IOLoop) -> Iterator[FakePostmark]:
    """A provider on the same loop, that can be told to fail."""
    fake = FakePostmark()
    server = HTTPServer(fake.app)
    socket, port = bind_unused_port()
    server.add_socket(socket)
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    fake.release()
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """The log events of a test, in order."""
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as captured:
        yield captured
