"""`run.py status`, and what `queue show` and `alerts` learn from the running daemon."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from sqlalchemy import update

from relay.cli.main import relay
from relay.config import settings as relay_settings
from relay.site import Site, open_site
from relay.store import alerts as stored
from relay.store import canaries, installation
from relay.store.alerts import Alert, AlertKey, Change
from relay.store.canaries import Canary, NewCanary
from relay.store.schema import messages
from tests.support.daemon import Daemon
from tests.support.mail_server import mail_server_rig
from tests.support.stored import put

SETTINGS = """
[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.desk]
plugins = ["bearer_token", "default", "smtp"]
sender = "Desk <desk@example.gov>"
recipients = ["@example.gov"]
smtp_url = "smtp://127.0.0.1:{port}?tls=none"
"""
KEY = {"APPLICATION_KEY": "application-key-application-key-1234"}
FORM = {
    "to": "ann@example.gov",
    "from_address": "jane@example.com",
    "subject": "Hi",
    "message": "Hi.",
}
SENDER = "553 5.7.1 <desk@example.gov>: Sender address rejected: not owned by user"


@pytest.fixture
def offline(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, SETTINGS.format(port=1), KEY)


@pytest.fixture
def site(offline: Daemon) -> Iterator[Site]:
    with open_site(relay_settings.load(offline.settings, KEY)) as site:
        yield site


def run(daemon: Daemon, *arguments: str) -> Result:
    """Run a command in this process: no daemon runs, so that there is nobody to ask."""
    logging = structlog.get_config()  # a command configures its own
    try:
        return CliRunner().invoke(relay, ["--settings", str(daemon.settings), *arguments], env=KEY)
    finally:
        structlog.configure(**logging)


@pytest.mark.slow
def test_all_that_is_wrong_is_on_one_screen_while_the_daemon_runs(tmp_path: Path) -> None:
    with mail_server_rig() as rig:
        daemon = Daemon(tmp_path, SETTINGS.format(port=rig.port), KEY)
        key = KEY["APPLICATION_KEY"]
        with daemon:
            well = daemon.command("status")
            assert (well.returncode, "\nwrong" in well.stdout) == (0, False)
            assert re.search(r"^up +\d+s, since 20", well.stdout, re.MULTILINE)
            assert re.search(r"^version +relay \S+ \(schema 00\d\d\)", well.stdout)
            # Of what only waits for its time.
            rig.answers["RCPT"] = ["450 4.2.0 greylisted"]
            id = daemon.post("/rest/email/desk", key, data=FORM).headers["X-Relay-Message-Id"]
            put_off = "why: It waits, because attempt 1 was put off (RCPT: 450 4.2.0 greylisted); "
            assert f"{put_off}the next is in " in daemon.command("queue", "show", id).stdout
            assert daemon.command("queue", "cancel", id, "--yes").returncode == 0
            tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
            later = {**FORM, "senddatetime": tomorrow}
            id = daemon.post("/rest/email/desk", key, data=later).headers["X-Relay-Message-Id"]
            shown = daemon.command("queue", "show", id).stdout
            assert "why: It waits, because its time has not come: in " in shown
            assert daemon.command("queue", "cancel", id, "--yes").returncode == 0
            assert daemon.command("status").returncode == 0
            # Of a message that the provider refuses, and of the provider.
            rig.refused["ann@example.gov"] = "550 5.1.1 no such user\x1b[2J"
            assert daemon.post("/rest/email/desk", key, data=FORM).status_code == 400
            rig.answers["MAIL"] = [SENDER] * 9
            reply = daemon.post("/rest/email/desk", key, data=FORM)
            assert reply.json()["response"] == "Message queued"
            ill = daemon.command("status")
            assert ill.returncode == 1
            assert "wrong      1 message failed: `run.py queue --state failed`" in ill.stdout
            assert "waiting    1, the oldest for " in ill.stdout
            assert "wrong      alert failed  desk" in ill.stdout
            assert "\x1b" not in ill.stdout
            [fails] = re.findall(r"^wrong +(smtp of desk fails .*)$", ill.stdout, re.MULTILINE)
            why, rest = re.split("; next probe at 20|; it is asked again", fails)
            assert why.startswith("smtp of desk fails since 20")
            assert why.endswith("<(address)>: Sender address rejected: not owned by user")
            assert rest.endswith("mail of desk is concerned")
            # What waits behind it says the same.
            reply = daemon.post("/rest/email/desk", key, data=FORM)
            shown = daemon.command("queue", "show", reply.headers["X-Relay-Message-Id"]).stdout
            assert f"why: It waits, because {why}; " in shown
            # Of the settings on the disk.
            with daemon.settings.open("a") as file:
                file.write('[servers.desk.keep_days]\nsent = "soon"\n')
            broken = daemon.command("status")
            assert "was changed since it was read, and cannot be read again: " in broken.stdout
            assert "keep_days" in broken.stdout
            daemon.settings.write_text(SETTINGS.format(port=rig.port) + "max_age_hours = 5\n")
            assert (
                "was changed since it was read: `run.py reload`" in daemon.command("status").stdout
            )
            assert daemon.command("reload").returncode == 0
            assert "was changed" not in daemon.command("status").stdout
        silent = daemon.command("status")
        assert silent.returncode == 1
        assert "wrong      no daemon runs on these settings" in silent.stdout
        assert "wrong      1 message failed" in silent.stdout


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("held", "wrong      1 message held: `run.py queue --state held`"),
        ("in_doubt", "wrong      1 message in doubt: `run.py queue --state in_doubt`"),
        ("failed", "wrong      1 message failed: `run.py queue --state failed`"),
        ("expired", "wrong      1 message expired: `run.py queue --state expired`"),
        ("quarantined", "wrong      1 message quarantined: `run.py queue --state quarantined`"),
        ("queued", "waiting    1, the oldest for "),
        ("sending", "waiting    1, the oldest for "),
    ],
)
def test_without_a_daemon_it_says_so_and_what_the_database_holds(
    offline: Daemon, site: Site, state: str, words: str
) -> None:
    put(site.store, 1, state, server="desk")
    site.store.write_now(installation.pause, [("desk", 1_790_000_000.0)])
    ran = run(offline, "status")
    assert ran.exit_code == 1
    assert words in ran.stdout
    assert "wrong      no daemon runs on these settings\n" in ran.stdout
    assert "paused     desk since 2026-09-21 14:13:20Z" in ran.stdout
    shown = run(offline, "queue", "show", put(site.store, 2, "queued", server="desk")).stdout
    assert "why: It waits, because desk is paused since 2026-09-21 14:13:20Z" in shown
    assert "and because no daemon runs on these settings." in shown


def test_it_says_in_a_line_how_canaries_do(offline: Daemon, site: Site) -> None:
    missing = Canary("desk", "", 1_790_000_000.0, False, None, None, 1_790_000_000.0, "it failed")
    site.store.write_now(canaries.begin, [NewCanary(missing, None)])
    ran = run(offline, "status")
    assert "canary     desk: missing since 2026-09-21 14:13:20Z: it failed\n" in ran.stdout


def test_settings_that_nobody_can_read_are_one_line_where_no_daemon_runs(offline: Daemon) -> None:
    offline.settings.write_text("data = [")
    ran = run(offline, "status")
    assert str(ran.exception).startswith("settings.toml: ")


@pytest.mark.parametrize("kind", ["failed", "expired", "quarantined", "held"])
def test_an_alert_of_what_a_person_mended_stands_no_more(
    offline: Daemon, site: Site, kind: str
) -> None:
    ids = [put(site.store, number, kind, server="desk") for number in (1, 2)]
    alert = Alert(AlertKey(kind, "desk"), 1_790_000_000.0, 1_790_000_000.0, 2)
    site.store.write_now(stored.change, [Change([alert])])
    assert f"\n{kind}  desk  since " in run(offline, "alerts").stdout
    mended = update(messages).where(messages.c.id.in_(ids)).values(state="sent")
    site.store.write_now(lambda connection, batch: [connection.execute(mended)], [None])
    told = run(offline, "alerts")
    assert f"\nnothing to tell\nmended: {kind}  desk  since " in told.stdout
    assert "no daemon runs: what lasts is listed as its last look found it" in told.stderr
    assert f"alert {kind}" not in run(offline, "status").stdout


def test_what_is_over_by_itself_is_told_as_mended_and_what_lasts_stands(
    offline: Daemon, site: Site
) -> None:
    at = 1_790_000_000.0
    lasts = Alert(AlertKey("breaker", "desk", "smtp"), at, at, 1, words="busy")
    over = Alert(AlertKey("disk", ""), at, at, 1, over_at=at + 60)
    site.store.write_now(stored.change, [Change([lasts, over])])
    first, second = run(offline, "alerts").stdout.splitlines()[-2:]
    assert first.startswith("breaker  desk  smtp  since ")
    assert second.startswith("mended: disk  since ")
    assert "wrong      alert breaker  desk  smtp" in run(offline, "status").stdout


@pytest.mark.slow
def test_the_daemon_looks_again_when_it_is_asked_what_stands(tmp_path: Path) -> None:
    settings = SETTINGS.format(port=1) + "expect_mail_hours = 1\n"
    daemon = Daemon(tmp_path, settings, KEY)
    with open_site(relay_settings.load(daemon.settings, KEY)) as site:
        lasts = Alert(AlertKey("waiting", "desk"), 1.0, 1.0, 1, words="its provider fails")
        site.store.write_now(stored.change, [Change([lasts])])
    assert daemon.command("alerts").stdout.splitlines()[-1].startswith("waiting  desk  since ")
    with daemon:
        assert "mended: waiting  desk  since " in daemon.command("alerts").stdout


@pytest.mark.parametrize(("count", "is_wrong"), [(1, False), (4, False), (5, True)])
def test_a_few_strangers_are_nothing_wrong(
    offline: Daemon, site: Site, count: int, is_wrong: bool
) -> None:
    at = 1_790_000_000.0
    site.store.write_now(stored.change, [Change([Alert(AlertKey("keys", "desk"), at, at, count)])])
    assert ("wrong      alert keys  desk" in run(offline, "status").stdout) is is_wrong


def test_a_canary_is_shown_by_its_id_alone(offline: Daemon, site: Site) -> None:
    id = put(site.store, 1, "failed", server="desk", canary=True)
    shown = run(offline, "queue", "show", id).stdout
    assert f"{id}  failed  server desk" in shown
    assert "subject An idea" in shown
    for arguments in (["queue"], ["queue", "--state", "failed"], ["find", "idea"]):
        assert id not in run(offline, *arguments).stdout
