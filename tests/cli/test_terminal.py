"""All that a command prints is made visible: nothing in it is a command to the terminal."""

import ast
from pathlib import Path

import pytest

from relay.cli import terminal
from tests.support.daemon import ROOT, Daemon

PRINTS = {
    "print",
    "click.echo",
    "click.secho",
    "click.confirm",
    "click.prompt",
    "click.progressbar",
    "sys.stdout.write",
    "sys.stderr.write",
}
MODULES = sorted((ROOT / "relay/cli").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_terminal_prints(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert path.name == "terminal.py" or not called & PRINTS


def test_control_characters_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say("Gr\u00fcn\x1b[31m\r\nroads\x9b\tgreen\u202efdp")
    assert capsys.readouterr().out == "Gr\u00fcn\\x1b[31m\nroads\\x9b\tgreen\\u202efdp\n"


def test_what_a_command_refuses_is_made_visible_too(tmp_path: Path) -> None:
    offline = Daemon(tmp_path, (ROOT / "settings.toml").read_text(encoding="utf-8"))
    refused = offline.command("pause", "\x1b[31m")
    assert (refused.returncode, "\x1b" in refused.stderr) == (1, False)
    assert "no server \\x1b[31m" in refused.stderr
