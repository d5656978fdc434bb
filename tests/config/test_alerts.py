"""`[alerts]`: what may stand there, what is refused, and what `check` warns of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relay.config.alerts import KINDS
from relay.config.schema import AlertsTable
from relay.config.settings import Settings
from relay.config.template_files import ALERT_TEXTS
from relay.core.errors import ConfigurationError
from tests.support.daemon import ROOT, Daemon
from tests.support.docs import page

Load = Callable[[str], Settings]

SERVERS = """
[servers.alerts]
plugins = ["mailbox"]
sender = "Relay <alerts@example.gov>"

[servers.forms]
plugins = ["default", "mailbox"]
sender = "forms@example.gov"
recipients = ["@example.gov"]
"""
TO = '[alerts]\nto = ["ops@example.gov"]\n'


def test_without_the_table_nobody_is_told_by_mail(load: Load) -> None:
    terms = load(SERVERS.replace("alerts", "other")).alerts
    assert (terms.to, terms.server, terms.repeat) == ((), "", (900, 3600, 14400, 86400))
    assert dict(terms.at_least) == {"keys": 5, "tokens": 20, "screened": 50}


def test_every_key_is_read(load: Load) -> None:
    terms = load(
        TO + "urgent_to = ['pager@example.gov']\nserver = 'Alerts'\nrepeat_minutes = [5, 10]\n"
        "at_least = { tokens = 3 }\nbreaker_minutes = 1\nwaiting_hours = 0.5\n"
        "waiting_long_hours = 2\ndigest = '23:59'\ndigest_always = true\n" + SERVERS
    ).alerts
    assert [one.email for one in terms.to] == ["ops@example.gov"]
    assert [one.email for one in terms.urgent_to] == ["ops@example.gov", "pager@example.gov"]
    assert (terms.server, terms.repeat, terms.breaker) == ("alerts", (300, 600), 60)
    assert (terms.waiting, terms.waiting_long) == (1800, 7200)
    assert (terms.digest, terms.digest_always) == (86340, True)
    assert dict(terms.at_least) == {"keys": 5, "tokens": 3, "screened": 50}


def test_a_server_says_after_how_long_its_silence_is_told(load: Load) -> None:
    read = load(SERVERS + "expect_mail_hours = 24\n")
    assert read.servers["forms"].server.expect_mail == 86400
    assert read.servers["alerts"].server.expect_mail == 0


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[alerts]\n", "[alerts] to: name who is told"),
        ('[alerts]\nto = ["ops"]\n', "[alerts] to.0:"),
        (TO + 'server = "alert"\n', "[alerts] server: no server alert; it needs a table"),
        (TO + 'digest = "7:00"\n', '[alerts] digest: a time of day looks like "07:00"'),
        (TO + 'digest = "24:00"\n', "[alerts] digest:"),
        (TO + "at_least = { failed = 2 }\n", "[alerts] at_least: no kind failed"),
        (TO + "at_least = { keys = 0 }\n", "[alerts] at_least: keys: a whole number above 0"),
        (TO + "repeat_minutes = []\n", "[alerts] repeat_minutes:"),
        (TO + "waiting_hours = 0\n", "[alerts] waiting_hours:"),
        (TO + "waiting = 1\n", "[alerts] waiting: is not a setting here"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(load: Load, toml: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(toml + SERVERS)
    assert words in str(refused.value)


def test_the_alerts_server_needs_a_sender(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="needs a sender"):
        load(TO + SERVERS.replace('sender = "Relay <alerts@example.gov>"', ""))


POSTMARK = """
[servers.alerts]
plugins = ["postmark"]
sender = "Relay <alerts@example.gov>"
postmark_token = { env = "ALERTS_TOKEN" }

[servers.forms]
plugins = ["default", "postmark"]
sender = "forms@example.gov"
recipients = ["@example.gov"]
postmark_token = { env = "POSTMARK_TOKEN" }
"""
SHARED = "[alerts] server alerts delivers as others do: when that fails, nobody is told"


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., str]:
    """What `run.py check` prints of settings, in an environment."""

    def check(toml: str, **environment: str) -> str:
        ran = Daemon(tmp_path, toml, environment).command("check")
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    return check


@pytest.mark.slow
def test_check_warns_where_nobody_is_told(checked: Callable[..., str]) -> None:
    assert "before production: no [alerts]" in checked(SERVERS)
    assert "no [alerts]" not in checked(TO + SERVERS)


@pytest.mark.slow
def test_check_warns_where_alerts_share_the_delivery_that_they_tell_of(
    checked: Callable[..., str],
) -> None:
    assert SHARED in checked(TO + POSTMARK, ALERTS_TOKEN="one", POSTMARK_TOKEN="one")
    assert SHARED not in checked(TO + POSTMARK, ALERTS_TOKEN="one", POSTMARK_TOKEN="another")
    fallback = POSTMARK.replace('["postmark"]', '["postmark", "mailbox"]')
    assert SHARED in checked(TO + fallback, ALERTS_TOKEN="one", POSTMARK_TOKEN="one")
    group = POSTMARK.replace(
        'plugins = ["postmark"]', 'plugins = ["session_token"]\ngroup = "forms"'
    ).replace('postmark_token = { env = "ALERTS_TOKEN" }', "")
    assert SHARED in checked(TO + group, POSTMARK_TOKEN="one")


def test_check_warns_where_the_alerts_server_takes_forms(checked: Callable[..., str]) -> None:
    assert "server forms takes forms too" in checked(TO + 'server = "forms"\n' + SERVERS)


def test_the_example_for_production_has_alerts_of_their_own() -> None:
    example = (ROOT / "deploy/settings.example.toml").read_text(encoding="utf-8")
    assert "\n[alerts] " in example
    assert "\n[servers.alerts] " in example


def test_every_key_and_every_kind_is_in_the_docs() -> None:
    settings_page, alerts_page = page("reference/settings"), page("operate/alerts")
    for name in AlertsTable().fields:
        assert f"`{name}`" in settings_page, name
    for kind in KINDS:
        assert f"| `{kind}`" in alerts_page or f", `{kind}` |" in alerts_page, kind


def test_every_kind_has_its_words() -> None:
    for kind in KINDS.values():
        names = [kind.name, f"{kind.name}_over"] if kind.lasts else [kind.name]
        for name in names:
            subject, *more = (ALERT_TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
            assert (bool(subject), more[:1]) in ((True, [""]), (True, [])), name
