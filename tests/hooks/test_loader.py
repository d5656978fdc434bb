"""Plugins: found, refused, isolated per server, called in the order of the settings."""

import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError, PluginConflict, PluginNotFound
from relay.core.submission import Submission
from relay.hooks import loader
from tests.conftest import FORM, Outbox, Post

Load = Callable[[str], Settings]

SERVER = """
[keys.application]
secret = {{ env = "APPLICATION_KEY" }}
servers = ["*"]

[servers.mine]
plugins = [{plugins}]
sender = "desk@example.gov"
recipients = ["@example.gov"]
"""

BASE = ("bearer_token", "session_token", "default", "mailbox")


def toml(*names: str) -> str:
    return SERVER.format(plugins=", ".join(f'"{name}"' for name in names))


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], None]:
    """Write a plugin of the installation's own."""
    folder = tmp_path / "plugins"
    folder.mkdir()

    def write(name: str, source: str) -> None:
        head = "from dataclasses import replace\nfrom relay import *\n"
        (folder / f"{name}.py").write_text(head + textwrap.dedent(source), encoding="utf-8")

    return write


def build(read: Settings) -> dict[str, Any]:
    return loader.build(read, read.keys)


def test_plugins_are_called_in_the_order_of_the_settings(load: Load, plugin: Any) -> None:
    for name in ("one", "two"):
        plugin(
            name,
            f"""
            @hookimpl
            def screen(submission):
                return Decoy("{name}") if submission.fields.get("{name}") else None
            """,
        )
    both = Submission("mine", {"one": 1, "two": 1})
    chains = build(load(toml("two", "one", *BASE)))
    assert chains["mine"].describe()["screen"] == ["two", "one"]
    assert chains["mine"].screen(both).reason == "two"
    chains = build(load(toml("one", "two", *BASE)))
    assert chains["mine"].screen(both).reason == "one"
    assert chains["mine"].screen(Submission("mine", {"two": 1})).reason == "two"
    assert chains["mine"].screen(Submission("mine", {})) is None


def test_a_plugin_serves_only_the_servers_that_list_it(load: Load, plugin: Any) -> None:
    plugin("trap", '@hookimpl\ndef screen(submission):\n    return Decoy("trap")\n')
    other = toml("trap", *BASE).partition("[servers.mine]")[2]
    chains = build(load(f"{toml(*BASE)}\n[servers.other]{other}"))
    assert chains["other"].screen(Submission("other", {})).reason == "trap"
    assert chains["mine"].screen(Submission("mine", {})) is None


def test_a_name_that_exists_twice_is_a_conflict(load: Load, plugin: Any) -> None:
    plugin("default", "")
    with pytest.raises(PluginConflict, match="default exists twice"):
        build(load(toml(*BASE)))


def test_a_name_that_exists_nowhere_suggests_the_nearest(load: Load) -> None:
    with pytest.raises(PluginNotFound, match="no plugin defualt; did you mean default"):
        build(load(toml("defualt", "mailbox")))


def test_an_installed_package_is_found_by_its_entry_point(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    (package / "city_relay-1.0.dist-info").mkdir(parents=True)
    (package / "city_relay.py").write_text(
        "from relay import Decoy, hookimpl\n\n"
        '@hookimpl\ndef screen(submission):\n    return Decoy("installed")\n'
    )
    information = package / "city_relay-1.0.dist-info"
    information.joinpath("METADATA").write_text("Name: city-relay\nVersion: 1.0\n")
    information.joinpath("entry_points.txt").write_text("[relay]\ncity = city_relay\n")
    monkeypatch.syspath_prepend(package)
    chains = build(load(toml("city", *BASE)))
    assert chains["mine"].screen(Submission("mine", {})).reason == "installed"
    assert EntryPoint("city", "city_relay", "relay") in loader.entry_points(group="relay")


BROKEN = [
    ("def schema(:", "SyntaxError"),
    ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
    ("@hookimpl\ndef screan(submission):\n    pass", "screan"),
    ("@hookimpl\ndef screen(form):\n    pass", "form"),
    ("@hookimpl\ndef schema():\n    return EmailForm()", None),
    ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
]


@pytest.mark.parametrize(("source", "words"), BROKEN, ids=[case[0][:30] for case in BROKEN])
def test_a_broken_plugin_is_one_line_at_startup(
    load: Load, plugin: Any, source: str, words: str | None
) -> None:
    plugin("broken", source)
    if words is None:  # a schema with no compose behind it
        with pytest.raises(ConfigurationError, match="no plugin has the hook compose"):
            build(load(toml("bearer_token", "broken", "mailbox")))
        return
    with pytest.raises(ConfigurationError) as caught:
        build(load(toml("broken", *BASE)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_without_forms_may_be_a_group(load: Load) -> None:
    group = '\n[servers.post]\nplugins = ["mailbox"]\n'
    member = toml("bearer_token", "session_token", "default") + 'group = "post"\n'
    chains = build(load(member + group))
    assert not chains["post"].has_forms
    with pytest.raises(ConfigurationError, match="mail goes through the group post"):
        build(load(toml(*BASE) + 'group = "post"\n' + group))


def test_a_second_delivery_in_one_list_stands_in_for_the_first(load: Load, plugin: Any) -> None:
    plugin(
        "second", '@hookimpl\ndef deliver(messages):\n    return [Receipt("2") for _ in messages]\n'
    )
    chains = build(load(toml(*BASE, "second")))
    assert chains["mine"].deliver_plugins == ("mailbox", "second")
    anybody = toml(*BASE, "second").replace('["@example.gov"]', '["*"]')
    with pytest.raises(ConfigurationError, match="is for the embedded mailbox alone"):
        build(load(anybody))


def test_a_settings_hook_reads_the_servers_table(load: Load, plugin: Any) -> None:
    plugin(
        "limited",
        """
        from marshmallow import fields

        @hookimpl
        def settings():
            return {"limit": fields.Integer(required=True)}
        """,
    )
    with pytest.raises(ConfigurationError, match=r"\[servers.mine\] limit: Missing data"):
        build(load(toml("limited", *BASE)))
    chain = build(load(toml("limited", *BASE) + "limit = 7\n"))["mine"]
    assert chain.server.options["limit"] == 7


class TestInTheDaemon:
    """Plugins that go wrong while a form is served."""

    @pytest.fixture
    def settings_toml(self, plugin: Any) -> str:
        plugin(
            "odd",
            """
            @hookimpl
            def screen(submission):
                if submission.fields.get("raise"):
                    raise RuntimeError(submission.fields["raise"])

            @hookimpl(wrapper=True)
            def compose(form, server):
                message = yield
                if form["subject"] == "wrong type":
                    return "not a message"
                return replace(message, subject=f"[odd] {message.subject}")

            @hookimpl
            def accepted(message):
                raise RuntimeError("observers decide nothing")
            """,
        )
        plugin(
            "tally",
            """
            seen = []

            @hookimpl
            def accepted(message, server):
                seen.append(("accepted", message.subject, server.name))

            @hookimpl
            def sent(receipt):
                seen.append(("sent", receipt.provider_id))

            @hookimpl
            def refused(error, submission):
                seen.append(("refused", error.reason, submission.server))
            """,
        )
        return toml("odd", "tally", *BASE)

    @pytest.mark.gen_test
    async def test_a_check_that_raises_lets_nothing_through_and_says_nothing(
        self, post: Post, outbox: Outbox, events: list[dict[str, Any]]
    ) -> None:
        reply = await post("/rest/email/mine", {**FORM, "raise": "canary"})
        assert reply.status == 500
        assert reply.json == {"status": "error", "response": "internal server error"}
        assert outbox.rows() == []
        [failed] = [event for event in events if event["event"] == "request.failed"]
        assert failed["error"] == "RuntimeError"
        assert any(place.startswith("plugins/odd.py") for place in failed["where"])
        assert "canary" not in str(events)

    @pytest.mark.gen_test
    async def test_a_compose_that_gives_no_message_is_500(self, post: Post, outbox: Outbox) -> None:
        reply = await post("/rest/email/mine", {**FORM, "subject": "wrong type"})
        assert reply.status == 500
        assert outbox.states() == ["quarantined"]

    @pytest.mark.gen_test
    async def test_a_wrapper_changes_anothers_message_and_observers_see_it(
        self, post: Post, outbox: Outbox, events: list[dict[str, Any]]
    ) -> None:
        import sys

        assert (await post("/rest/email/mine", FORM)).status == 200
        assert outbox.last()["document"]["subject"] == "[odd] I have a great idea"
        assert (await post("/rest/email/mine", {})).status == 400
        seen = sys.modules["relay_plugins.tally"].seen
        assert seen[0] == ("accepted", "[odd] I have a great idea", "mine")
        assert seen[1] == ("sent", outbox.last()["id"])
        assert seen[2] == ("refused", "invalid", "mine")
        [failure] = [event for event in events if event["event"] == "observer.failed"]
        assert (failure["hook"], failure["plugin"]) == ("accepted", "odd")


def test_a_slow_hook_is_logged_under_its_plugins_name(
    load: Load, plugin: Any, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    plugin("slow", "@hookimpl\ndef screen(submission):\n    return None\n")
    monkeypatch.setattr(loader, "SLOW_SECONDS", 0.0)
    chain = build(load(toml("slow", *BASE)))["mine"]
    chain.screen(Submission("mine", {}))
    [slow] = [event for event in events if event["plugin"] == "slow"]
    assert (slow["event"], slow["hook"]) == ("hook.slow", "screen")
