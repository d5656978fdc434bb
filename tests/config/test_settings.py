"""settings.toml: what it gives, and the one line that each mistake gets."""

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from marshmallow import Schema

from docs.generate import meanings
from relay.config import schema as tables
from relay.config import settings
from relay.config.alerts import AlertSettings
from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.core.secret import Secret
from relay.core.server import AttachmentRules, ReceiptTerms, Server
from relay.hooks import loader
from tests.conftest import SETTINGS
from tests.support.daemon import ROOT
from tests.support.docs import page

Load = Callable[[str], Settings]

MINIMAL = """
[servers.contactform]
plugins = ["bearer_token", "session_token", "contactform", "mailbox"]
sender = "desk@example.gov"
recipients = ["@example.gov"]
"""


def build(read: Settings) -> dict:
    return loader.build(read, read.keys)


def test_the_shipped_settings_need_nothing_and_deliver_to_the_mailbox() -> None:
    read = settings.load(ROOT / "settings.toml", {})
    chains = build(read)
    assert read.keys == ()
    groups = {chain.server.group for chain in chains.values()}
    assert {chains[group].deliver_plugins for group in groups} == {("mailbox",)}
    assert (read.host, read.port, read.pages) == ("127.0.0.1", 8025, ("127.0.0.1", 8026))


def test_defaults_are_those_of_the_docs(load: Load) -> None:
    read = load(MINIMAL)
    server = read.servers["contactform"].server
    assert (read.wait, read.token_seconds, read.legacy_server) == (3, 3600, "contactform")
    calls = (262144, 60, 60, 2_000_000, 50 * 2**20)
    connections, visitors = (64 * 2**20, 1000, 100), (50 * 2**20, 2**30, 200_000)
    assert read.limits == settings.Limits(*calls, *connections, *visitors)
    assert read.database.reveal() == f"sqlite:///{read.path.parent}/var/relay.db"
    assert server.retry == (15, 60, 300, 900, 1800, 3600, 7200, 14400)
    assert (server.deadline, server.max_age, server.group) == (25, 259200, "contactform")
    assert (server.enabled, server.queue_enabled, server.session_key) == (True, True, "required")


def test_settings_and_servers_are_frozen(load: Load) -> None:
    read = load(SETTINGS)
    server = build(read)["contactform"].server
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.port = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.enabled = False
    with pytest.raises(TypeError):
        server.options["honeypot"] = "x"
    with pytest.raises(TypeError):
        server.return_to["x"] = "y"


MISTAKES = [
    ("[relay]\nprot = 1", "[relay] prot: is not a setting here; did you mean port?"),
    ('[relay]\nport = "x"', "[relay] port: Not a valid integer."),
    ("[relay]\nport = 99999", "[relay] port: Must be greater"),
    ('[relay]\npages = "8026"', "[relay] pages: an address to listen on looks like"),
    ('[relay]\ntrusted_proxies = ["proxy"]', "[relay] trusted_proxies.0: 'proxy' does not"),
    ('[relay]\npublic_url = "relay.example.gov"', "[relay] public_url: a URL looks like"),
    ('[relay]\nlegacy_server = "contactfrom"', "no such server; did you mean contactform?"),
    ('[relay]\nunknown_server = "defalt"', "[relay] unknown_server: no such server"),
    ('[relay]\ndatabase = "mysql://x"', '[relay] database: write "sqlite:///path"'),
    ('[relay]\ndatabase = "postgresql://"', '[relay] database: write "sqlite:///path"'),
    ('[relay]\ndatabase = "sqlite://"', '[relay] database: write "sqlite:///path"'),
    ("[relay]\ndatabase = 1", '[relay] database: write "sqlite:///path"'),
    ('[relay]\ndatabase = "postgresql://r:s@x/y"', "[relay] database: a password stands elsewhere"),
    ('[relay]\ndatabase = "postgresql://r@x/y"', "[relay] secret: needed with PostgreSQL"),
    (
        '[relay]\ndatabase = "postgresql://x"\ndatabase_password = { env = "PAGE_KEY" }',
        "[relay] database: name a user",
    ),
    ('[relay]\nlog = "loud"', "[relay] log: Must be one of"),
    ("[relay.limits]\nform_byte = 1", "[relay.limits] form_byte: is not a setting here"),
    ("[relay.limits]\nposts_per_minute = -1", "[relay.limits] posts_per_minute: Must be"),
    ('[tokens]\nkey = "maybe"', "[tokens] key: Must be one of"),
    ("[server.x]", "[server]: no such table; did you mean servers?"),
    ("[relay\n", "settings.toml: "),
    ('[keys.a]\nkind = "secret"', "[keys.a] secret: Missing data for required field."),
    ('[keys.a]\nsecret = "literal-literal-literal-literal-"', "write { env"),
    ('[keys.a]\nsecret = { env = "NOT_SET" }', "environment variable NOT_SET is not set"),
    ('[keys.a]\nsecret = { env = "SHORT" }', "one has fewer than 32 characters"),
    ('[keys.a]\nsecret = { file = "nowhere" }', "cannot read"),
    ('[keys.a]\nsecret = { env = "APPLICATION_KEY" }\nservers = ["x"]', "no server x"),
    ('[keys.a]\nsecret = { env = "APPLICATION_KEY" }\nkind = "public"', "kind: Must be one of"),
    (
        "".join(f'[keys.{id}]\nsecret = {{ env = "APPLICATION_KEY" }}\n' for id in "ab"),
        "[keys.b] secret: the same as that of keys.a",
    ),
    (
        "[keys.a]\nsecrets = [{}, {}, {}]".replace("{}", '{ env = "APPLICATION_KEY" }'),
        "[keys.a] secrets: Longer than maximum length 2.",
    ),
    ("[servers.x]\n", "[servers.x] plugins: Missing data for required field."),
    ('[servers.x]\nplugins = ["mailbox"]\ngroup = "y"', "[servers.x] group: no such server"),
    ('[servers."a b"]\nplugins = ["mailbox"]', "a server's name has letters"),
    ('[servers.ContactForm]\nplugins = ["mailbox"]', "the same name as another server's"),
]


@pytest.mark.parametrize("start", ["", "\n", "# a comment\n", "[relay]\n", "\r\n"])
def test_a_byte_order_mark_before_the_settings_is_skipped(load: Load, start: str) -> None:
    assert load(f"\ufeff{start}{MINIMAL}") == load(start + MINIMAL)
    with pytest.raises(ConfigurationError, match="Invalid"):
        load(f"\ufeff\ufeff{start}{MINIMAL}")


@pytest.mark.parametrize(("extra", "words"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_one_line_that_names_the_place(
    load: Load, environment: dict[str, str], extra: str, words: str
) -> None:
    environment["SHORT"] = "x" * 31
    with pytest.raises(ConfigurationError) as caught:
        load(f"{extra}\n{MINIMAL}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "literal-literal" not in str(caught.value)


SERVER_MISTAKES = [
    ('recipents = ["x"]', "recipents: is not a setting here; did you mean recipients?"),
    ('sender = "nobody"', "sender: not a mail address"),
    ('recipients = ["gov"]', "recipients.0: not a mail address"),
    ('senders = ["@"]', "senders.0: not a mail address"),
    ('origins = ["https://www.example.gov/"]', "origins.0: an origin has no path"),
    ('origins = ["*"]', "origins.0: an origin looks like"),
    ('session_key = "never"', "session_key: Must be one of"),
    ('return_to = { thanks = "/thanks" }', "return_to.thanks"),
    ('headers = ["X Form"]', "headers.0"),
    *(
        (f'headers = ["X-Form", "{name}"]', f"headers.1: the header {name} is not for forms to set")
        for name in (
            *("Bcc", "To", "From", "Content-Type", "Subject", "cc", "REPLY-TO", "Sender", "Date"),
            *("Resent-To", "MIME-Version", "Content-Transfer-Encoding", "DKIM-Signature"),
            *("Received", "Return-Path", "X-Relay-Message-Id"),
        )
    ),
    ("attachments = 5", "attachments: true, false, or a table of limits"),
    ("retry = []", "retry: Shorter than minimum length 1."),
    ("retry = [0]", "retry.0: Must be"),
    ("deadline = 0", "deadline: Must be"),
    ('plugins = ["contactfrom", "mailbox"]', "no plugin contactfrom; did you mean contactform?"),
    ('plugins = ["contactform", "contactform", "mailbox"]', "contactform"),
    ('plugins = ["contactform"]', "no plugin delivers"),
    ('plugins = ["../contactform", "mailbox"]', "there is no plugin ../contactform"),
    ('plugins = ["contactform", "postmark"]', "postmark_token: Missing data for required field."),
    ('logo_url = "javascript:alert(1)"', "logo_url"),
    ('form_nam = "x"', "form_nam: is not a setting here; did you mean form_name?"),
]


@pytest.mark.parametrize(
    ("line", "words"), SERVER_MISTAKES, ids=[case[0] for case in SERVER_MISTAKES]
)
def test_a_mistake_in_a_servers_table_is_one_line(load: Load, line: str, words: str) -> None:
    name = line.partition(" ")[0]
    kept = [known for known in MINIMAL.splitlines() if not known.startswith(f"{name} ")]
    with pytest.raises(ConfigurationError) as caught:
        build(load("\n".join([*kept, line])))
    assert words in str(caught.value)
    assert "[servers.contactform]" in str(caught.value)
    assert "\n" not in str(caught.value)


PUBLIC_KEY = '[keys.page]\nsecret = { env = "PAGE_KEY" }\nkind = "publishable"\n'


def test_what_would_be_an_open_relay_is_refused(load: Load) -> None:
    without = MINIMAL.replace('recipients = ["@example.gov"]\n', "")
    build(load(without))
    with pytest.raises(ConfigurationError, match="because of the publishable key page"):
        build(load(PUBLIC_KEY + 'servers = ["contactform"]\n' + without))
    with pytest.raises(ConfigurationError, match="because of session_key"):
        build(load(without + 'session_key = "optional"\n'))
    anybody = MINIMAL.replace('["@example.gov"]', '["*"]')
    build(load(anybody))
    token = 'postmark_token = { env = "POSTMARK_TOKEN" }\n'
    with pytest.raises(ConfigurationError, match="is for the embedded mailbox alone"):
        build(load(anybody.replace('"mailbox"', '"postmark"') + token))


def test_names_of_servers_and_groups_know_no_case(load: Load) -> None:
    member = '[servers.X]\nplugins = ["default"]\ngroup = "CONTACTFORM"\n'
    read = load(MINIMAL.replace("contactform]", "ContactForm]") + member)
    assert read.servers["contactform"].server.group == "contactform"
    assert read.servers["x"].server.group == "contactform"


def test_a_server_with_forms_has_a_sender(load: Load) -> None:
    with pytest.raises(ConfigurationError, match="sender: missing"):
        build(load(MINIMAL.replace('sender = "desk@example.gov"\n', "")))


def test_a_secret_comes_from_the_environment_or_a_file_that_only_its_owner_writes(
    load: Load, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("a-secret-of-at-least-32-characters\n")
    file.chmod(0o600)
    toml = '[keys.a]\nsecret = { file = "key" }\n' + MINIMAL
    [key] = load(toml).keys
    assert key.id == "a"
    for mode in (0o620, 0o602):
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match="may be written by others"):
            load(toml)


def test_secrets_show_themselves_nowhere(load: Load, environment: dict[str, str]) -> None:
    token = MINIMAL.replace('"mailbox"', '"postmark"')
    read = load(token + 'postmark_token = { env = "POSTMARK_TOKEN" }\n')
    server = build(read)["contactform"].server
    secret = server.options["postmark_token"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == environment["POSTMARK_TOKEN"]
    for shown in (repr(read), repr(server), repr(secret), str(secret), f"{secret}"):
        assert environment["POSTMARK_TOKEN"] not in shown
    for key in load(SETTINGS).keys:
        assert not any(value in repr(key) for value in environment.values())


def test_the_environment_overrides_keys_of_relay(
    load: Load, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {
        "RELAY_PORT": "9000",
        "RELAY_HOST": "0.0.0.0",
        "RELAY_DATA": str(tmp_path / "elsewhere"),
        "RELAY_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1",
        "RELAY_PAGES": "",
        "RELAY_SETTINGS": "not a key",
        "RELAY_KEY_WEBSITE": "not a key either",
    }
    read = load("[relay]\nport = 1\n" + MINIMAL)
    assert (read.port, read.host, read.pages) == (9000, "0.0.0.0", None)
    assert read.data == tmp_path / "elsewhere"
    assert [str(network) for network in read.trusted_proxies] == ["10.0.0.0/8", "127.0.0.1/32"]
    environment["RELAY_PORT"] = "no"
    with pytest.raises(ConfigurationError, match=r"\[relay\] port"):
        load(MINIMAL)


def test_a_shared_database_needs_a_secret_and_keys_that_all_daemons_have(
    load: Load, environment: dict[str, str]
) -> None:
    environment |= {"HASHED_WITH": "h" * 32, "PASSWORD": "a/b@c:%"}
    shared = '[relay]\nsecret = { env = "HASHED_WITH" }\ndatabase = "postgresql://relay@db/mail"\n'
    with pytest.raises(ConfigurationError, match=r"\[keys.NAME\]: needed with PostgreSQL"):
        load(shared + MINIMAL)
    keys = '[keys.website]\nsecret = { env = "KEY" }\nservers = ["*"]\n'
    environment["KEY"] = "k" * 40
    read = load(shared + MINIMAL + keys)
    assert read.database.reveal() == "postgresql://relay@db/mail"
    read = load(shared + 'database_password = { env = "PASSWORD" }\n' + MINIMAL + keys)
    assert read.database.reveal() == "postgresql://relay:a%2Fb%40c%3A%25@db/mail"
    environment["URL"] = "postgres://relay:pw@db/mail"
    whole = shared.replace('"postgresql://relay@db/mail"', '{ env = "URL" }')
    read = load(whole + MINIMAL + keys)
    assert read.database.reveal() == "postgresql://relay:pw@db/mail"
    assert "pw@" not in repr(read)


def test_the_digest_is_of_what_all_daemons_are_to_have_alike(load: Load) -> None:
    same = (
        load("[relay]\nport = 1\nhost = '::1'\n" + MINIMAL),
        load("[relay]\nport = 2\n" + MINIMAL),
    )
    assert same[0].digest == same[1].digest
    assert load("[relay]\nwait = 5\n" + MINIMAL).digest != same[0].digest


def test_switches_in_relay_hold_for_every_server(load: Load) -> None:
    read = load("[relay]\nenabled = false\n" + SETTINGS)
    assert not any(one.server.enabled for one in read.servers.values())
    read = load("[relay]\nqueue_enabled = false\n" + SETTINGS)
    assert not any(one.server.queue_enabled for one in read.servers.values())


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.toml: cannot be read"):
        settings.load(tmp_path / "nowhere.toml", {})


def test_every_key_of_the_settings_is_in_the_docs() -> None:
    told = page("reference/settings")
    schemas = (tables.RelayTable, tables.LimitsTable, tables.TokensTable, tables.KeyTable)
    for schema in (*schemas, tables.ServerTable):
        for name in schema().fields:
            assert f"`{name}`" in told, name


def test_the_shipped_settings_are_commented_toml() -> None:
    content = (ROOT / "settings.toml").read_text(encoding="utf-8")
    assert content.startswith("#")
    assert set(tomllib.loads(content)) == {"relay", "servers"}


# Keys that become the channels of alerts, together.
CHANNELS = {"slack", "teams", "webhook", "networks"}


@pytest.mark.parametrize(
    ("table", "value", "besides"),
    [
        (tables.LimitsTable, settings.Limits, set()),
        (tables.FilesTable, AttachmentRules, set()),
        (tables.ReceiptTable, ReceiptTerms, set()),
        (tables.AlertsTable, AlertSettings, {"texts", "channels", *CHANNELS}),
        (tables.ServerTable, Server, {"name", "keys", "options", "templates"}),
    ],
)
def test_a_tables_settings_are_its_frozen_values_fields(
    table: type[Schema], value: Any, besides: set[str]
) -> None:
    declared = {field.attribute or name: field for name, field in table().fields.items()}
    names = {field.name for field in dataclasses.fields(value)}
    assert declared.keys() | besides == names | (besides & CHANNELS)
    for field in dataclasses.fields(value):
        # A server of a test or a plugin's author retries and clears nothing.
        if field.name in besides | {"plugins", "group", "retry", "keep"}:
            continue
        if field.default_factory is not dataclasses.MISSING:
            assert field.default_factory() == declared[field.name].load_default
        elif field.default is not dataclasses.MISSING:
            assert field.default == declared[field.name].load_default


def test_the_settings_are_what_the_tables_of_relay_and_tokens_hold() -> None:
    fields = {**tables.RelayTable().fields, **tables.TokensTable().fields}
    declared = {field.attribute or name for name, field in fields.items()}
    values = {field.name for field in dataclasses.fields(settings.Settings)}
    of_every_server, in_the_url = {"enabled", "queue_enabled"}, {"database_password"}
    assert declared - values == of_every_server | in_the_url
    tables_of_their_own = {"keys", "servers", "alerts", "webhooks", "console"}
    assert values - declared == tables_of_their_own | {"path", "digest"}


@pytest.mark.parametrize(
    ("environment", "listen"),
    [
        ({}, ("127.0.0.1", 9000)),
        ({"RELAY_CONSOLE": ""}, None),
        ({"RELAY_CONSOLE": "0.0.0.0:8027"}, ("0.0.0.0", 8027)),
    ],
)
def test_the_environment_says_where_the_console_listens(
    tmp_path: Path, environment: dict[str, str], listen: tuple[str, int] | None
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[console]\nlisten = "127.0.0.1:9000"\n')
    assert settings.load(path, environment).console.listen == listen


def test_every_setting_says_what_it_means() -> None:
    found = [one for one in vars(tables).values() if isinstance(one, type)]
    for table in (one for one in found if issubclass(one, Schema) and one is not Schema):
        said = meanings(table)
        for name in table().fields:
            assert said[name], name
