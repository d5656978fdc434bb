"""The commands that need no daemon: check, plugins, try, keys."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from relay.cli import main
from relay.config.settings import load
from relay.core.errors import ConfigurationError
from relay.store.engine.database import Store
from relay.store.maintenance import audit
from tests.support.daemon import SHIPPED, Daemon

PAYLOAD = (
    "email[to_address]=desk@example.gov&email[from_address]=resident@example.com"
    "&email[subject]=Idea&email[message]=Green roads&email[shoe_size]=44&email[useHtml]=0"
)


@pytest.mark.slow
def test_check_says_what_stands_between_the_settings_and_production(offline: Daemon) -> None:
    ran = offline.command("check")
    assert ran.returncode == 0
    assert "9 servers, 0 keys, in order" in ran.stdout
    for words in ("no [keys]", "public_url is empty", "embedded mailbox", 'recipients is "*"'):
        assert f"before production: {words}" in ran.stdout or words in ran.stdout
    assert offline.command("check", "--strict").returncode == 1
    assert not (offline.folder / "var").exists()


SECRET_FILES = """
[relay.limits]
posts_per_minute = 0
server_bytes_per_day = 0

[keys.application]
secret = { file = "keys/application" }
servers = ["contactform"]

[keys.page]
secrets = [{ file = "keys/old" }, { file = "keys/new" }]
kind = "publishable"
servers = ["contactform"]

[servers.contactform]
plugins = ["bearer_token", "contactform", "postmark_webhooks", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov"]
webhook_secrets = [{ file = "keys/hook" }]
"""


@pytest.mark.slow
def test_check_names_secret_files_that_others_may_read_and_limits_that_are_off(
    offline: Daemon,
) -> None:
    offline.settings.write_text(SECRET_FILES, encoding="utf-8")
    modes = {"application": 0o644, "old": 0o604, "new": 0o640, "hook": 0o444}
    (offline.folder / "keys").mkdir()
    for name, mode in modes.items():
        path = offline.folder / "keys" / name
        path.write_text(name * 32, encoding="utf-8")
        path.chmod(mode)
    (offline.folder / "var").mkdir()
    made = offline.folder / "var" / "secret"
    made.write_text("made" * 8, encoding="utf-8")
    made.chmod(0o644)
    ran = offline.command("check")
    assert ran.returncode == 0, ran.stderr
    notes = [one for one in ran.stdout.splitlines() if "can be read by others" in one]
    told = sorted(note.partition(" can be")[0].rpartition("/")[2] for note in notes)
    assert told == ["application", "hook", "old", "secret"]
    for name in ("posts_per_minute", "server_bytes_per_day"):
        assert f"[relay.limits] {name} is 0" in ran.stdout
    assert "tokens_per_minute is 0" not in ran.stdout


@pytest.mark.slow
def test_plugins_prints_each_servers_chain_in_call_order(offline: Daemon) -> None:
    ran = offline.command("plugins")
    assert ran.returncode == 0
    contactform = ran.stdout.partition("default\n")[0]
    assert "  compose      contactform\n" in contactform
    assert "  settings     honeypot, contactform\n" in contactform
    assert "  deliver      mailbox\n" in contactform


def test_every_command_that_is_listed_is_there() -> None:
    context = click.Context(main.relay)
    for name in main.COMMANDS:
        command = main.relay.get_command(context, name)
        assert command is not None
        assert command.name == name
    assert main.relay.get_command(context, "nothing") is None


@pytest.mark.slow
def test_try_shows_every_verdict_the_unused_fields_and_the_message(offline: Daemon) -> None:
    ran = offline.command("try", "ContactForm", "-", stdin=PAYLOAD)
    assert ran.returncode == 0, ran.stderr
    for words in (
        "authenticate  None: refused with 401",
        "screen        None: passes",
        "schema        ContactForm: in order",
        "verify        None: passes",
        "unused fields shoe_size",
        "From: Contact form <contactform@example.gov>",
        "To: desk@example.gov",
        "Reply-To: resident@example.com",
        "Subject: Idea",
        "Tag: Contact Form",
        "Green roads",
    ):
        assert words in ran.stdout
    assert not (offline.folder / "var").exists()


@pytest.mark.slow
def test_try_reads_json_from_a_file_and_shows_a_templates_model(offline: Daemon) -> None:
    file = offline.folder / "form.json"
    file.write_text(
        '{"email": {"to": "desk@example.gov", "from_address": "a@example.com", '
        '"template_id": "welcome", "message": "Hi", "permit": 7}}'
    )
    ran = offline.command("try", "default", str(file))
    assert ran.returncode == 0, ran.stderr
    assert "Template: welcome" in ran.stdout
    assert '"permit": 7' in ran.stdout
    assert "unused fields none" in ran.stdout


@pytest.mark.slow
def test_try_shows_which_files_would_go_along(tmp_path: Path) -> None:
    taking = SHIPPED.replace("[servers.default]", "[servers.default]\nattachments = true")
    file = '"attachments": [{"Name": "../notes.txt", "Content": "aGVsbG8="}]'
    payload = '{"to": "a@example.gov", "from_address": "b@example.com", "subject": "s",'
    payload += f' "message": "m", {file}}}'
    shown = Daemon(tmp_path, taking).command("try", "default", "-", stdin=payload).stdout
    assert "Attachment: notes.txt (text/plain)" in shown


@pytest.mark.slow
def test_try_tells_when_a_message_would_be_sent(offline: Daemon) -> None:
    day = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
    later = f"{PAYLOAD}&email[senddatetime]={day}T18:00:00Z"
    ran = offline.command("try", "contactform", "-", stdin=later)
    assert f"To be sent: {day} 18:00" in ran.stdout, ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("email[subject]=x", "refused: to_address: Missing data"),
        ("{", "refused: malformed JSON"),
        (PAYLOAD + "&email[contact]=robot", "a robot: honeypot"),
    ],
)
def test_try_tells_a_refusal_as_it_would_be_answered(
    offline: Daemon, payload: str, words: str
) -> None:
    ran = offline.command("try", "contactform", "-", stdin=payload)
    assert words in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_try_and_others_name_a_server_or_message_that_is_not_there(offline: Daemon) -> None:
    assert "no server nowhere takes forms" in offline.command("try", "nowhere", "-").stderr
    assert "no database yet" in offline.command("mailbox").stderr
    assert "no daemon runs" in offline.command("reload").stderr


@pytest.mark.slow
def test_a_new_key_is_long_enough_for_the_settings(offline: Daemon, tmp_path: Path) -> None:
    made = {offline.command("keys", "new", "website").stdout.strip() for _ in range(2)}
    assert len(made) == 2
    path = tmp_path / "keyed.toml"
    path.write_text('[keys.website]\nsecret = { env = "KEY" }\nservers = ["*"]\n' + SHIPPED)
    for secret in made:
        assert secret.startswith("rk_website_")
        assert load(path, {"KEY": secret}).keys[0].id == "website"
    with pytest.raises(ConfigurationError):
        load(path, {"KEY": "short"})


@pytest.mark.slow
def test_the_overview_knows_what_the_last_audit_found(offline: Daemon) -> None:
    offline.start()
    try:
        assert offline.command("audit").returncode == 0
    finally:
        offline.stop()
    store = Store(f"sqlite:///{offline.folder}/var/relay.db", offline.folder / "var")
    run = store.read_now(audit.last_run)
    assert run is not None
    assert (run.accepted, run.faults) == (0, 0)
    assert offline.command("audit").returncode == 0  # and so does one without a daemon
    again = store.read_now(audit.last_run)
    assert again is not None
    assert again.at > run.at
