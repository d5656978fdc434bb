"""What the README shows is run: its plugin, its table, its commands."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema

from relay.cli.main import COMMANDS
from relay.config import schema
from relay.config.alerts import KINDS
from relay.mustachio import Template
from relay.web import cancel, forms, health, tokens, webhooks
from tests.support.daemon import ROOT, Daemon

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = (ROOT / "settings.toml").read_text(encoding="utf-8")


def block(language: str, first_line: str) -> str:
    """A code block of the README, by its language and the start of its first line."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    [found] = [text for text in blocks if text.startswith(first_line)]
    return found


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """The README's form server, put where it says."""
    (tmp_path / "plugins").mkdir()
    plugin = block("python", "# plugins/permits.py")
    (tmp_path / "plugins" / "permits.py").write_text(plugin, encoding="utf-8")
    return Daemon(tmp_path, SHIPPED + block("toml", "# settings.toml"))


def test_a_form_server_takes_fewer_than_25_lines() -> None:
    lines = block("python", "# plugins/permits.py").splitlines()[1:]
    assert len([line for line in lines if line.strip()]) < 25


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
    line = block("sh", 'echo \'{"to"').replace(
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
        line = block("sh", "curl -H").replace("http://127.0.0.1:8025", daemon.url)
        shown = daemon.command("keys", "show").stdout
        key = block("sh", "KEY=").replace(".venv/bin/python run.py keys show", f"echo '{shown}'")
        ran = subprocess.run(["bash", "-c", key + line], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == block("json", '{"status').strip()


def test_every_command_is_in_the_readme() -> None:
    for name in COMMANDS:
        assert f"`run.py {name}" in README, name


def test_every_reason_and_event_is_in_the_readme() -> None:
    sources = [*(ROOT / "relay").rglob("*.py"), *(ROOT / "plugins").glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for reason in set(re.findall(r'reason(?:: str)? ?= ?"(\w+)"', text)):
        assert f"`{reason}`" in README, reason
    events = set(re.findall(r'\blog\.\w+\(\s*"(\w+\.\w+)"', text))
    assert "message.accepted" in events
    for event in events:
        assert f"`{event}`" in README, event


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("### `[relay]`", schema.RelayTable),
        ("### `[relay.limits]`", schema.LimitsTable),
        ("### `[alerts]`", schema.AlertsTable),
        ("### `[tokens]`", schema.TokensTable),
        ("### `[keys.NAME]`", schema.KeyTable),
        ("### `[servers.NAME]`", schema.ServerTable),
        ("### `[servers.NAME.attachments]`", schema.FilesTable),
        ("### `[servers.NAME.receipt]`", schema.ReceiptTable),
    ],
)
def test_every_setting_is_in_the_readme_with_its_default(heading: str, table: type[Schema]) -> None:
    section = README.partition(heading)[2].partition("\n#")[0]
    told = {}
    for names, default in re.findall(r"^\| (`[^|]*`) \|([^|]*)\|", section, re.MULTILINE):
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


def test_every_address_is_in_the_readme() -> None:
    handlers = [health, forms, tokens, webhooks, cancel]
    table = README.partition("## Endpoints")[2].partition("\n## ")[0]
    told = [re.sub(r"\{\w+\}", "name", path) for path in re.findall(r"`?(/[\w/{}]+)`", table)]
    for pattern, *_ in (route for handler in handlers for route in handler.ROUTES):
        assert any(re.fullmatch(pattern, path) for path in told), pattern


def test_every_kind_of_alert_is_in_the_readme() -> None:
    for name in KINDS:
        assert re.search(rf"^\| .*`{name}`.* \|", README, re.MULTILINE), name


def test_every_link_inside_the_readme_leads_to_a_heading() -> None:
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for link in re.findall(r"\]\(#([^)]+)\)", text):
        assert link in headings, link


def test_files_that_the_readme_names_exist() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert path.startswith("http") or (ROOT / path).exists(), path


def test_the_readmes_form_server_without_code_makes_the_mail_that_it_shows(tmp_path: Path) -> None:
    offline = Daemon(tmp_path, SHIPPED + "\n" + block("toml", "# A form server without code"))
    line = next(
        line for line in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "try parking" in line
    )
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
    assert f"--- text ---\n{block('text', 'Number plate')}" in ran.stdout


def test_the_example_settings_of_all_servers_are_in_order(tmp_path: Path) -> None:
    example = (ROOT / "examples" / "settings.toml").read_text(encoding="utf-8")
    ran = Daemon(tmp_path, example).command("check")
    assert (ran.returncode, "9 servers, 0 keys, in order" in ran.stdout) == (0, True), ran.stderr
    used = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"plugins = (.*)", example))))
    table = README.partition("### The form servers that come with it")[2]
    for name in used - {"bearer_token", "session_token", "honeypot", "mailbox"}:
        assert f"| `{name}` |" in table, name


def test_every_setting_of_a_form_plugin_is_in_the_readme() -> None:
    table = README.partition("Plugins add keys of their own:")[2].partition("## Endpoints")[0]
    for path in (ROOT / "plugins").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        hook = re.search(r"def settings\(\).*?(?=\n@hookimpl|\n\n\n)", text, re.DOTALL)
        for key in re.findall(r'^ +"(\w+)": ', hook[0], re.MULTILINE) if hook else ():
            assert f"`{key}`" in table, f"{path.stem}: {key}"


def test_every_part_of_the_relay_has_its_place_in_the_readme() -> None:
    table = README.partition("| path | holds |")[2].partition("\n\n")[0]
    told = {
        name.rstrip("/").removeprefix("relay/")
        for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cell)
    }
    parts = {path.parent.name for path in (ROOT / "relay").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "relay").glob("[!_]*.py")}
    assert told - {"plugins"} == parts | modules
