"""The wheel: the same program in an empty folder, with nothing else beside it in site-packages."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from tests.support.daemon import ROOT, Daemon

# What is beside the libraries that Relay needs.
OURS = {"relay", "relay_forms"}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, ".")
    [path] = folder.glob("relay_forms-*.whl")
    return path


@pytest.fixture(scope="module")
def bin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements.txt")
    run(*pip, "--no-deps", wheel)
    return folder / "bin"


def test_everything_stands_in_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == OURS
    for kept in ("relay/plugins", "relay/web/pages", "relay/notifications", "relay/store/engine"):
        files = subprocess.run(
            ["git", "ls-files", kept.replace("relay/plugins", "plugins")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert files or not (ROOT / ".git").exists()
        assert {f"relay/{name}" if name.startswith("plugins/") else name for name in files} <= {
            *names
        }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_form_arrives_in_an_empty_folder(bin: Path, tmp_path: Path) -> None:
    version = run(bin / "relay", "--version", cwd=tmp_path)
    assert re.fullmatch(r"relay [\d.]+ \(schema \d{4}, SQLite [\d.]+\)\n", version)
    assert "settings.toml" in run(bin / "relay", "init", cwd=tmp_path)
    assert "in order" in run(bin / "relay", "check", cwd=tmp_path)
    shipped = (ROOT / "settings.toml").read_text(encoding="utf-8")
    assert (tmp_path / "settings.toml").read_text(encoding="utf-8") == shipped
    daemon = Daemon(tmp_path, shipped, program=(str(bin / "relay"),))
    with daemon:
        command = re.search(r"-H '(.*?): (.*?)' (http\S+) -d '(.*?)'", daemon.output)
        name, value, url, form = command.groups()
        media = "application/x-www-form-urlencoded"
        headers = {name: value, "content-type": media}
        reply = requests.post(url, data=form, headers=headers, timeout=10)
        assert reply.json() == {"status": "success", "response": "Message sent"}
        assert "I have a great idea" in daemon.command("mailbox").stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_plugin_with_a_shipped_ones_name_is_a_conflict(bin: Path, tmp_path: Path) -> None:
    run(bin / "relay", "init", cwd=tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "honeypot.py").write_text('"""Mine."""\n', encoding="utf-8")
    ran = subprocess.run(
        [bin / "relay", "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "honeypot exists twice; rename one" in ran.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("# mine\n", encoding="utf-8")
    command = [sys.executable, str(ROOT / "run.py"), "init", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "stays as it is" in ran.stderr
    assert (tmp_path / "settings.toml").read_text(encoding="utf-8") == "# mine\n"


def test_a_checkout_says_its_version_too() -> None:
    assert run(sys.executable, ROOT / "run.py", "--version").startswith("relay ")
