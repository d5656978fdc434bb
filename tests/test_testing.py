"""relay.testing: what the author of a form plugin sees of it, in an installation of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import ROOT
from tests.support.docs import block

SETTINGS = """
[relay]
secret = { env = "RELAY_SECRET" }

[keys.website]
secret = { env = "RELAY_KEY_WEBSITE" }
kind = "publishable"
servers = ["permits"]

[servers.permits]
plugins = ["bearer_token", "session_token", "honeypot", "permits", "mailbox"]
sender = "Permits <permits@example.gov>"
recipients = ["@example.gov"]
"""


def run(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    """Run a test of the README's plugin as its author would, from the project's root."""
    for name in ("plugins", "tests"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "settings.toml").write_text(SETTINGS)
    (folder / "plugins" / "permits.py").write_text(
        block("plugins/first-plugin", "python", "# plugins/permits.py")
    )
    (folder / "tests" / "test_permits.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "relay.testing", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, str(folder / "tests" / "test_permits.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.slow
def test_the_readmes_test_of_a_plugin_passes(tmp_path: Path) -> None:
    ran = run(tmp_path, block("plugins/testing", "python", "# tests/test_permits.py"))
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
    assert not (tmp_path / "var").exists()


@pytest.mark.slow
def test_the_readmes_test_fails_where_the_plugin_is_wrong(tmp_path: Path) -> None:
    test = block("plugins/testing", "python", "# tests/test_permits.py").replace(
        "Permit: Elm", "Permit of Elm"
    )
    ran = run(tmp_path, test)
    assert ran.returncode == 1
    assert "1 failed, 1 passed" in ran.stdout


OTHERS = '''
import pytest
from relay import Decoy, Identity, hookimpl
from relay.testing import Refused, Screened

FIELDS = {"to": "desk@example.gov", "from_address": "a@example.com", "subject": "Fair",
          "message": "Once.", "street": "Elm"}
BODY = "&".join(f"email[{name}]={value}" for name, value in FIELDS.items())


@pytest.fixture
def permits(form_server):
    return form_server("permits")


def test_bodies(permits):
    made = permits.post(FIELDS)
    assert permits.post(BODY) == made
    assert permits.post(BODY.encode()) == made
    assert permits.post('{"email": {"to": "desk@example.gov", "from_address": "a@example.com",'
                        '"subject": "Fair", "message": "Once.", "street": "Elm"}}') == made
    assert permits.refused("x", media="text/plain").status == 415
    assert permits.refused(b"{").status == 400


@pytest.mark.parametrize(("options", "status", "reason"), [
    ({"key": ""}, 401, "no_header"),
    ({"key": "another"}, 401, "unknown_key"),
    ({"session": True, "headers": {"authorization": "x"}}, 401, "unknown_key"),
])
def test_callers(permits, options, status, reason):
    refused = permits.refused(FIELDS, **options)
    assert (refused.status, refused.reason) == (status, reason)


def test_sessions(permits):
    assert permits.post(FIELDS, session=True).tag == "Permit"
    refused = permits.refused({**FIELDS, "token_session": ""}, session=True)
    assert (refused.status, refused.words) == (403, "invalid token")


def test_policy_and_robots(permits):
    refused = permits.refused({**FIELDS, "to": "a@example.com"})
    assert (refused.status, refused.reason) == (400, "recipient")
    with pytest.raises(Screened):
        permits.post({**FIELDS, "contact": "robot"})
    with pytest.raises(Refused, match="400: street: Missing data"):
        permits.post({**FIELDS, "street": ""})
    with pytest.raises(AssertionError, match="it was taken: Permit: Elm"):
        permits.refused(FIELDS)


def test_other_settings(form_server):
    from relay import ConfigurationError
    text = """
[servers.fairs]
plugins = ["bearer_token", "session_token", "permits", "mailbox"]
sender = "Fairs <fairs@example.gov>"
"""
    assert str(form_server("Fairs", text).post(FIELDS).sender) == "Fairs <fairs@example.gov>"
    with pytest.raises(ConfigurationError, match="did you mean permits?"):
        form_server("fairs", text.replace("permits", "permit"))
    with pytest.raises(ConfigurationError, match="no server permits takes forms"):
        form_server("permits", text)


def test_what_the_daemon_answers_500(form_server):
    text = """
[servers.fairs]
plugins = ["bearer_token", "session_token", "broken", "mailbox"]
sender = "Fairs <fairs@example.gov>"
"""
    with pytest.raises(TypeError, match="not JSON serializable"):
        form_server("fairs", text).post(FIELDS)
    with pytest.raises(TypeError, match="gave no Message"):
        form_server("fairs", text).post({**FIELDS, "subject": "none"})


@pytest.mark.parametrize("unsure", ["hold", "pass", "refuse"])
def test_what_is_verified(form_server, unsure):
    text = """
[servers.fairs]
plugins = ["bearer_token", "session_token", "judge", "permits", "mailbox"]
sender = "Fairs <fairs@example.gov>"
"""
    fairs = form_server("fairs", f'{text}when_unsure = "{unsure}"')
    assert fairs.post({**FIELDS, "street": "refuse"})  # nobody is asked
    assert fairs.post(FIELDS, verify=True)
    refused = fairs.refused({**FIELDS, "street": "refuse"}, verify=True)
    assert (refused.status, refused.reason) == (403, "not_verified")
    doubtful = {**FIELDS, "street": "unsure"}
    if unsure == "pass":
        assert fairs.post(doubtful, verify=True)
    else:
        with pytest.raises(Screened if unsure == "hold" else Refused):
            fairs.post(doubtful, verify=True)
'''
JUDGE = """
from relay import Refused, Unsure, hookimpl

@hookimpl
def verify(submission):
    said = {"refuse": Refused("no"), "unsure": Unsure("down")}
    return said.get(submission.fields["street"])
"""
BROKEN = """
from dataclasses import replace
from relay import EmailForm, base_message, hookimpl

@hookimpl
def schema():
    return EmailForm()

@hookimpl
def compose(form, server):
    if form["subject"] != "none":
        return replace(base_message(form, server), template=1, model={"x": object()})
"""


@pytest.mark.slow
def test_everything_that_a_client_can_meet_can_be_asserted(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "broken.py").write_text(BROKEN)
    (tmp_path / "plugins" / "judge.py").write_text(JUDGE)
    ran = run(tmp_path, OTHERS)
    assert ran.returncode == 0, ran.stdout
    assert "11 passed" in ran.stdout
