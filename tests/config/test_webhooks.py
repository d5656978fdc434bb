"""`[webhooks.NAME]`: what may stand there, what is refused, and what `check` warns of."""

from collections.abc import Callable

import pytest

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.networks import objection
from relay.core.states import EVENTS
from tests.support.daemon import SHIPPED, Daemon
from tests.support.webhook_receiver import OTHER, SECRET

Load = Callable[[str], Settings]

SERVERS = """
[servers.forms]
plugins = ["default", "mailbox"]
sender = "forms@example.gov"
recipients = ["@example.gov"]
"""
GOOD = {
    "url": '"https://crm.example.gov/relay?from=city"',
    "secret": '{ env = "GOOD" }',
    "events": '["sent"]',
}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    secrets = {"GOOD": SECRET, "NEW": OTHER, "BARE": SECRET.removeprefix("whsec_")}
    bad = {"SHORT": "whsec_c2hvcnQ=", "TEXT": "whsec_not base64 at all, just words"}
    return {**environment, **secrets, **bad, "URL": "https://hooks.example.gov/T0/B0/secret"}


def table(name: str = "crm", **changes: str) -> str:
    """The table of a webhook, with some of its lines changed; "" is left out."""
    lines = {key: value for key, value in {**GOOD, **changes}.items() if value}
    return f"[webhooks.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


def test_every_key_is_read(load: Load) -> None:
    read = load(
        table(
            url='{ env = "URL" }',
            secret="",
            secrets='[{ env = "NEW" }, { env = "GOOD" }]',
            servers='["Forms"]',
            addresses="true",
            networks='["10.1.0.0/16", "fd00::/8"]',
        )
        + SERVERS
    )
    [webhook] = read.webhooks.values()
    assert webhook.target.url.reveal() == "https://hooks.example.gov/T0/B0/secret"
    assert [one.reveal() for one in webhook.target.secrets] == [OTHER, SECRET]
    assert [str(one) for one in webhook.target.networks] == ["10.1.0.0/16", "fd00::/8"]
    assert (webhook.servers, webhook.addresses) == ({"forms"}, True)
    assert webhook.wants("sent", "forms")
    assert not webhook.wants("sent", "others")
    assert not webhook.wants("failed", "forms")
    assert read.announced == {"sent"}
    assert "T0" not in repr(read)


def test_all_events_of_all_servers_may_be_asked_for(load: Load) -> None:
    events = ", ".join(f'"{event}"' for event in EVENTS)
    [webhook] = load(table(events=f"[{events}]", secret='{ env = "BARE" }')).webhooks.values()
    assert webhook.events == set(EVENTS)
    assert webhook.wants("sent", "whatever")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (table(url=""), "[webhooks.crm] url: "),
        (table(url="7"), 'url: write "https://...", { env = "NAME" }'),
        (table(url='""'), "url: a URL looks like"),
        (table(url='"crm.example.gov"'), "url: a URL looks like"),
        (table(url='"ftp://crm.example.gov"'), "url: a URL looks like"),
        (table(url='"https://"'), "url: a URL looks like"),
        (table(url='"https://crm.example.gov:99999/"'), "url: a URL looks like"),
        (table(url='"https://crm.example.gov/a b"'), "url: a URL looks like"),
        (table(url='"https://crm.example.gov/\\r\\nX: y"'), "url: a URL looks like"),
        (table(url='"https://[::1/"'), "url: a URL looks like"),
        (table(url='"https://user:word@crm.example.gov/"'), "url: a URL without user"),
        (table(url='"https://crm.example.gov/#part"'), "url: a URL without user"),
        (table(url='"http://crm.example.gov/"'), "url: begins with https://"),
        (table(url='"https://10.0.0.1/"'), "url: 10.0.0.1 is a private address: name its"),
        (table(url='"https://[::1]/"'), "url: ::1 is a private address: name its network"),
        (table(url='"https://[::ffff:10.0.0.1]/"'), "url: 10.0.0.1 is a private address"),
        (table(secret=""), "secret: needed"),
        (table(secret='"whsec_abc"'), "secret: a secret stands elsewhere"),
        (table(secret='{ env = "SHORT" }'), "secret: a secret is `whsec_` and"),
        (table(secret='{ env = "TEXT" }'), "secret: a secret is `whsec_` and"),
        (table(events=""), "events: "),
        (table(events="[]"), "events: "),
        (table(events='["send"]'), "events."),
        (table(servers='["form"]'), "servers: no server form; did you mean forms?"),
        (table(networks='["10.0.0.1/8"]'), "networks.0: 10.0.0.1/8 has host bits set"),
        (table(addresses='"yes, please"'), "addresses: "),
        (table(event='["sent"]'), "event: is not a setting here; did you mean events?"),
        (table('"alerts.slack"'), "its name has letters, digits, - and _ only"),
        ("webhooks = 7\n", "[webhooks] must be a table"),
        ("[webhooks]\ncrm = 7\n", "[crm] must be a table"),
        ("[alerts]\n" + 'slack = "http://hooks.slack.com/x"\n', "[alerts] slack: begins with"),
        ("[alerts]\n" + 'teams = "https://127.0.0.1/x"\n', "[alerts] teams: 127.0.0.1 is a"),
        (
            '[alerts.webhook]\nurl = "https://pager.example.gov"\n',
            "[alerts.webhook] secret: needed",
        ),
        ("[alerts]\nwebhook = 7\n", "[alerts] webhook: "),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_that_names_its_place(load: Load, toml: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(toml + SERVERS)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    for hidden in ("word@", "X: y", "/T0/"):
        assert hidden not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"),
        *("10.1.2.3", "fd00::1", "::ffff:10.1.2.3"),
    ],
)
def test_public_addresses_and_those_of_named_networks_are_called(load: Load, address: str) -> None:
    read = load(table(networks='["10.1.0.0/16", "fd00::/8"]'))
    assert objection(address, read.webhooks["crm"].target.networks) == ""


@pytest.mark.slow
def test_check_names_targets_that_cannot_be_called(offline: Daemon) -> None:
    offline.environment |= {"GOOD": SECRET}
    offline.settings.write_text(
        SHIPPED
        + table("near", url='"https://localhost/"')
        + table("none", url='"https://no-such-name.invalid/"')
        + table("named", url='"http://localhost/"', networks='["127.0.0.0/8", "::1"]')
        + '[alerts]\nslack = "https://localhost/x"\n',
        encoding="utf-8",
    )
    ran = offline.command("check")
    assert ran.returncode == 0, ran.stderr
    private = "is a private address: name its network in `networks`"
    notes = [one for one in ran.stdout.splitlines() if "webhook" in one]
    assert len(notes) == 3
    for name, words in (("near", private), ("none", "is no name that is known here")):
        assert any(f"webhook {name}: " in one and one.endswith(words) for one in notes), name
    assert any("webhook alerts.slack: localhost: " in one for one in notes)
