"""What the README and docs/ show is run: plugins, settings, commands; their tables are compared."""

import dataclasses
import json
import os
import pkgutil
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import click
import pytest
import requests
import yaml
from alembic import command as alembic
from alembic.config import Config
from alembic.script import ScriptDirectory
from marshmallow import Schema
from sqlalchemy import create_engine

from relay import Identity, Message, Server, Submission, provider, web
from relay.cli.main import relay
from relay.config import schema
from relay.config.alerts import KINDS
from relay.config.settings import load
from relay.config.webhooks import Target, Webhook
from relay.core import states
from relay.core.errors import REASONS
from relay.core.metrics import Metric
from relay.core.secret import Secret
from relay.mustachio import Template
from relay.notifications.webhooks.bodies import calls_of
from relay.provider import Callback, Confirmation, ProviderEvent
from relay.store.engine import migrate
from relay.store.engine.database import Store
from relay.store.webhooks import Event
from tests.support.contact_page import serving
from tests.support.daemon import ROOT, SHIPPED, Daemon
from tests.support.docs import FENCE, PAGES, block, blocks, page
from tests.support.postgresql import engine_of
from tests.support.webhook_receiver import SECRET
from tests.test_architecture import ORDER

PERMITS = "plugins/first-plugin"
MAPPED = "plugins/without-code"
PROVIDERS = "plugins/providers"
COMMANDS_PAGE = page("reference/commands")

# Fields of a `Server` that the host alone uses.
THE_HOSTS = {
    *("replies", "reply_seconds", "backup", "webhook_digests", "webhook_networks", "session_key"),
    *("return_to", "attachments", "receipt", "enabled", "queue_enabled", "retry", "max_age"),
    *("expect_mail", "settle", "in_doubt", "keep", "scheduling"),
    *("canary_seconds", "canary_to", "canary_fields"),
}

# What may follow a command's name in a sentence.
PROSE: set[str] = set()


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """The form server of the pages, put where it says."""
    (tmp_path / "plugins").mkdir()
    plugin = block(PERMITS, "python", "# plugins/permits.py")
    (tmp_path / "plugins" / "permits.py").write_text(plugin, encoding="utf-8")
    return Daemon(tmp_path, SHIPPED + block(PERMITS, "toml", "# settings.toml"))


def test_a_form_server_takes_fewer_than_25_lines() -> None:
    lines = block(PERMITS, "python", "# plugins/permits.py").splitlines()[1:]
    assert len([line for line in lines if line.strip()]) < 25


@pytest.mark.slow
def test_the_readmes_form_server_sends(daemon: Daemon) -> None:
    with daemon:
        form = {
            "to": "desk@example.gov",
            "from_address": "a@example.com",
            "subject": "Fair",
            "message": "Once a year.",
            "street": "Elm Street",
            "visitors": "120",
        }
        key = daemon.made_keys()["application"]
        assert (
            daemon.post("/rest/email/permits", key, data=form).json()["response"] == "Message sent"
        )
        listed = daemon.command("mailbox").stdout
        shown = daemon.command("mailbox", "show", listed[:36]).stdout
        for words in ("Permit: Elm Street", "Once a year.", "Visitors: 120", "permits@example.gov"):
            assert words in shown
        missing = daemon.post("/rest/email/permits", key, data={**form, "street": ""})
        assert (missing.status_code, "street: " in missing.json()["response"]) == (400, True)


def test_the_readmes_try_line_shows_the_message(daemon: Daemon) -> None:
    line = block(PERMITS, "sh", 'echo \'{"to"').replace(
        ".venv/bin/python run.py",
        f"{ROOT}/.venv/bin/python {ROOT}/run.py --settings {daemon.settings}",
    )
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("NOT RUN: the README's commands need the virtual environment of `make install`")
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert "Subject: Permit: Elm Street" in ran.stdout
    assert "unused fields none" in ran.stdout


def test_the_readmes_curl_line_sends(daemon: Daemon) -> None:
    with daemon:
        line = block("README", "sh", "curl -H").replace("http://127.0.0.1:8025", daemon.url)
        shown = daemon.command("keys", "show").stdout
        key = block("README", "sh", "KEY=").replace(
            ".venv/bin/python run.py keys show", f"echo '{shown}'"
        )
        ran = subprocess.run(["bash", "-c", key + line], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == block("README", "json", '{"status').strip()


def commands(
    group: click.Group = relay, path: str = "run.py"
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, groups included."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_is_in_the_docs_with_its_arguments_and_options() -> None:
    told = {}
    for heading, text in re.findall(
        r"^###? `(run.py [^\n]*)\n(.*?)(?=^#|\Z)", COMMANDS_PAGE, re.MULTILINE | re.DOTALL
    ):
        name = re.match(r"run\.py(?: [a-z]+(?:-[a-z]+)*)+", heading)
        assert name is not None
        options = set(re.findall(r"^\| `(--[\w-]+)[ `]", text, re.MULTILINE))
        told[name[0]] = (set(re.findall(r"\b[A-Z]+\b", heading)), options)
    known = {}
    for name, command in commands():
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        metavars = " ".join(one.metavar or (one.name or "").upper() for one in arguments)
        options = {one.opts[0] for one in command.params if isinstance(one, click.Option)}
        known[name] = (set(re.findall(r"\b[A-Z]+\b", metavars)), options)
    assert told == known
    for option in relay.params:
        assert f"| `{option.opts[0]}" in COMMANDS_PAGE


@pytest.mark.parametrize("name", PAGES)
def test_every_command_that_a_page_names_exists(name: str) -> None:
    known = dict(commands())
    for words in re.findall(r"run\.py((?: [a-z]+(?:-[a-z]+)*)+)", page(name).replace("\n", " ")):
        [first, second] = [*words.split(), ""][:2]
        command = known.get(f"run.py {first}")
        assert command is not None, words
        if isinstance(command, click.Group) and second:
            assert f"run.py {first} {second}" in known or second in PROSE, words


def test_every_reason_and_event_is_in_the_docs() -> None:
    sources = [*(ROOT / "relay").rglob("*.py"), *(ROOT / "plugins").glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for reason in set(re.findall(r'reason(?:: str)? ?= ?"(\w+)"', text)):
        assert f"`{reason}`" in page("reference/errors") + page("operate/replies"), reason
    events = set(re.findall(r'\blog\.\w+\(\s*"(\w+\.\w+)"', text))
    assert "message.accepted" in events
    for event in events:
        assert f"`{event}`" in page("reference/logs"), event
    for first in re.findall(r"^\| (`.*?) \|", page("reference/errors"), re.MULTILINE):
        for reason in re.findall(r"`([a-z_]+)`", first):
            assert text.count(f'"{reason}"') > (reason in REASONS), reason
    table = page("reference/errors").partition("| `reason` of a refusal")[2].partition("\n\n")[0]
    named = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {reason for one in named for reason in re.findall(r"`(\w+)`", one)} == REASONS
    for first in re.findall(r"^\| (`.*?) \|", page("reference/logs"), re.MULTILINE):
        for event in re.findall(r"`(\w+\.\w+)`", first):
            subject = event.partition(".")[0]
            assert f'"{event}"' in text or f'f"{subject}.{{' in text, event


def test_every_metric_is_in_the_docs_as_it_is_declared() -> None:
    rows = [line for line in page("operate/metrics").splitlines() if line.startswith("| `relay_")]
    declared = [metric.value for metric in Metric]
    labels = [", ".join(f"`{label}`" for label in one.labels) for one in declared]
    assert rows == [
        f"| `{one.name}` | {one.kind} | {names} | {one.says} |"
        for one, names in zip(declared, labels, strict=True)
    ]


def test_prometheus_brings_the_token() -> None:
    [job] = yaml.safe_load(block("operate/metrics", "yaml", "scrape_configs"))["scrape_configs"]
    assert job["authorization"].keys() == {"credentials_file"}  # as Bearer, unless it says other
    port = schema.ConsoleTable().load({})["listen"][1]
    assert all(target.endswith(f":{port}") for target in job["static_configs"][0]["targets"])
    assert job.get("metrics_path", "/metrics") == "/metrics"


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("## `[relay]`", schema.RelayTable),
        ("## `[relay.limits]`", schema.LimitsTable),
        ("## `[alerts]`", schema.AlertsTable),
        ("## `[tokens]`", schema.TokensTable),
        ("## `[keys.NAME]`", schema.KeyTable),
        ("## `[servers.NAME]`", schema.ServerTable),
        ("## `[servers.NAME.attachments]`", schema.FilesTable),
        ("## `[servers.NAME.receipt]`", schema.ReceiptTable),
        ("## `[webhooks.NAME]`", schema.WebhookTable),
        ("## `[alerts.webhook]`", schema.AlertWebhookTable),
    ],
)
def test_every_setting_is_in_the_docs_with_its_default(heading: str, table: type[Schema]) -> None:
    section = page("reference/settings").partition(heading)[2].partition("\n#")[0]
    told = {}
    for names, default in re.findall(r"^\| (`[^|]*`) \|[^|]*\|([^|]*)\|", section, re.MULTILINE):
        keys = re.findall(r"`(\w+)`", names)
        values = re.findall(r"`([^`]*)`", default) or [""]
        told |= zip(keys, values if len(values) > 1 else values * len(keys), strict=True)
    assert told.keys() == table().fields.keys()
    for key, field in table().fields.items():
        if told[key]:
            given = field.deserialize(tomllib.loads(f"value = {told[key]}")["value"])
            known = field.load_default() if callable(field.load_default) else field.load_default
            assert known is None or comparable(given) == comparable(known), key


def comparable(value: Any) -> Any:
    """What a default is compared by: a template's words, else itself."""
    return value.render({"reference": "K7M"}) if isinstance(value, Template) else value


def routes() -> list[str]:
    """The patterns of the API's paths; those of the pages and the socket are not for callers."""
    found = {}
    for module in pkgutil.walk_packages(web.__path__, "relay.web."):
        if not re.search(r"\.(pages|console|operations|control|application|routes)\b", module.name):
            for pattern, *_ in getattr(import_module(module.name), "ROUTES", []):
                found[pattern] = module.name
    return list(found)


def test_every_address_is_in_the_docs() -> None:
    tables = page("reference/endpoints") + page("api/postmark")
    told = [re.sub(r"\{[\w ]+\}", "name", path) for path in re.findall(r"(/[\w/{} .-]+)`", tables)]
    patterns = routes()
    assert any("email_cancel" in pattern for pattern in patterns)
    for pattern in patterns:
        assert any(re.fullmatch(pattern, path) for path in told), pattern


def test_every_kind_of_alert_is_in_the_docs() -> None:
    for name in KINDS:
        assert re.search(rf"^\| .*`{name}`.* \|", page("operate/alerts"), re.MULTILINE), name


def anchors(name: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    text = FENCE.sub("", page(name))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading(name: str) -> None:
    names = {path.resolve(): known for known, path in PAGES.items()}
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page(name))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (PAGES[name].parent / path).resolve() if path else PAGES[name].resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors(names[target]), link


def test_every_page_is_in_the_index() -> None:
    listed = re.findall(r"^(\w+/[\w-]+)$", page("index"), re.MULTILINE)
    assert sorted([*listed, "index", "README"]) == sorted(PAGES)
    linked = re.findall(r"\]\((\w+/[\w-]+)\.md\)", page("index"))
    assert linked == listed


def test_the_readmes_form_server_without_code_makes_the_mail_that_it_shows(tmp_path: Path) -> None:
    own = block(MAPPED, "toml", "# A form server without code")
    offline = Daemon(tmp_path, SHIPPED + "\n" + own)
    line = block(MAPPED, "sh", "echo")
    assert "try parking" in line
    given = re.search(r"echo '(.*?)'", line, re.DOTALL)
    assert given is not None
    ran = offline.command("try", "parking", "-", stdin=given[1])
    assert ran.returncode == 0, ran.stderr
    for words in (
        "To: desk@example.gov",
        "Subject: Parking permit for AB 123",
        "Tag: Parking north",
    ):
        assert words in ran.stdout
    assert f"--- text ---\n{block(MAPPED, 'text', 'Number plate')}" in ran.stdout


def test_the_example_settings_of_all_servers_are_in_order(tmp_path: Path) -> None:
    example = (ROOT / "examples" / "settings.toml").read_text(encoding="utf-8")
    ran = Daemon(tmp_path, example).command("check")
    assert (ran.returncode, "9 servers, 0 keys, in order" in ran.stdout) == (0, True), ran.stderr
    used = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"plugins = (.*)", example))))
    table = page("forms/fields").partition("## The form servers that come with it")[2]
    for name in used - {"bearer_token", "session_token", "honeypot", "mailbox"}:
        assert f"| `{name}` |" in table, name


def test_every_setting_of_a_plugin_is_in_the_docs() -> None:
    table = page("reference/settings").partition("Plugins add keys of their own:")[2]
    for path in (ROOT / "plugins").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        hook = re.search(r"def settings\(\).*?(?=\n@hookimpl|\n\n\n)", text, re.DOTALL)
        for key in re.findall(r'^ +"(\w+)": ', hook[0], re.MULTILINE) if hook else ():
            assert f"`{key}`" in table, f"{path.stem}: {key}"


def test_every_part_of_the_relay_has_its_place_in_the_docs() -> None:
    table = page("contribute/architecture").partition("| path | holds |")[2].partition("\n\n")[0]
    told = {
        name.rstrip("/").removeprefix("relay/")
        for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cell)
    }
    parts = {path.parent.name for path in (ROOT / "relay").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "relay").glob("[!_]*.py")}
    assert told - {"plugins"} == parts | modules


def test_the_order_of_the_packages_in_the_docs_is_the_one_that_is_held() -> None:
    found = re.search(r"^core > [\w\s>,]+", page("contribute/architecture"), re.MULTILINE)
    assert found is not None
    told = [rank.replace(",", "").split() for rank in found[0].removesuffix("run").split(">")]
    assert told[:-1] == [rank.split() for rank in ORDER.strip().splitlines()]


def test_every_file_of_the_walks_is_there() -> None:
    walks = page("contribute/architecture").split("## Three walks")[1].split("\n## ")[0]
    files = re.findall(r"`([a-z_/]+\.py)`", walks)
    assert [name for name in files if not (ROOT / "relay" / name).is_file()] == []
    submission = walks.split("**An attempt")[0]
    assert len(set(re.findall(r"^\d+\. `(\S+?)`", submission, re.MULTILINE))) <= 16


def test_the_states_are_drawn_in_the_docs_as_in_the_code() -> None:
    text = page("contribute/architecture")
    drawn = (states.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    assert f"```\n{textwrap.dedent(drawn)}\n```" in text
    for state in states.State:
        follow = [
            ", ".join(f"`{one}`" for one in states.State if one in table.get(state, ()))
            for table in (states.TRANSITIONS, states.ORDERS)
        ]
        assert any(follow) == (f"\n| `{state}` | {follow[0]} | {follow[1]} |\n" in text), state


# Who runs or compares each block of code that a page shows, by the start of its first line.
CLAIMS = {
    ("README", "sh", "make run"): "test_make_knows_every_target_that_a_page_names",
    ("README", "sh", "KEY="): "test_the_readmes_curl_line_sends",
    ("README", "sh", "curl -H"): "test_the_readmes_curl_line_sends",
    ("README", "json", '{"status"'): "test_the_readmes_curl_line_sends",
    ("api/application", "sh", "KEY="): "test_the_line_that_calls_the_example_sends",
    ("api/application", "sh", "RELAY_URL="): "test_the_line_that_calls_the_example_sends",
    ("api/application", "sh", "curl -s"): "test_the_line_that_calls_the_example_sends",
    ("api/postmark", "toml", "[keys.shop]"): "test_a_pages_settings_are_in_order",
    ("api/webhooks", "toml", "[servers.contactform]"): "test_a_pages_settings_are_in_order",
    ("api/webhooks", "sh", "curl -u"): "test_the_line_that_tries_a_webhook_is_noted",
    ("contribute/benchmarks", "sh", ".venv/bin/python -m"): "test_every_module_that_is_run_exists",
    ("contribute/develop", "sh", "make test"): "test_make_knows_every_target_that_a_page_names",
    ("forms/captcha", "sh", "npm install altcha"): "test_altchas_own_widget",
    ("forms/captcha", "js", "import"): "test_altchas_own_widget",
    ("forms/captcha", "html", "<link"): "test_altchas_own_widget",
    ("forms/captcha", "html", "<altcha-widget"): "test_altchas_own_widget",
    ("forms/captcha", "toml", "[servers.contactform]"): "test_a_pages_settings_are_in_order",
    ("forms/captcha", "toml", "[servers.permits]"): "test_a_pages_settings_are_in_order",
    ("forms/files", "toml", "[servers.permits]"): "test_a_pages_settings_are_in_order",
    ("forms/receipts", "toml", "[servers.permits]"): "test_a_pages_settings_are_in_order",
    ("operate/alerts", "toml", "[alerts]\nslack"): "test_a_pages_settings_are_in_order",
    ("operate/alerts", "toml", "[alerts]\nto"): "test_a_pages_settings_are_in_order",
    ("operate/alerts", "toml", "[servers.contactform]"): "test_a_pages_settings_are_in_order",
    ("operate/alerts", "toml", "[servers.registry]"): "test_a_pages_settings_are_in_order",
    ("operate/console", "toml", "[console.oidc]"): "test_a_pages_settings_are_in_order",
    ("operate/deliver", "toml", "[servers.contactform]"): "test_a_pages_settings_are_in_order",
    ("operate/deliver", "toml", "[servers.permits]"): "test_a_pages_settings_are_in_order",
    ("operate/deploy", "sh", "relay() {"): "test_the_operators_commands_run_as_the_daemon_does",
    ("operate/deploy", "sh", "make wheel"): "test_a_form_arrives_in_an_empty_folder",
    ("operate/deploy", "sh", "docker build"): "test_the_container_is_started_as_it_is_built",
    (
        "operate/metrics",
        "yaml",
        "scrape_configs",
    ): "test_prometheus_brings_the_token",
    ("operate/replies", "toml", "[servers.contactform]"): "test_a_pages_settings_are_in_order",
    ("operate/scale", "sh", "cd deploy"): "test_the_secrets_of_compose_are_made_as_a_page_says",
    ("operate/scale", "sql", "REINDEX"): "test_the_indexes_that_a_page_renews_are_tables_of_relays",
    ("operate/upgrade", "sh", "relay backup"): "test_the_commands_of_an_upgrade_exist",
    ("operate/upgrade", "sh", "pipx install"): "test_a_form_arrives_in_an_empty_folder",
    ("operate/webhooks", "toml", "[webhooks.crm]"): "test_a_pages_settings_are_in_order",
    ("operate/webhooks", "json", "{"): "test_a_call_says_what_its_page_shows",
    ("plugins/first-plugin", "python", "# plugins/"): "test_the_readmes_form_server_sends",
    ("plugins/first-plugin", "toml", "# settings"): "test_the_readmes_form_server_sends",
    ("plugins/first-plugin", "sh", "echo"): "test_the_readmes_try_line_shows_the_message",
    ("plugins/hooks", "python", "# plugins/library"): "test_readers_of_the_library_are_verified",
    ("plugins/hooks", "toml", "# A server for the readers"): (
        "test_readers_of_the_library_are_verified"
    ),
    ("plugins/hooks", "python", "# plugins/chat"): "test_the_chat_room_is_told_what_was_refused",
    (
        "plugins/hooks",
        "toml",
        "# A server that tells",
    ): "test_the_chat_room_is_told_what_was_refused",
    ("plugins/providers", "python", "# plugins/pigeon"): "test_the_provider_of_the_docs_delivers",
    ("plugins/providers", "toml", "# A server"): "test_the_provider_of_the_docs_delivers",
    ("plugins/signatures", "python", "# plugins/hmac_"): "test_a_signed_call_is_let_in_once",
    ("plugins/signatures", "toml", "# A server for calls that"): "a_signed_call_is_let_in_once",
    ("plugins/signatures", "python", "# The caller of HMAC"): "test_a_signed_call_is_let_in_once",
    ("plugins/signatures", "python", "# plugins/jwt_"): "test_a_good_token_lets_in",
    ("plugins/signatures", "toml", "# A server for calls with"): "test_a_good_token_lets_in",
    ("plugins/testing", "python", "# tests/"): "test_the_readmes_test_of_a_plugin_passes",
    ("plugins/testing", "sh", "make install-dev"): "test_every_module_that_is_run_exists",
    ("plugins/without-code", "toml", "# A form"): "without_code_makes_the_mail_that_it_shows",
    ("plugins/without-code", "sh", "echo"): "without_code_makes_the_mail_that_it_shows",
    ("plugins/without-code", "text", "Number"): "without_code_makes_the_mail_that_it_shows",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_test_claims_every_block_of_code(name: str) -> None:
    for language, text in blocks(name):
        claims = [
            claim for claim in CLAIMS if claim[:2] == (name, language) and text.startswith(claim[2])
        ]
        assert len(claims) == 1, f"{name}: no test claims ```{language}\n{text}"


def test_every_claim_is_of_a_block_and_of_a_test() -> None:
    tests = "\n".join(
        (ROOT / "tests" / name).read_text(encoding="utf-8")
        for name in (
            "test_docs.py",
            "browser/test_altcha.py",
            "test_chat.py",
            "test_library_card.py",
            "test_signatures.py",
            "test_testing.py",
            "test_wheel.py",
        )
    )
    for (name, language, first_line), test in CLAIMS.items():
        known = [text for kind, text in blocks(name) if kind == language]
        assert any(text.startswith(first_line) for text in known), (name, first_line)
        assert re.search(rf"^(?:async )?def \w*{test}\(", tests, re.MULTILINE), test


def bash(script: str, **environment: str) -> str:
    """What a script prints, run in the project's folder."""
    ran = subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_call_says_what_its_page_shows() -> None:
    shown = json.loads(block("operate/webhooks", "json", "{"))
    data, kind = shown["data"], shown["type"].removeprefix("message.")
    event = Event(
        1,
        data["id"],
        kind,
        datetime.fromisoformat(shown["timestamp"]).timestamp(),
        "clerk@example.gov is no mailbox of ours",
        "",
        data["server"],
        data["state"],
        data["provider_id"],
        data["reference"],
        "clerk@example.gov",
        json.dumps({**data["metadata"], "relay-1f2e3d4c": data["id"]}),
    )
    webhook = Webhook(Target("crm", Secret("https://crm.example.gov")), frozenset({kind}))
    [call] = calls_of(event, {"crm": webhook}, "relay-1f2e3d4c", 0.0)
    assert json.loads(call.body) == shown


@pytest.mark.slow
def test_the_line_that_calls_the_example_sends(daemon: Daemon) -> None:
    with daemon:
        shown = daemon.command("keys", "show").stdout
        key = block("api/application", "sh", "KEY=").replace(
            ".venv/bin/python run.py keys show", f"echo '{shown}'"
        )
        line = block("api/application", "sh", "RELAY_URL=")
        line = line.replace("http://127.0.0.1:8025", daemon.url)
        assert bash(key + line.replace(".venv/bin/python", sys.executable)) == "Message sent\n"
        describe = block("api/application", "sh", "curl -s")
        described = json.loads(bash(describe.replace("http://127.0.0.1:8025", daemon.url)))
        assert "/rest/email/contactform" in described["paths"]


SECRETS = {
    "POSTMARK_TOKEN": "postmark-server-token",
    "POSTMARK_TOKEN_ALERTS": "another-server-token",
    "RELAY_CAPTCHA_SECRET": "secret-of-the-captcha-service",
    "RELAY_ALTCHA_KEY": "what-challenges-are-signed-with-here",
    "RELAY_KEY_SHOP": "shop-key-shop-key-shop-key-shop-key",
    "RELAY_OIDC_SECRET": "secret-of-the-client-at-the-provider",
    "RELAY_WEBHOOK_SECRET": "webhook-secret-webhook-secret-0000",
    "CRM_WEBHOOK_SECRET": SECRET,
    "PAGER_WEBHOOK_SECRET": SECRET,
    "SLACK_URL": "https://hooks.slack.com/services/T0/B0/x",
    "SMTP_PASSWORD": "password",
    "TEAMS_URL": "https://prod-0.westus.logic.azure.com/workflows/x",
}
# What a page leaves out of a server's table, because it is about something else.
USUAL = {
    "plugins": '["bearer_token", "session_token", "permits", "mailbox"]',
    "sender": '"City <city@example.gov>"',
    "recipients": '["@example.gov"]',
}


def completed(settings: str) -> str:
    """A page's settings with what every server's table needs, where it is not there."""

    def table(found: re.Match[str]) -> str:
        keys = set(re.findall(r"^(\w+) = ", found[0], re.MULTILINE))
        needed = USUAL | (
            {"postmark_token": '{ env = "POSTMARK_TOKEN" }'} if '"postmark"' in found[0] else {}
        )
        if "alerts" in found[1] or "shop" in found[1]:  # they take no forms
            needed = {}
        lines = [f"{key} = {value}\n" for key, value in needed.items() if key not in keys]
        return found[0].rstrip("\n") + "\n" + "".join(lines)

    return re.sub(
        r"^\[servers\.(\w+)\].*?(?=^\[|\Z)", table, settings, flags=re.MULTILINE | re.DOTALL
    )


def shown_settings() -> Iterator[tuple[str, str]]:
    for (name, language, first_line), test in CLAIMS.items():
        if (language, test) == ("toml", "test_a_pages_settings_are_in_order"):
            yield name, block(name, language, first_line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [pytest.param(*one, id=f"{one[0]} {n}") for n, one in enumerate(shown_settings())],
)
def test_a_pages_settings_are_in_order(daemon: Daemon, name: str, settings: str) -> None:
    daemon.settings.write_text(completed(settings), encoding="utf-8")
    daemon.environment |= SECRETS
    ran = daemon.command("check")
    assert (ran.returncode, "in order" in ran.stdout) == (0, True), f"{name}: {ran.stderr}"


@pytest.mark.slow
def test_the_line_that_tries_a_webhook_is_noted(daemon: Daemon) -> None:
    settings = completed(block("api/webhooks", "toml", "[servers.contactform]"))
    daemon.settings.write_text(settings, encoding="utf-8")
    daemon.environment |= SECRETS
    line = block("api/webhooks", "sh", "curl -u").replace("curl", "curl -sS", 1)
    with daemon:
        line = line.replace("SECRET", SECRETS["RELAY_WEBHOOK_SECRET"], 1)
        answer = json.loads(bash(line.replace("http://127.0.0.1:8025", daemon.url)))
    assert answer["response"] == "Noted"


def test_make_knows_every_target_that_a_page_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = set()
    for name in PAGES:
        shell = "\n".join(text for language, text in blocks(name) if language == "sh")
        named |= set(re.findall(r"^make ([\w-]+)", shell, re.MULTILINE))
        named |= set(re.findall(r"`make ([\w-]+)", page(name)))
    assert {"run", "test", "docs"} <= named
    assert named <= targets


def test_every_module_that_is_run_exists() -> None:
    for name in PAGES:
        for module in re.findall(r"-[mp] ((?:benchmarks|relay)[.\w]+)", page(name)):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_the_operators_commands_run_as_the_daemon_does(tmp_path: Path) -> None:
    stub = tmp_path / "systemd-run"
    stub.write_text('#!/bin/sh\nprintf "%s " "$@"; echo\n')
    stub.chmod(0o755)
    script = block("operate/deploy", "sh", "relay() {")
    queue, backup = bash(script, PATH=f"{tmp_path}:{os.environ['PATH']}").splitlines()
    assert queue.rstrip().endswith("/opt/relay/.venv/bin/python /opt/relay/run.py queue")
    assert backup.rstrip().endswith("run.py backup /var/lib/relay/backup")
    unit = (ROOT / "deploy" / "relay.service").read_text(encoding="utf-8").splitlines()
    for setting in re.findall(r"-p (\S+)", queue):
        assert setting in unit
    [environment] = [line for line in unit if line.startswith("Environment=")]
    [variable] = re.findall(r"-E (\S+)", queue)
    assert variable in environment


def test_the_container_is_started_as_it_is_built(tmp_path: Path) -> None:
    stub = tmp_path / "docker"
    stub.write_text('#!/bin/sh\nprintf "%s " "$@"; echo\n')
    stub.chmod(0o755)
    script = block("operate/deploy", "sh", "docker build")
    build, run = bash(script, PATH=f"{tmp_path}:{os.environ['PATH']}").splitlines()
    [name] = re.findall(r"-t (\S+)", build)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [volume] = re.findall(r"^VOLUME (\S+)", dockerfile, re.MULTILINE)
    assert f"-v relay:{volume} " in run
    assert run.rstrip().endswith(f" {name}")
    [settings] = re.findall(r"RELAY_SETTINGS=(\S+)", run)
    assert f":{settings}:ro " in run


def test_the_secrets_of_compose_are_made_as_a_page_says(tmp_path: Path) -> None:
    for name in ("docker", "chown"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        stub.chmod(0o755)
    (tmp_path / "deploy").mkdir()
    given = tmp_path / "given"
    given.write_text("postmark-server-token")
    names = ("POSTMARK_TOKEN_FILE", "CERTIFICATE", "CERTIFICATE_KEY")
    script = f"cd {tmp_path}\n" + block("operate/scale", "sh", "cd deploy")
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = bash(script, PATH=path, **dict.fromkeys(names, str(given)))
    assert said.splitlines() == ["chown -R 10001 secrets", "docker compose up --build --detach"]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    files = {secret["file"] for secret in compose["secrets"].values()}
    made = {f"secrets/{path.name}" for path in (tmp_path / "deploy" / "secrets").iterdir()}
    assert made == files
    settings = (ROOT / "deploy" / "compose.settings.toml").read_text(encoding="utf-8")
    settings = settings.replace("/run/secrets", str(tmp_path / "deploy" / "secrets"))
    (tmp_path / "settings.toml").write_text(settings, encoding="utf-8")
    read = load(tmp_path / "settings.toml", {})
    assert {key.id for key in read.keys} == {"website", "applications"}
    server = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for name in re.findall(r"/live/relay.example.gov/(\S+);", server):
        assert (tmp_path / "deploy" / "tls" / name).exists()


@pytest.mark.slow
def test_the_indexes_that_a_page_renews_are_tables_of_relays(
    postgresql_url: str, tmp_path: Path
) -> None:
    store = Store(postgresql_url, tmp_path)
    store.open()
    store.close()
    engine = engine_of(postgresql_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in block("operate/scale", "sql", "REINDEX").strip().split(";"):
            if statement:
                connection.exec_driver_sql(statement)
    engine.dispose()


def test_the_commands_of_an_upgrade_exist() -> None:
    script = block("operate/upgrade", "sh", "relay backup")
    called = re.findall(r"^relay (\w+)", script, re.MULTILINE)
    assert called == ["backup", "check", "status"]
    assert {f"run.py {name}" for name in called} <= dict(commands()).keys()


class Pigeon(BaseHTTPRequestHandler):
    """The provider of the docs: takes messages as forms; `answers` are the next calls' statuses.

    An answer of 0 takes the message and says nothing.
    """

    answers: list[int]
    taken: list[dict[str, list[str]]]
    tokens: set[str]

    def do_POST(self) -> None:
        assert self.path == "/messages"
        assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        self.tokens.add(self.headers["Authorization"])
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        status = self.answers.pop(0) if self.answers else 202
        if status in (0, 202):
            self.taken.append(form)
        if status:
            self.answer(status, {"id": f"p-{len(self.taken)}"})

    def do_GET(self) -> None:
        [reference] = parse_qs(self.path.partition("?")[2])["reference"]
        ids = [f"p-{n}" for n, form in enumerate(self.taken, 1) if form["reference"] == [reference]]
        self.answer(200, {"messages": [{"id": id} for id in ids]})

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pigeon(daemon: Daemon) -> Iterator[tuple[Daemon, type[Pigeon]]]:
    """A relay with the provider of the docs, whose server is real."""
    plugin = block(PROVIDERS, "python", "# plugins/pigeon.py")
    (daemon.folder / "plugins" / "pigeon.py").write_text(plugin, encoding="utf-8")
    kind = type("", (Pigeon,), {"answers": [], "taken": [], "tokens": set()})
    settings = block(PROVIDERS, "toml", "# A server that delivers through Pigeon")
    daemon.environment |= SECRETS | {"PIGEON_TOKEN": "pigeon-token"}
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), kind)) as url:
        own = f'pigeon_url = "{url}"\nsettle = [1, 1, 1]\nretry = [1]\n'
        daemon.settings.write_text(settings + own, encoding="utf-8")
        with daemon:
            yield daemon, kind


def test_the_provider_of_the_docs_takes_70_lines() -> None:
    lines = block(PROVIDERS, "python", "# plugins/pigeon.py").splitlines()
    assert len([line for line in lines if line.strip()]) <= 70


@pytest.mark.slow
def test_the_provider_of_the_docs_delivers(pigeon: tuple[Daemon, type[Pigeon]]) -> None:
    daemon, far = pigeon
    form = {"to": "desk@example.gov", "from_address": "a@example.com", "subject": "Fair"}
    form |= {"message": "Once a year.", "street": "Elm Street"}
    key = daemon.made_keys()["application"]

    def post() -> tuple[int, str]:
        answer = daemon.post("/rest/email/permits", key, data=form)
        return answer.status_code, answer.json()["response"]

    assert post() == (200, "Message sent")
    assert far.taken[0]["to"] == ["desk@example.gov"]
    assert far.taken[0]["reply_to"] == ["a@example.com"]
    assert far.taken[0]["subject"] == ["Permit: Elm Street"]
    assert far.tokens == {"Bearer pigeon-token"}

    far.answers += [422]
    assert post()[0] == 400
    far.answers += [503]
    assert post() == (200, "Message queued")
    eventually(lambda: len(far.taken) == 2)

    far.answers += [0]
    assert post() == (200, "Message queued")
    [reference] = far.taken[2]["reference"]
    eventually(lambda: "found at Pigeon" in daemon.command("queue", "show", reference).stdout)
    assert len(far.taken) == 3

    told = {"event": "delivered", "event_id": "e1", "id": "p-3", "reference": reference}
    answer = requests.post(
        f"{daemon.url}/rest/email/postmark/permits/pigeon",
        json=told | {"to": "desk@example.gov"},
        auth=("relay", SECRETS["RELAY_WEBHOOK_SECRET"]),
        timeout=10,
    )
    assert answer.status_code == 200
    assert "delivered" in daemon.command("queue", "show", reference).stdout


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for ten seconds at most."""
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_every_name_for_providers_is_in_the_docs() -> None:
    text = FENCE.sub("", page(PROVIDERS))
    assert set(provider.__all__) <= words_of_code(text)
    for value in (Message, Submission, Server, Identity, Confirmation, Callback, ProviderEvent):
        found = re.search(
            rf"^### [^\n]*`{value.__name__}`.*?(?=^###? )", text, re.MULTILINE | re.DOTALL
        )
        assert found is not None, value
        fields = {field.name for field in dataclasses.fields(value)}
        assert fields - words_of_code(found[0]) <= THE_HOSTS, value


def words_of_code(text: str) -> set[str]:
    """The words that stand in backticks."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))


def test_an_upgrade_keeps_the_old_database_and_can_be_undone(daemon: Daemon) -> None:
    data = daemon.folder / "var"
    data.mkdir()
    url = f"sqlite:///{data}/relay.db"
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_revision("head")
    with create_engine(url).begin() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, newest.down_revision)

    store = Store(url, data)
    store.open()
    store.close()
    kept = data / f"relay.db.before-{newest.revision}"
    assert revision(kept) == newest.down_revision
    assert revision(data / "relay.db") == newest.revision

    backup = daemon.folder / "backup"
    backup.mkdir()
    shutil.copy(kept, backup / "relay.db")
    ran = daemon.command("restore", str(backup), "--yes")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "restored"), ran.stderr
    [aside] = data.glob("before-restore-*")
    assert str(aside) in ran.stdout


def revision(database: Path) -> str:
    """The schema's revision that a database has."""
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
