"""Names in template files and stored templates that print nothing: said when a form is tried."""

import asyncio
import json
import warnings
from pathlib import Path

import pytest

from relay.config import settings
from relay.config.template_files import _has
from relay.hooks import loader
from relay.site import open_site
from relay.templates.rules import TemplateDraft
from relay.testing import FormServer
from tests.support.daemon import Daemon
from tests.support.keys import APPLICATION_KEY, ENVIRONMENT, key
from tests.support.stored import by

FIELDS = {
    "to_address": "desk@example.gov",
    "from_address": "ann@example.com",
    "name": "Ann",
    "subject": "An idea",
    "message": "Green roads",
}

SETTINGS = (
    key("application", "*")
    + """
[servers.contactform]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "Forms <forms@example.gov>"
recipients = ["@example.gov"]

[servers.default]
plugins = ["bearer_token", "default", "mailbox"]
sender = "Forms <forms@example.gov>"
recipients = ["@example.gov"]
"""
)


def trying(folder: Path) -> Daemon:
    return Daemon(folder, SETTINGS, ENVIRONMENT)


@pytest.mark.parametrize(
    ("written", "unknown"),
    [
        ("{{message}} {{name}} {{phone}} {{url}} {{reference}}", []),  # optional ones are known
        ("{{mesage}}", ["mesage; did you mean message?"]),
        ("{{message}} {{adress}} {{adress}}", ["adress"]),
        ("{{#phone}}{{.}}{{/phone}}", []),
        ("{{name.first}}", []),
        ("{{person.name}}", ["person.name"]),
        ("{{{messages}}} {{Name}}", ["messages; did you mean message?", "Name"]),
    ],
)
def test_names_that_a_plugin_never_fills_in_are_warned_of(
    tmp_path: Path, written: str, unknown: list[str]
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "contactform.txt").write_text(written)
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    read = settings.load(path, ENVIRONMENT)
    server = FormServer(loader.build(read, read.keys)["contactform"], APPLICATION_KEY)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        server.post(FIELDS)
    told = [str(one.message) for one in warned]
    starts = [f"template files contactform: nothing is called {one}" for one in unknown]
    assert len(told) == len(starts), told
    for said, begins in zip(told, starts, strict=True):
        assert said.startswith(begins)
        assert said.endswith("; it prints nothing")


@pytest.mark.slow
def test_a_stored_template_that_lacks_a_value_is_warned_of_by_try(tmp_path: Path) -> None:
    daemon = trying(tmp_path)
    payload = json.dumps({**FIELDS, "template_id": "welcome", "permit": "7"})
    with open_site(settings.load(daemon.settings, daemon.environment)) as site:
        draft = TemplateDraft(
            name="Welcome",
            alias="welcome",
            subject="Hi {{name}}",
            text="{{permit}} {{permt}} {{#each things}}{{x}}{{/each}}",
            type="Standard",
        )
        asyncio.run(site.library.create("default", draft, by("operator")))
    shown = daemon.command("try", "default", "-", stdin=payload).stdout
    assert "warning       the model has no value for permt" in shown
    assert "no value for permit\n" not in shown
    unknown = payload.replace("welcome", "goodbye")
    assert "goodbye" in daemon.command("try", "default", "-", stdin=unknown).stdout
    told = daemon.command("try", "default", "-", stdin=unknown).stdout
    assert any(line.startswith("warning") for line in told.splitlines())


@pytest.mark.slow
def test_a_shipped_form_prints_everything(tmp_path: Path) -> None:
    ran = trying(tmp_path).command("try", "contactform", "-", stdin=json.dumps(FIELDS))
    assert ran.returncode == 0, ran.stderr
    assert "warning" not in ran.stdout


@pytest.mark.parametrize(
    ("model", "path", "has"),
    [
        ({"a": None}, ["a"], True),
        ({"a": None}, ["a", "b"], True),
        ({"a": {"b": 1}}, ["a", "c"], False),
        ({"a": [{"b": 1}, {}]}, ["a", "1", "b"], True),
        ({"a": [{"b": 1}]}, ["a", "b"], True),
        ({"a": [{"b": 1}]}, ["a", "0", "c"], False),
        ({}, ["a"], False),
    ],
)
def test_a_value_that_is_empty_is_there(model: object, path: list[str], has: bool) -> None:
    assert _has(model, path) is has
