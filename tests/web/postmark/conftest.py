"""Servers, keys and calls of Postmark's API: `call` speaks to the running app as a client does."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer

from relay.site import Site
from tests.conftest import Reply
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import key

# Keys good for one server each, and for two.
NOTICES_KEY = "notices-key-notices-key-notices-key"
BULLETIN_KEY = "bulletin-key-bulletin-key-bulletin-"
PASSING_KEY = "passing-key-passing-key-passing-key"
BOTH_KEY = "both-key-both-key-both-key-both-key-"

SECRETS = {
    "NOTICES_KEY": NOTICES_KEY,
    "BULLETIN_KEY": BULLETIN_KEY,
    "PASSING_KEY": PASSING_KEY,
    "BOTH_KEY": BOTH_KEY,
}

# notices and bulletin keep their mail in the mailbox; passing sends through a provider that has
# templates of its own.
SETTINGS = (
    key("notices", "notices")
    + key("bulletin", "bulletin")
    + key("passing", "passing")
    + key("both", "notices", "bulletin")
    + key("page", "notices", kind="publishable")
    + key("account", "*", kind="account")
    + """
[servers.notices]
plugins = ["mailbox"]
sender = "Notices <notices@example.gov>"
senders = ["@example.org"]

[servers.bulletin]
plugins = ["mailbox"]
sender = "Bulletin <bulletin@example.gov>"
recipients = ["@example.gov", "desk@example.org"]

[servers.passing]
plugins = ["postmark"]
sender = "Passing <passing@example.gov>"
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "POSTMARK_URL"
deadline = 2
"""
)

Call = Callable[..., Awaitable[Reply]]


async def settled(site: Site) -> None:
    """Wait until every attempt that began by itself has ended."""
    dispatcher = site.dispatcher
    while busy := {task for task in (dispatcher._pump, *dispatcher._running) if task}:
        await asyncio.wait(busy)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | SECRETS


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS.replace("POSTMARK_URL", postmark.url)


@pytest.fixture
def call(http_client: AsyncHTTPClient, base_url: str, http_server: HTTPServer) -> Call:
    """Call a path: `body` goes as JSON, bytes as they are; `token` and `account` as headers."""

    async def call_path(
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = NOTICES_KEY,
        account: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = {"Accept": "application/json"}
        if token is not None:
            sent["X-Postmark-Server-Token"] = token
        if account is not None:
            sent["X-Postmark-Account-Token"] = account
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None or method in ("POST", "PUT", "PATCH"):
            sent["Content-Type"] = "application/json"
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        response = await http_client.fetch(
            base_url + path,
            method=method,
            body=body,
            headers=sent | (headers or {}),
            follow_redirects=False,
            raise_error=False,
            allow_nonstandard_methods=True,
            request_timeout=60,
        )
        return Reply(response)

    return call_path
