"""A running relay for real client libraries of Postmark: two servers, each with its own key."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

from tests.support.daemon import Daemon
from tests.support.docs import page
from tests.support.keys import key

SHOWN = page("api/postmark")

SHOP_TOKEN = "shop-token-shop-token-shop-token-00"
DESK_TOKEN = "desk-token-desk-token-desk-token-00"
ACCOUNT_TOKEN = "account-token-account-token-account"

SETTINGS = (
    (key("shop", "shop") + key("desk", "desk") + key("account", "*", kind="account"))
    + """
[relay]
legacy_server = ""

[servers.shop]
plugins = ["mailbox"]
sender = "Shop <shop@example.gov>"
recipients = ["@example.com"]

[servers.desk]
plugins = ["mailbox"]
sender = "Desk <desk@example.gov>"
recipients = ["@example.com"]
"""
)

TEMPLATE = {
    "Name": "Welcome",
    "Alias": "welcome",
    "Subject": "Welcome {{name}}",
    "HtmlBody": "<p>Hello {{name}}</p>",
    "TextBody": "Hello {{name}}",
}


class Relay(NamedTuple):
    """The relay under test: its daemon and its URL, with `127.0.0.1` and a free port."""

    daemon: Daemon
    url: str

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def call(self, method: str, path: str, body: object = None, token: str = SHOP_TOKEN) -> dict:
        """Call the API without any library, to see what a library did."""
        headers = {"X-Postmark-Server-Token": token}
        answer = requests.request(method, self.url + path, json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def message(self, id: str) -> dict:
        """What the relay knows of a message."""
        return self.call("GET", f"/messages/outbound/{id}/details")

    def templates(self, token: str = SHOP_TOKEN) -> dict[str, dict]:
        """A server's templates, by alias."""
        listed = self.call("GET", "/templates?Count=300&Offset=0", token=token)
        return {one["Alias"]: one for one in listed["Templates"]}

    def make_template(self) -> int:
        """Store the template that the clients send with; give its number."""
        return self.call("POST", "/templates", TEMPLATE)["TemplateId"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    environment = {
        "SHOP_KEY": SHOP_TOKEN,
        "DESK_KEY": DESK_TOKEN,
        "ACCOUNT_KEY": ACCOUNT_TOKEN,
    }
    daemon = Daemon(tmp_path_factory.mktemp("relay"), SETTINGS, environment)
    with daemon:
        yield Relay(daemon, daemon.url)


@pytest.fixture
def relay(running: Relay) -> Relay:
    """The relay without any templates."""
    for token in (SHOP_TOKEN, DESK_TOKEN):
        for alias in running.templates(token):
            running.call("DELETE", f"/templates/{alias}", token=token)
    return running


def shown(line: str) -> str:
    """A line of code that the docs show, which the tests run with another host."""
    assert line in SHOWN, f"the docs do not show: {line}"
    return line
