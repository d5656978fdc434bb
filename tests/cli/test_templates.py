"""`run.py templates` with real daemons, folders and terminals."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from relay.config.settings import load
from relay.operators.acting import system_user
from relay.site import open_site
from tests.support.daemon import ROOT, Daemon
from tests.templates.test_folder import BASIC, WELCOME, tree, write
from tests.templates.test_remote import ROW, FakeAccount

API_KEY = "api-key-of-the-letters-server-elsewhere"

SETTINGS = """
[relay]
data = "var"

[keys.api]
secret = {{ env = "API_KEY" }}
servers = ["letters"]

[servers.letters]
plugins = ["postmark"]
postmark_token = {{ env = "PROVIDER_TOKEN" }}
postmark_url = "{url}"

[servers.notices]
group = "letters"
plugins = ["bearer_token"]

[servers.local]
plugins = ["mailbox"]
"""

WITHOUT_ALIAS = {**ROW, "TemplateId": 77, "Alias": None, "Name": "Old letter"}

NOWHERE = "http://127.0.0.1:9"


def make(folder: Path, url: str = NOWHERE) -> Daemon:
    folder.mkdir()
    environment = {"API_KEY": API_KEY, "PROVIDER_TOKEN": API_KEY}
    return Daemon(folder, SETTINGS.format(url=url), environment)


@pytest.fixture
def here(tmp_path: Path) -> Daemon:
    """A relay that was started once and does not run; a folder `letters` beside its settings."""
    daemon = make(tmp_path / "here")
    with open_site(load(daemon.settings, daemon.environment)):
        pass
    write(daemon.folder / "letters", WELCOME, BASIC)
    return daemon


@pytest.fixture
def elsewhere(tmp_path: Path, here: Daemon) -> Iterator[Daemon]:
    """Another relay, which runs; it is the provider's account of `letters` here."""
    with make(tmp_path / "elsewhere") as daemon:
        here.settings.write_text(SETTINGS.format(url=daemon.url))
        yield daemon


@pytest.fixture
def provider(here: Daemon) -> Iterator[FakeAccount]:
    """An account that answers as it is told; it is the provider's account of `letters` here."""
    account = FakeAccount()
    here.settings.write_text(SETTINGS.format(url=account.url))
    yield account
    account.stop()


def run(daemon: Daemon, *arguments: str) -> str:
    """What a command that goes well prints; it logs nothing."""
    ran = daemon.command("templates", *arguments)
    assert ran.returncode == 0, ran.stderr
    assert "sqlite" not in ran.stdout + ran.stderr
    return ran.stdout


def refused(daemon: Daemon, *arguments: str, code: int = 1) -> str:
    """What a command says that does not go well: without a traceback, and no secret."""
    ran = daemon.command("templates", *arguments)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert API_KEY not in ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def on_a_terminal(daemon: Daemon, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command whose standard input is a terminal; give its exit code and its output."""
    terminal, standard_input = pty.openpty()
    try:
        os.write(terminal, answer.encode() + b"\n")
        ran = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "templates", *arguments],
            env={**daemon.environment, "RELAY_SETTINGS": str(daemon.settings)},
            stdin=standard_input,
            capture_output=True,
            text=True,
            timeout=50,
            cwd=daemon.folder,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(standard_input)
    return ran.returncode, ran.stdout + ran.stderr


def listed(daemon: Daemon, server: str = "letters") -> dict[str, list[str]]:
    """The lines of `templates list`, by alias."""
    lines = [re.split(r"  +", line) for line in run(daemon, "list", server).splitlines()]
    return {line[0]: line for line in lines}


@pytest.mark.slow
def test_a_folder_goes_into_the_store_and_comes_back_identical(here: Daemon) -> None:
    shown = run(here, "push", "letters", "letters", "--force")
    assert "Create  Layout    basic  Basic\n" in shown
    assert "Create  Standard  welcome  Welcome\n" in shown
    assert "2 templates changed in the store of letters" in shown
    assert run(here, "pull", "letters", "back") == "2 templates in back, 5 files written\n"
    assert tree(here.folder / "back") == tree(here.folder / "letters")
    assert "nothing to do" in run(here, "pull", "letters", "back")
    again = run(here, "push", "letters", "letters")
    assert again == "unchanged: basic, welcome\nnothing to do\n"


@pytest.mark.slow
def test_push_goes_through_a_running_daemon(here: Daemon) -> None:
    with here:
        run(here, "push", "letters", "letters", "--force")
        (here.folder / "letters/welcome/content.txt").write_text("Hi {{name}}")
        shown = run(here, "push", "LETTERS", "letters", "--force")
        assert "Edit    Standard  welcome  Welcome\nunchanged: basic\n" in shown
        assert "version 2" in listed(here)["welcome"]
        assert run(here, "restore", "letters", "welcome", "1").strip() == (
            "welcome  version 3, as it was in version 1"
        )
    assert "\n--- text ---\nHello {{name}}" in run(here, "show", "letters", "1234")


@pytest.mark.slow
def test_list_tells_what_is_stored_and_who_edited_it(here: Daemon) -> None:
    assert run(here, "list", "letters") == ""
    run(here, "push", "letters", "letters", "--force")
    for server in ("letters", "notices"):
        line = listed(here, server)["welcome"]
        assert line[:6] == ["welcome", "1234", "Standard", "Welcome", "basic", "version 1"]
        assert line[7] == system_user().who
    assert listed(here)["basic"][1:5] == ["1233", "Layout", "Basic", "-"]
    assert run(here, "list", "local") == ""


@pytest.mark.slow
def test_show_gives_all_parts_of_any_version(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    (here.folder / "letters/welcome/content.html").write_text("<i>\x9b2J</i>")
    run(here, "push", "letters", "letters", "--force")
    now = run(here, "show", "letters", "welcome")
    assert "subject  Hello {{name}}\n" in now
    assert "--- html ---\n<i>\\x9b2J</i>" in now
    before = run(here, "show", "letters", "1234", "--version", "1")
    assert "<p>Grüße,\n{{name}}</p>" in before
    versions = run(here, "show", "letters", "welcome", "--versions").splitlines()
    assert [line.split("  ")[0] for line in versions] == ["version 2", "version 1"]
    assert "has no version 9" in refused(here, "show", "letters", "welcome", "--version", "9")


@pytest.mark.slow
def test_restore_goes_back_without_a_daemon_too(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    (here.folder / "letters/welcome/content.txt").write_text("Other")
    run(here, "push", "letters", "letters", "--force")
    run(here, "restore", "letters", "welcome", "1")
    assert "Hello {{name}}" in run(here, "show", "letters", "welcome").partition("text ---")[2]
    refused(here, "restore", "letters", "welcome", "9")
    refused(here, "restore", "letters", "nothing", "1")
    assert "version 3" in listed(here)["welcome"]


@pytest.mark.slow
def test_push_shows_what_would_change_and_honours_no(here: Daemon) -> None:
    code, shown = on_a_terminal(here, "n", "push", "letters", "letters")
    assert code != 0
    assert "Create  Standard  welcome  Welcome\n" in shown
    assert "Change 2 templates in the store of letters? [y/N]" in shown
    assert listed(here) == {}
    code, shown = on_a_terminal(here, "y", "push", "letters", "letters")
    assert (code, "2 templates changed" in shown) == (0, True)
    assert sorted(listed(here)) == ["basic", "welcome"]


@pytest.mark.slow
def test_push_refuses_to_change_anything_unasked_without_a_terminal(here: Daemon) -> None:
    words = refused(here, "push", "letters", "letters")
    assert "Create  Standard  welcome  Welcome\n" in words
    assert "nothing was changed: no terminal to ask on; give --force" in words
    assert listed(here) == {}


@pytest.mark.slow
def test_what_only_the_store_has_is_left_alone(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    for file in (here.folder / "letters/welcome").iterdir():
        file.unlink()
    (here.folder / "letters/_layouts/basic/content.txt").write_text("{{{@content}}}")
    shown = run(here, "push", "letters", "letters", "--force")
    assert shown.startswith("Edit    Layout    basic  Basic\nleft alone: welcome\n")
    assert sorted(listed(here)) == ["basic", "welcome"]


@pytest.mark.slow
def test_what_a_folder_took_away_is_taken_away(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    folder = here.folder / "letters/welcome"
    (folder / "content.txt").unlink()
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "LayoutTemplate": None}))
    run(here, "push", "letters", "letters", "--force")
    assert listed(here)["welcome"][4] == "-"
    assert "--- text ---" not in run(here, "show", "letters", "welcome")
    assert "nothing to do" in run(here, "push", "letters", "letters")


@pytest.mark.slow
def test_push_is_all_or_nothing(here: Daemon) -> None:
    (here.folder / "letters/welcome/content.html").write_text("{{#open}}")
    words = refused(here, "push", "letters", "letters", "--force")
    assert "line 1, character 1" in words
    assert listed(here) == {}
    with here:
        words = refused(here, "push", "letters", "letters", "--force")
        assert "line 1, character 1" in words
        assert listed(here) == {}


@pytest.mark.slow
def test_pull_asks_before_it_overwrites(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    file = here.folder / "letters/welcome/content.txt"
    file.write_text("Mine")
    other = here.folder / "letters/own.txt"
    other.write_text("not a template")
    assert f"differs: {Path('letters/welcome/content.txt')}" in refused(
        here, "pull", "letters", "letters"
    )
    code, shown = on_a_terminal(here, "n", "pull", "letters", "letters")
    assert code != 0
    assert "Overwrite 1 file? [y/N]" in shown
    assert file.read_text() == "Mine"
    run(here, "pull", "letters", "letters", "--force")
    assert (file.read_text(), other.read_text()) == ("Hello {{name}}", "not a template")


@pytest.mark.slow
def test_a_template_keeps_its_number_from_relay_to_relay(here: Daemon, elsewhere: Daemon) -> None:
    write(elsewhere.folder / "letters", WELCOME, BASIC)
    run(elsewhere, "push", "letters", "letters", "--force")
    shown = run(here, "pull", "letters", "--provider", "--force")
    assert "Create  Standard  welcome  Welcome\n" in shown
    assert {line[0]: line[1] for line in listed(here).values()} == {
        "welcome": "1234",
        "basic": "1233",
    }
    assert "nothing to do" in run(here, "pull", "letters", "--provider")
    assert "nothing to do" in run(here, "push", "letters", "--provider")


@pytest.mark.slow
def test_a_folder_and_the_store_are_pushed_to_the_provider(here: Daemon, elsewhere: Daemon) -> None:
    host = elsewhere.url.removeprefix("http://")
    shown = run(here, "push", "letters", "letters", "--provider", "--force")
    assert f"2 templates changed in {host}" in shown
    assert sorted(listed(elsewhere)) == ["basic", "welcome"]
    assert listed(here) == {}
    run(here, "pull", "letters", "back", "--provider")
    assert (here.folder / "back/welcome/content.html").read_bytes() == WELCOME.html.encode()

    run(here, "push", "letters", "letters", "--force")
    (here.folder / "letters/welcome/content.txt").unlink()
    run(here, "push", "letters", "letters", "--force")
    shown = run(here, "push", "letters", "--provider", "--force")
    assert shown.startswith("Edit    Standard  welcome  Welcome\nunchanged: basic\n")
    assert "--- text ---" not in run(elsewhere, "show", "letters", "welcome")


@pytest.mark.slow
def test_any_other_relay_is_named_by_url_and_token(here: Daemon, elsewhere: Daemon) -> None:
    account = ("--url", elsewhere.url, "--token-env", "API_KEY")
    run(here, "push", "local", "letters", *account, "--force")
    assert sorted(listed(elsewhere)) == ["basic", "welcome"]
    run(here, "pull", "local", *account, "--force")
    assert sorted(listed(here, "local")) == ["basic", "welcome"]
    assert listed(here) == {}


@pytest.mark.slow
def test_what_an_account_refuses_is_one_line_and_nothing_is_stored(
    here: Daemon, elsewhere: Daemon
) -> None:
    (here.folder / "letters/welcome/content.html").write_text("{{#open}}")
    words = refused(here, "push", "letters", "letters", "--provider", "--force")
    assert "answered 422 (ErrorCode 1122)" in words
    assert "Error: welcome: 127.0.0.1:" in words
    assert "(1 of 2 were pushed)" in words
    assert sorted(listed(elsewhere)) == ["basic"]
    here.environment["WRONG_TOKEN"] = "wrong"
    account = ("--url", elsewhere.url, "--token-env", "WRONG_TOKEN")
    assert "answered 401 (ErrorCode 10)" in refused(here, "pull", "local", *account, "--force")
    assert listed(here, "local") == {}


@pytest.mark.slow
def test_a_layout_on_one_side_only_is_refused_before_anything_is_pushed(
    here: Daemon, elsewhere: Daemon
) -> None:
    made = {"Name": "B", "Alias": "basic", "Subject": "s", "TextBody": "t"}
    headers = {"X-Postmark-Server-Token": API_KEY}
    answer = requests.post(f"{elsewhere.url}/templates", json=made, headers=headers, timeout=30)
    assert answer.status_code == 200
    words = refused(here, "push", "letters", "letters", "--provider", "--force")
    assert "basic is a Standard in 127.0.0.1" in words
    assert sorted(listed(elsewhere)) == ["basic"]


@pytest.mark.slow
def test_a_template_without_an_alias_is_known_by_its_number(
    here: Daemon, provider: FakeAccount
) -> None:
    provider.rows = [WITHOUT_ALIAS]
    assert "Create  Standard  number 77  Old letter" in run(
        here, "pull", "letters", "--provider", "--force"
    )
    [line] = listed(here).values()
    assert line[:2] == ["old-letter", "77"]
    assert "nothing to do" in run(here, "pull", "letters", "--provider")
    assert "nothing to do" in run(here, "push", "letters", "--provider")

    run(here, "pull", "letters", "back", "--provider")
    (here.folder / "back/_77/content.html").write_text("<p>New</p>")
    assert "Edit    Standard  number 77  Old letter" in run(
        here, "push", "letters", "back", "--provider", "--force"
    )
    assert provider.calls[-1][:2] == ("PUT", "/base/templates/77")
    assert provider.calls[-1][2]["HtmlBody"] == "<p>New</p>"
    assert "Alias" not in provider.calls[-1][2]
    run(here, "push", "letters", "back", "--force")
    assert [line[:2] for line in listed(here).values()] == [["old-letter", "77"]]


@pytest.mark.slow
def test_a_number_that_is_taken_is_told(here: Daemon, provider: FakeAccount) -> None:
    run(here, "push", "letters", "letters", "--force")
    provider.rows = [{**ROW, "TemplateId": 1234, "Alias": "other"}]
    ran = here.command("templates", "pull", "letters", "--provider", "--force")
    number = listed(here)["other"][1]
    assert ran.stderr.strip() == f"note: other has the number {number}, not 1234"
    assert listed(here)["welcome"][1] == "1234"


@pytest.mark.slow
def test_no_alias_of_an_account_leaves_the_folder_or_is_stored(
    here: Daemon, provider: FakeAccount
) -> None:
    provider.rows = [{**ROW, "Alias": "../../escaped\x1b[2J"}]
    before = set(here.folder.parent.rglob("*"))
    run(here, "pull", "letters", "out/side", "--provider")
    new = set(here.folder.parent.rglob("*")) - before
    assert len([path for path in new if path.is_file()]) == 2
    assert all((here.folder / "out") in (path, *path.parents) for path in new)
    words = refused(here, "pull", "letters", "--provider", "--force")
    assert "The 'Alias' has characters that no mail can carry" in words
    assert "\x1b" not in words
    assert listed(here) == {}


@pytest.mark.slow
def test_long_work_shows_its_progress_on_a_terminal_only(
    here: Daemon, provider: FakeAccount
) -> None:
    provider.rows = [ROW]
    terminal, standard_error = pty.openpty()
    line = [sys.executable, str(ROOT / "run.py"), "--settings", str(here.settings)]
    subprocess.run(
        [*line, "templates", "pull", "letters", "seen", "--provider"],
        env=here.environment,
        stdout=subprocess.DEVNULL,
        stderr=standard_error,
        timeout=50,
        cwd=here.folder,
        check=True,
    )
    os.close(standard_error)
    assert b"fetching from 127.0.0.1" in os.read(terminal, 4096)
    os.close(terminal)
    assert here.command("templates", "pull", "letters", "unseen", "--provider").stderr == ""


@pytest.mark.slow
def test_a_database_that_cannot_be_read_is_one_line(here: Daemon) -> None:
    for file in (here.folder / "var").glob("relay.db*"):
        file.unlink()
    assert "no database yet; start the daemon once" in refused(here, "list", "letters", code=2)
    (here.folder / "var/relay.db").touch()
    assert "the database cannot be read" in refused(here, "list", "letters")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list", "letter"), 1, "no server letter; did you mean letters?"),
        (("pull", "letters"), 2, "name a FOLDER, or an account"),
        (("push", "letters"), 2, "name a FOLDER, or an account"),
        (("pull", "local", "f", "--provider"), 1, "mailbox, which has no account with templates"),
        (("pull", "letters", "f", "--url", "https://x"), 2, "--url with --token-env"),
        (("pull", "local", "--url", "ftp://x", "--token-env", "API_KEY"), 2, "begins with https"),
        (("pull", "local", "--url", "https://x", "--token-env", "NO"), 2, "NO is not set"),
        (("pull", "letters", "f"), 1, "the store of letters has no templates"),
        (("push", "letters", "var"), 1, "var has no templates"),
        (("push", "letters", "nowhere"), 1, "nowhere: there is no such folder"),
        (("pull", "letters", "--provider"), 1, "127.0.0.1:9: no answer: ConnectionError"),
        (("validate", "nowhere"), 1, "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    here: Daemon, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in refused(here, *arguments, code=code)
    assert listed(here) == {}
    assert not (here.folder / "f").exists()


@pytest.mark.slow
def test_preview_writes_html_to_look_at(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    shown = run(here, "preview", "letters", "welcome")
    assert shown == "welcome.html\nSubject: Hello name_Value\n\nHello name_Value\n"
    html = (here.folder / "welcome.html").read_text()
    assert "Grüße," in html
    assert "name_Value" in html

    (here.folder / "model.json").write_text('{"name": "Ann & Bob"}')
    shown = run(
        here, "preview", "letters", "1234", "--model", "model.json", "--output", "look.html"
    )
    assert shown == "look.html\nSubject: Hello Ann & Bob\n\nHello Ann & Bob\n"
    assert "Ann &amp; Bob" in (here.folder / "look.html").read_text()


@pytest.mark.slow
def test_preview_prints_html_alone_and_warns_of_what_the_model_lacks(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    (here.folder / "model.json").write_text("{}")
    ran = here.command(
        "templates", "preview", "letters", "welcome", "--model", "model.json", "--output", "-"
    )
    assert "Subject" not in ran.stdout
    assert "<b><p>Grüße," in ran.stdout
    assert "warning: " in ran.stderr
    assert "Subject: Hello" in ran.stderr
    assert not (here.folder / "welcome.html").exists()


@pytest.mark.slow
def test_preview_shows_a_layout_alone(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    assert run(here, "preview", "letters", "basic") == "basic.html\n"
    assert "<b>" in (here.folder / "basic.html").read_text()


@pytest.mark.slow
def test_preview_refuses_what_is_no_model(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    for content, words in (("[]", "not a JSON object"), ("{", "model.json: ")):
        (here.folder / "model.json").write_text(content)
        assert words in refused(here, "preview", "letters", "welcome", "--model", "model.json")
    assert not (here.folder / "welcome.html").exists()
    refused(here, "preview", "letters", "nothing")


@pytest.mark.slow
def test_validate_names_file_line_and_character(here: Daemon) -> None:
    assert run(here, "validate", "letters") == ""
    ran = here.command("templates", "validate", "./letters")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "2 templates, 0 with errors" in ran.stderr

    folder = here.folder / "letters"
    (folder / "welcome/content.html").write_text("<p>\n{{name}} {{#open}}")
    (folder / "_layouts/basic/content.html").write_text("no place")
    broken = folder / "broken" / "meta.json"
    broken.parent.mkdir()
    broken.write_text("{")
    ran = here.command("templates", "validate", "./letters")
    assert ran.returncode == 1
    lines = ran.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("letters/broken/meta.json: line 1, character 2: ")
    assert lines[1].startswith("letters/_layouts/basic/meta.json: The layout content placeholder")
    assert lines[2].startswith("letters/welcome/content.html:2:10: ")
    assert "3 templates, 3 with errors" in ran.stderr


@pytest.mark.slow
def test_validate_checks_what_is_stored(here: Daemon) -> None:
    run(here, "push", "letters", "letters", "--force")
    ran = here.command("templates", "validate", "notices")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "2 templates, 0 with errors" in ran.stderr
