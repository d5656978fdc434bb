"""What operators see when something goes wrong: each drill ends on a screen that says it.

docs/operate/drills.md tells the same as a story; each of its headings is a drill here.
"""

import html
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.chaos.provider import Provider
from tests.support.daemon import ROOT, Daemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SETTINGS = """
[servers.office]
plugins = ["bearer_token", "contactform", "postmark", "postmark_webhooks"]
sender = "office@example.gov"
recipients = ["@example.gov"]
postmark_token = {{ env = "POSTMARK_TOKEN" }}
postmark_url = "{url}"
webhook_secrets = [{{ env = "HOOK" }}]
retry = [1]
settle = [1]
deadline = 20

[servers.fragile]
plugins = ["bearer_token", "fragile", "mailbox"]
sender = "fragile@example.gov"
recipients = ["@example.gov"]
"""
HOOK = "h" * 40
FRAGILE = """
from relay import EmailForm, base_message, hookimpl

@hookimpl
def schema(server):
    return EmailForm()

@hookimpl
def compose(form, server):
    {body}
"""
FORM = {
    "to_address": "desk@example.gov",
    "from_address": "jane@example.com",
    "name": "Jane",
    "subject": "Green roads",
    "message": "Make them green.",
}
SECONDS = 30


class Operator:
    """Somebody who has the console open."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.http = requests.Session()
        answer = self.http.get(daemon.console, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        parts = urlsplit(daemon.console)
        self.url = f"{parts.scheme}://{parts.netloc}"

    def sees(self, path: str) -> str:
        """The words of a screen."""
        answer = self.http.get(self.url + path, timeout=SECONDS)
        assert answer.status_code == 200, (path, answer.status_code)
        self.markup = answer.text
        main = answer.text.partition("<main")[2]
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())

    def waits_to_see(self, path: str, words: str) -> str:
        """The words of a screen, as soon as these are among them."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            seen = self.sees(path)
            if words in seen:
                return seen
            time.sleep(0.2)  # as one who loads the page again
        raise AssertionError(f"{path} does not say {words!r}: {seen}")

    def orders(self, path: str, **form: str) -> None:
        """Post one of the screens' forms."""
        token = re.findall('name="csrf" value="([0-9a-f]+)"', self.markup)[0]
        answer = self.http.post(
            self.url + path,
            data={"csrf": token, **form},
            headers={"Origin": self.url},
            timeout=SECONDS,
            allow_redirects=False,
        )
        assert answer.status_code == 303, answer.text


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with Provider(tmp_path / "provider") as provider:
        yield provider


@pytest.fixture
def daemon(tmp_path: Path, provider: Provider) -> Iterator[Daemon]:
    (tmp_path / "plugins").mkdir()
    broken = FRAGILE.format(body='raise RuntimeError("x")')
    (tmp_path / "plugins" / "fragile.py").write_text(broken)
    environment = {"POSTMARK_TOKEN": "t" * 36, "HOOK": HOOK}
    with Daemon(tmp_path, SETTINGS.format(url=provider.url), environment) as daemon:
        yield daemon


@pytest.fixture
def operator(daemon: Daemon) -> Operator:
    return Operator(daemon)


def posted(daemon: Daemon) -> str:
    """Post a form; return its message's id."""
    answer = daemon.post("/rest/email/office", daemon.made_keys()["application"], data=FORM)
    return str(answer.headers["X-Relay-Message-Id"])


def test_the_provider_is_down(daemon: Daemon, provider: Provider, operator: Operator) -> None:
    provider.set(rates={"busy": 1})
    id = posted(daemon)
    seen = operator.waits_to_see("/", "postmark of office fails since")
    assert "1 message waits" in seen
    assert "none is lost" in seen
    assert "postmark of office fails" in operator.sees(f"/messages/{id}")
    provider.set(rates={})
    operator.waits_to_see(f"/messages/{id}", "Sent")
    operator.waits_to_see("/", "All mail is flowing.")


def test_the_token_was_revoked(daemon: Daemon, provider: Provider, operator: Operator) -> None:
    provider.set(rates={"unauthorized": 1})
    id = posted(daemon)
    seen = operator.waits_to_see("/", "postmark of office fails since")
    assert "401" in seen or "token" in seen.lower()
    why = operator.sees(f"/messages/{id}")
    assert "What to do:" in why
    assert "token" in why.partition("What to do:")[2].lower()


def test_an_office_bounced(daemon: Daemon, provider: Provider, operator: Operator) -> None:
    id = posted(daemon)
    operator.waits_to_see(f"/messages/{id}", "sent")
    told = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "TypeCode": 1,
        "ID": 42,
        "Email": "desk@example.gov",
        "Description": "No such mailbox",
        "Inactive": True,
        "MessageID": provider_id(daemon, id),
        "BouncedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    answer = requests.post(
        f"{daemon.url}/rest/email/postmark/office/outbound",
        data=json.dumps(told),
        headers={"Content-Type": "application/json"},
        auth=("relay", HOOK),
        timeout=SECONDS,
    )
    assert answer.status_code == 200, answer.text
    assert "bounced" in operator.sees(f"/messages/{id}").lower()
    assert "desk@example.gov" in operator.sees("/suppressions")
    second = posted(daemon)
    assert "of office" in operator.waits_to_see("/to-do", "held")
    assert "What to do:" in operator.sees(f"/messages/{second}")


def test_a_plugin_raises(daemon: Daemon, tmp_path: Path, operator: Operator) -> None:
    key = daemon.made_keys()["application"]
    assert daemon.post("/rest/email/fragile", key, data=FORM).status_code == 500
    assert "1 message needs a person" in operator.sees("/")
    seen = operator.sees("/to-do")
    assert "RuntimeError in fragile compose" in seen
    assert "A plugin failed at it" in seen
    [id] = set(re.findall('href="/messages/([0-9a-f-]{36})"', operator.markup))
    mended = FRAGILE.format(body="return base_message(form, server)")
    (tmp_path / "plugins" / "fragile.py").write_text(mended)
    assert daemon.command("reload").returncode == 0
    form = dict(re.findall('name="(state|server|cause|broken)" value="([^"]*)"', operator.markup))
    operator.orders("/to-do", order="release", **form)
    operator.waits_to_see(f"/messages/{id}", "Sent")
    operator.waits_to_see("/to-do", "Nothing to do")


def test_the_daemon_is_killed(daemon: Daemon, provider: Provider, operator: Operator) -> None:
    provider.set(rates={"stuck": 1}, lag=3600)
    id = posted(daemon)
    daemon.stop(signal.SIGKILL)
    daemon.start()
    again = Operator(daemon)
    why = again.waits_to_see(f"/messages/{id}", "in doubt")
    assert "looked up" in why
    provider.set(rates={}, lag=0)
    again.waits_to_see(f"/messages/{id}", "sent")
    assert len(provider.accepted()) == 1


def test_the_settings_are_broken(daemon: Daemon, operator: Operator) -> None:
    good = daemon.settings.read_text()
    daemon.settings.write_text(good.replace("sender", "sendr", 1))
    assert daemon.command("reload").returncode == 2
    seen = operator.sees("/")
    assert "cannot be read again" in seen
    assert "sendr" in seen
    assert posted(daemon)
    daemon.settings.write_text(good)
    assert daemon.command("reload").returncode == 0
    assert "cannot be read again" not in operator.sees("/")


def provider_id(daemon: Daemon, id: str) -> str:
    """The provider's own id of a message, as the console shows it."""
    seen = Operator(daemon).sees(f"/messages/{id}")
    return re.findall(r"Provider's id ([0-9a-f-]{36})", seen)[0]


def test_every_drill_is_told_in_the_docs() -> None:
    told = (ROOT / "docs/operate/drills.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", told, re.MULTILINE)
    drills = [
        name.removeprefix("test_").replace("_", " ")
        for name in globals()
        if name.startswith("test_") and "docs" not in name
    ]
    assert {heading.lower() for heading in headings} == {*drills, "the disk is full"}
