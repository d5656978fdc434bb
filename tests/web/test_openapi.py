"""The description of the HTTP interface says what is there, and calls made up from it find so."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from relay.site import Site
from relay.web import application, openapi
from relay.web.base import BaseHandler
from relay.web.openapi import document
from relay.web.postmark.handler import UnknownPostmarkPathHandler
from relay.web.postmark.sending import BulkHandler
from tests.conftest import Post
from tests.support.daemon import Daemon

SETTINGS = """
[relay]
legacy_server = "desk"

[relay.limits]
posts_per_minute = 0
tokens_per_minute = 0

[keys.any]
secret = { env = "KEY_ANY" }
servers = ["*"]

[keys.shop]
secret = { env = "KEY_SHOP" }
servers = ["desk"]

[keys.account]
kind = "account"
secret = { env = "KEY_ACCOUNT" }

[servers.desk]
plugins = ["bearer_token", "session_token", "contactform", "postmark_webhooks", "mailbox"]
sender = "Desk <desk@example.gov>"
senders = ["@example.gov"]
headers = ["X-Case"]
webhook_secrets = [{ env = "SECRET_WEBHOOK" }]
return_to = { thanks = "https://www.example.gov/thanks" }

[servers.permit]
plugins = ["bearer_token", "session_token", "honeypot", "mapped", "mailbox"]
sender = "Permits <permits@example.gov>"
honeypot = "website"

[servers.solved]
plugins = ["bearer_token", "session_token", "altcha", "contactform", "mailbox"]
sender = "Desk <desk@example.gov>"
altcha_key = { env = "KEY_ALTCHA" }
altcha_cost = 100

[servers.permit.fields]
permit = { required = true, max = 400, label = "Permit number" }
visitors = { kind = "integer", min = 0, max = 9 }
day = { kind = "choice", choices = ["monday", "tuesday"] }
site = "link"
agree = "yes_no"
"""
SECRETS = {
    name: f"{name.lower()}-{'s' * 30}"
    for name in ("KEY_ANY", "KEY_SHOP", "KEY_ACCOUNT", "KEY_ALTCHA", "SECRET_WEBHOOK")
}

# Routes that refuse whatever is asked, and the description itself.
NOT_DESCRIBED = (UnknownPostmarkPathHandler, BulkHandler, openapi.DocumentHandler)
# Methods that go without saying.
BESIDE = {"options", "head"}

# How calls are authenticated; and what Postmark's API answers, where what is named is not there.
SCHEMATHESIS = f"""
[auth.openapi.key]
api_key = "token {SECRETS["KEY_ANY"]}"
[auth.openapi.webhook]
api_key = "{SECRETS["SECRET_WEBHOOK"]}"
[auth.openapi.serverToken]
api_key = "{SECRETS["KEY_SHOP"]}"
[auth.openapi.accountToken]
api_key = "{SECRETS["KEY_ACCOUNT"]}"

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 422, 429, "5xx"]
"""
EXAMPLES = "50" if os.environ.get("RELAY_CHAOS") == "full" else "10"


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS


@pytest.fixture
def environment() -> dict[str, str]:
    return dict(SECRETS)


def described(site: Site) -> dict[str, Any]:
    return document(site.settings, site.configuration.chains)


def route(path: str) -> tuple[str, type[BaseHandler]]:
    """The route that takes a path: the first one that fits."""
    return next(one for one in application.ROUTES if re.fullmatch(one[0], path))


def test_every_route_is_described_with_its_methods(site: Site) -> None:
    paths = described(site)["paths"]
    routes = {path: route(path) for path in paths}
    for path, (pattern, handler) in routes.items():
        assert set(paths[path]) == {one.lower() for one in handler.methods} - BESIDE, pattern
    wanted = {one for one, handler in application.ROUTES if not issubclass(handler, NOT_DESCRIBED)}
    assert {pattern for pattern, _ in routes.values()} == wanted


def test_a_web_developer_reads_what_a_form_takes(site: Site) -> None:
    schemas = described(site)["components"]["schemas"]
    permit = schemas["Json-permit"]
    assert permit["required"] == ["to_address", "from_address", "permit"]
    fields = permit["properties"]
    assert fields["permit"]["description"] == "Permit number"
    assert fields["permit"]["maxLength"] == 400
    assert (fields["visitors"]["minimum"], fields["visitors"]["maximum"]) == (0, 9)
    assert fields["day"]["enum"] == ["monday", "tuesday", None, ""]
    assert fields["site"]["anyOf"] == [{"type": "string", "format": "uri"}, {"enum": [None, ""]}]
    assert "null" not in json.dumps(schemas["Form-permit"]["properties"])
    assert schemas["Json-desk"]["properties"]["headers"]["items"]["properties"]["Name"] == {
        "enum": ["x-case"]
    }
    assert "headers" not in fields
    assert "attachments" not in fields


def test_what_a_robot_must_not_know_stands_nowhere(site: Site) -> None:
    text = json.dumps(described(site))
    assert "website" not in text
    assert not [secret for secret in SECRETS.values() if secret in text]


def test_a_form_without_javascript_names_its_page_and_what_needs_a_secret_is_there_with_it(
    site: Site,
) -> None:
    paths = described(site)["paths"]
    post = paths["/rest/email_session/desk"]["post"]
    form = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert form["allOf"][1]["properties"]["return_to"]["enum"] == ["thanks"]
    assert "303" in post["responses"]
    assert "/rest/email/postmark/desk/{stream}" in paths
    assert "/rest/email/postmark/permit/{stream}" not in paths
    assert [path for path in paths if "challenge" in path] == ["/rest/challenge/solved"]


@pytest.mark.gen_test
async def test_it_is_for_callers_on_the_machine_and_for_every_key(post: Post) -> None:
    far = {"X-Forwarded-For": "192.0.2.1"}
    path = "/openapi.json"
    here = await post(path, method="GET", key=None)
    assert (here.status, here.json["openapi"]) == (200, "3.1.0")
    assert (await post(path, method="GET", key=None, headers=far)).status == 401
    assert (await post(path, method="GET", key="wrong", headers=far)).status == 401
    assert (await post(path, method="GET", key=SECRETS["KEY_SHOP"], headers=far)).status == 200


@pytest.mark.gen_test
async def test_it_follows_the_settings(post: Post, site: Site) -> None:
    def servers(reply: Any) -> Any:
        return reply.json["servers"]

    assert servers(await post("/openapi.json", method="GET")) == [{"url": "/"}]
    settings = replace(site.settings, public_url="https://mail.example.gov")
    site.configuration = replace(site.configuration, settings=settings)
    for _ in range(2):
        described = await post("/openapi.json", method="GET")
        assert servers(described) == [{"url": "https://mail.example.gov"}]


class TestPublic:
    @pytest.fixture
    def settings_toml(self) -> str:
        return SETTINGS.replace("[relay]\n", "[relay]\nopenapi_public = true\n")

    @pytest.mark.gen_test
    async def test_the_settings_may_show_it_to_everybody(self, post: Post) -> None:
        far = {"X-Forwarded-For": "192.0.2.1"}
        assert (await post("/openapi.json", method="GET", key=None, headers=far)).status == 200


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_calls_made_up_from_it_find_nothing_that_it_does_not_say(tmp_path: Path) -> None:
    # A page to come back to would be answered 303, whatever is wrong.
    settings = re.sub(r"return_to = .*\n", "", SETTINGS)
    with Daemon(tmp_path, settings, SECRETS) as daemon:
        described = requests.get(f"{daemon.url}/openapi.json", timeout=30)
        (tmp_path / "openapi.json").write_bytes(described.content)
        (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
        run = subprocess.run(
            [
                *(sys.executable, "-c", "from schemathesis.cli import schemathesis as run; run()"),
                *("--config-file", "schemathesis.toml", "run", "openapi.json"),
                *("--url", daemon.url, "--phases", "coverage,fuzzing"),
                *("--max-examples", EXAMPLES, "--seed", "1"),
            ],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.web.made_up_formats"}
            | {"PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        made = re.search(r"(\d+) generated", run.stdout)
        assert run.returncode == 0, run.stdout[-20_000:]
        assert made is not None
        assert int(made[1]) > 500
        failures = [one for one in daemon.events() if one["level"] == "error"]
        assert failures == []
