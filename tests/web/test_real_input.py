"""What real senders post, as cases: each goes through the running app into the mail that is made.

The cases stand in real_input/, a list of JSON for each family. A case has a `request` and what is
`expected` of its answer, and of the mail that a real mail server took.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.core.times import utc
from relay.site import Site
from tests.conftest import Outbox, Post, Reply
from tests.support.keys import key
from tests.support.mail_server import MailServerRig, mail_server_rig
from tests.web.postmark.conftest import settled

FAMILIES: dict[str, list[dict[str, Any]]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "real_input").glob("*.json"))
}
SERVER_TOKEN = "server-token-server-token-server-to"

SETTINGS = (
    key("application", "*")
    + key("page", "contactform", kind="publishable")
    + key("server", "shop")
    + key("account", "*", kind="account")
    + """
[relay.limits]
posts_per_minute = 0
tokens_per_minute = 0

[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "smtp"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov"]
local_domains = ["city.local"]
origins = ["https://www.example.gov"]
return_to = { thanks = "https://www.example.gov/thanks?lang=en" }

[servers.other]
plugins = ["bearer_token", "session_token", "default", "smtp"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov", "@example.com"]

[servers.files]
plugins = ["bearer_token", "session_token", "default", "smtp"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov", "@example.com"]
attachments = true

[servers.sanitation]
plugins = ["bearer_token", "session_token", "sanitation", "smtp"]
sender = "Sanitation <noreply@example.gov>"
senders = ["@example.gov"]
recipients = ["@example.gov", "@example.com"]

[servers.shop]
plugins = ["smtp"]
sender = "Shop <shop@example.gov>"
"""
)


class Answered(NamedTuple):
    """What came of a request: its answer, and the bytes of the mail that was made, if any."""

    reply: Reply
    content: bytes

    @property
    def mail(self) -> EmailMessage:
        assert self.content, "no mail was made"
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.mail.get_body((kind,))
        return "" if part is None else part.get_content().replace("\r\n", "\n")

    @property
    def reply_to_name(self) -> str:
        return self.mail["Reply-To"].addresses[0].display_name

    @property
    def file_headers(self) -> str:
        """The headers that name the files, for readers that know no RFC 2231."""
        names = ("Content-Disposition", "Content-Type")
        parts = message_from_bytes(self.content).walk()
        return " ".join(f"{part[name]}" for part in parts for name in names)

    @property
    def allowed(self) -> set[str]:
        """The headers that a page may send, in lower case."""
        listed = self.reply.headers.get("Access-Control-Allow-Headers", "")
        return {name.strip().lower() for name in listed.split(",")}


# What a case may expect, and whether it is so.
EXPECTATIONS: dict[str, Callable[[Answered, Any], bool]] = {
    "status": lambda answered, value: answered.reply.status == value,
    "response": lambda answered, value: answered.reply.words == value,
    "response_contains": lambda answered, value: value in answered.reply.words,
    "location_contains": lambda answered, value: value in answered.reply.headers["Location"],
    "allow_headers_cover": lambda answered, value: answered.allowed >= set(value),
    "subject": lambda answered, value: answered.mail["Subject"] == value,
    "reply_to_name": lambda answered, value: answered.reply_to_name == value,
    "text_contains": lambda answered, value: value in answered.text,
    "text_contains_2": lambda answered, value: value in answered.text,
    "text_equals": lambda answered, value: answered.text.strip() == value,
    "text_lacks": lambda answered, value: value not in answered.text,
    "html_contains": lambda answered, value: value in answered.html,
    "html_lacks": lambda answered, value: value not in answered.html,
    "attachment_filename_parameter": lambda answered, value: (
        f'name="{value}"' in answered.file_headers
    ),
}
REQUEST = {"method", "path", "headers", "body", "body_b64"}
CASE = {"name", "family", "severity", "source", "note", "request", "expected"}


@pytest.fixture
def rig() -> Iterator[MailServerRig]:
    with mail_server_rig() as rig:
        yield rig


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """The keys' secrets; the cases call the server's a token."""
    return environment | {"SERVER_KEY": SERVER_TOKEN, "SERVER_TOKEN": SERVER_TOKEN}


@pytest.fixture
def settings_toml(rig: MailServerRig) -> str:
    url = f'smtp_url = "smtp://127.0.0.1:{rig.port}?tls=none"'
    return SETTINGS.replace('"smtp"]\n', f'"smtp"]\n{url}\n')


def filled(text: str, environment: dict[str, str]) -> str:
    """Fill in keys, and a year in which the first of December is to come."""
    month = 31 * 24 * 3600
    for name, value in {**environment, "YEAR": str(utc(time.time() + month).year)}.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def body_of(request: dict[str, Any], environment: dict[str, str]) -> bytes | None:
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"], validate=True)
    return filled(request["body"], environment).encode() if "body" in request else None


def check_keys(case: dict[str, Any]) -> None:
    """Fail for a case that asks for what nothing here looks at."""
    assert set(case) <= CASE
    assert set(case["request"]) <= REQUEST
    assert {"status"} <= set(case["expected"]) <= set(EXPECTATIONS)


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("family", FAMILIES)
async def test_what_real_senders_post_becomes_the_right_mail(
    post: Post,
    site: Site,
    outbox: Outbox,
    rig: MailServerRig,
    environment: dict[str, str],
    family: str,
) -> None:
    for case in FAMILIES[family]:
        check_keys(case)
        request, expected = case["request"], case["expected"]
        headers = {name: filled(value, environment) for name, value in request["headers"].items()}
        taken, stored = len(rig.taken), len(outbox.states())
        reply = await post(
            request["path"],
            method=request["method"],
            body=body_of(request, environment),
            headers=headers,
            key=None,
        )
        await settled(site)
        made = rig.taken[taken:]
        answered = Answered(reply, made[0].content if made else b"")
        for name, value in expected.items():
            is_so = EXPECTATIONS[name](answered, value)
            assert is_so, (case["name"], name, reply.status, reply.body[:300])
        if reply.status >= 400:
            assert len(outbox.states()) == stored, case["name"]
        if made:
            assert not answered.mail.defects, case["name"]
