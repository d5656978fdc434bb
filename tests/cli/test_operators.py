"""`run.py operators`, with and without a daemon beside it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import SHIPPED, Daemon

pytestmark = pytest.mark.slow

# The acts of these commands, newest first: verb, target, before and after.
ACTS = [
    ("remove", "ada", "viewer"),
    ("change role", "ada", "admin -> viewer"),
    ("new link", "jo", ""),
    ("invite", "jo", "operator"),
    ("invite", "ada", "admin"),
]


def changed(daemon: Daemon) -> list[subprocess.CompletedProcess]:
    """Run every command once; the admins are ada, and whoever is there already."""
    orders = [
        "invite Ada --role admin",
        "invite jo --role operator",
        "link JO",
        "role ada viewer",
        "sign-out jo",
        "remove ada",
        "invite jo --role viewer",
        "link nobody",
        "invite a/b --role viewer",
    ]
    return [daemon.command("operators", *order.split()) for order in orders]


def acts(daemon: Daemon) -> list[str]:
    return daemon.command("acts", "--limit", "5").stdout.splitlines()


def test_they_work_without_a_daemon_and_keep_the_last_admin(
    offline: Daemon, empty_database: Path
) -> None:
    (offline.folder / "var").mkdir(mode=0o700)
    shutil.copy(empty_database, offline.folder / "var")
    invite = offline.command("operators", "invite", "ada", "--role", "admin")
    assert re.fullmatch(r"http://127\.0\.0\.1:0/sign-in/link/[\w-]{43}\n", invite.stdout), (
        invite.stderr
    )
    for order in (["role", "ada", "viewer"], ["remove", "ada"]):
        refused = offline.command("operators", *order)
        assert (refused.returncode, "the last admin" in refused.stderr) == (1, True)
    listed = offline.command("operators").stdout
    assert listed.split() == ["ada", "admin", "never", "seen", "no", "second", "factor"]


@pytest.mark.slow
def test_they_work_beside_a_daemon_with_acts_of_the_systems_user(tmp_path: Path) -> None:
    url = 'listen = "127.0.0.1:0"\npublic_url = "https://relay.example.gov"\n'
    daemon = Daemon(tmp_path, f"{SHIPPED}\n[console]\n{url}")
    with daemon:
        done = changed(daemon)
        assert [one.returncode for one in done] == [0, 0, 0, 0, 0, 0, 1, 1, 1]
        links = [one.stdout for one in done[:3]]
        assert all(one.startswith("https://relay.example.gov/sign-in/link/") for one in links)
        assert len(set(links)) == 3
        assert done[4].stdout == "jo  0 sessions ended\n"
        assert "there is somebody called jo already" in done[6].stderr
        assert "there is nobody called nobody" in done[7].stderr
        assert "a name has letters" in done[8].stderr
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
        for line, (verb, target, words) in zip(acts(daemon), ACTS, strict=True):
            assert f"{user.stdout.strip()} (command)" in line
            assert re.search(rf"{verb} +{target} +{words}$", line) or not words
        listed = daemon.command("operators").stdout.split("\n")
        assert [line.split()[:2] for line in listed if line] == [
            ["admin", "admin"],
            ["jo", "operator"],
        ]
        assert not any(one.rpartition("/")[2].strip() in daemon.log() for one in links)
