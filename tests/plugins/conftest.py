"""What the plugins' tests share: a plugin's module by its name, and a server's real chain."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.core.immutable import freeze
from relay.core.message import Message
from relay.core.submission import Submission
from relay.hooks import loader
from relay.hooks.chain import Chain
from relay.intake import message_builder
from relay.testing import form_server  # noqa: F401 - a fixture
from relay.web import bodies
from tests.support.keys import key

EXAMPLES = (Path(__file__).parents[2] / "examples" / "settings.toml").read_text(encoding="utf-8")
PLUGINS = Path(__file__).parents[2] / "plugins"

KEYS = (
    key("application", "*")
    + key("page", "contactform", kind="publishable")
    + key("other", "default")
    + key("account", "contactform", kind="account")
    + """
[servers.default]
plugins = ["default", "mailbox"]
sender = "Relay <relay@example.gov>"
senders = ["@example.gov"]
recipients = ["*"]
"""
)

CONTACTFORM: Mapping[str, Any] = {
    "plugins": ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"],
    "sender": "Contact form <contactform@example.gov>",
    "recipients": ["@example.gov"],
}


@pytest.fixture(scope="session")
def plugin() -> Callable[[str], ModuleType]:
    """Import a plugin's file by its name: `plugins` is a folder and no package."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"tested_{name}", PLUGINS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def chain(load: Callable[[str], Settings]) -> Callable[..., Chain]:
    """Build a server's chain: `chain(tag="Web")` is contactform with one setting changed."""

    def build(server: str = "contactform", **keys: Any) -> Chain:
        table = {**CONTACTFORM, **keys} if server == "contactform" else CONTACTFORM
        lines = [f"{name} = {_toml(value)}" for name, value in table.items() if value is not None]
        settings = load(KEYS + "\n[servers.contactform]\n" + "\n".join(lines))
        return loader.build(settings, settings.keys)[server]

    return build


def _toml(value: Any) -> str:
    """Write a setting: TOML's strings, lists and booleans are JSON's."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(member)}' for name, member in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


@pytest.fixture
def compose(chain: Callable[..., Chain]) -> Callable[..., Message]:
    """Make a message of fields, or of a body with its media type, through the real chain."""

    def make(given: Any, server: str = "contactform", media: str = "", **keys: Any) -> Message:
        fields = bodies.parse(media, given).fields if media else given
        built = chain(server, **keys)
        return message_builder.compose(built, Submission(built.server.name, freeze(fields)))

    return make
