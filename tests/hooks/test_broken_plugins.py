"""A plugin that breaks: it costs its own submission or message, no other's, and never in silence.

Every hook that decides, with everything that a plugin can do wrong in it.
"""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from relay.core import errors
from relay.core.errors import ConfigurationError
from relay.delivery import worker_threads
from relay.hooks import loader
from relay.site import Site
from relay.store.maintenance import audit as audits
from tests.conftest import FORM, Outbox, Post
from tests.support.keys import PAGE_KEY

SETTINGS = """
[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["*"]

[keys.page]
secret = { env = "PAGE_KEY" }
kind = "publishable"
servers = ["broken"]

[servers.broken]
plugins = ["breaks", "bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Broken <broken@example.gov>"
recipients = ["@example.gov"]
deadline = 1
retry = [1]
settle = [1, 2]

[servers.well]
plugins = ["bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Well <well@example.gov>"
recipients = ["@example.gov"]
"""

# Does what `fault` says in the hook that `hook` names, where the subject says so.
BREAKS = """
import threading

from relay import base_message, hookimpl

hook, fault = "", None
going_on = threading.Event()


def broken(name, subject, *given):
    if name == hook and "break" in str(subject):
        return fault(*given)


@hookimpl
def authenticate(submission):
    return broken("authenticate", submission.fields.get("subject"), submission)


@hookimpl
def check_token(submission):
    return broken("check_token", submission.fields.get("subject"), submission)


@hookimpl
def screen(submission):
    return broken("screen", submission.fields.get("subject"), submission)


@hookimpl
def compose(form, server):
    return broken("compose", form["subject"], base_message(form, server))


@hookimpl(wrapper=True)
def deliver(messages):
    if hook == "deliver" and any("break" in str(one.subject) for one in messages):
        return fault(messages)
    return (yield)
"""


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "breaks.py").write_text(BREAKS)
    return SETTINGS


def breaking(hook: str, fault: Any) -> Any:
    """Let the plugin break; give its module."""
    module = sys.modules["relay_plugins.breaks"]
    module.hook, module.fault = hook, fault
    return module


def raises(error: BaseException) -> Any:
    def fault(*given: Any) -> Any:
        raise error

    return fault


class Strange(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


RAISED = [
    ValueError("secret"),
    KeyError("secret"),
    RecursionError(),
    MemoryError(),
    AssertionError(),
    StopIteration(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "secret"),
    Strange(),
    errors.ConfigurationError("secret"),
    errors.DeliveryFailed("secret"),
    ZeroDivisionError(),
]
NONSENSE: list[Any] = ["secret", b"secret", 7, True, {"secret": 1}, [1], (1,), object(), type]
FAULTS = [
    *(
        (hook, f"raises {type(error).__name__}", raises(error))
        for hook in ("authenticate", "check_token", "screen", "compose")
        for error in RAISED
    ),
    *(
        (hook, f"gives {value!r:.20}", lambda *given, value=value: value)
        for hook in ("authenticate", "check_token", "screen", "compose")
        for value in NONSENSE
    ),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("hook", "fault"),
    [(hook, fault) for hook, _, fault in FAULTS],
    ids=[f"{hook} {name}" for hook, name, _ in FAULTS],
)
async def test_a_hook_that_decides_and_breaks_costs_its_own_submission(
    post: Post, outbox: Outbox, events: list[dict[str, Any]], hook: str, fault: Any
) -> None:
    breaking(hook, fault)
    token = (await post("/rest/email_token/create", key=None)).json["token_session"]
    form = {**FORM, "subject": "break", "token_session": token}
    reply = await post("/rest/email_session/broken", form, key=PAGE_KEY)
    assert reply.status == 500
    assert reply.json == {"status": "error", "response": "internal server error"}
    # What was let in is kept, and has spent its token.
    kept = ["quarantined"] if hook == "compose" else []
    assert outbox.states() == kept
    assert outbox.unspent_tokens() == 1 - len(kept)
    [failed] = [event for event in events if event["event"] == "request.failed"]
    assert failed["request"] == reply.headers["X-Request-Id"]
    assert "secret" not in str(events)
    # The same plugin does its work for others, and other servers do not know of it.
    for path in ("/rest/email/broken", "/rest/email/well"):
        assert (await post(path, FORM)).status == 200
    assert outbox.states() == [*kept, "sent", "sent"]


WRONG = [
    ("to of strings", {"to": ("desk@example.gov",)}),
    ("to of a number", {"to": 7}),
    ("sender of a string", {"sender": "broken@example.gov"}),
    ("subject of bytes", {"subject": b"secret"}),
    ("text of an object", {"text": object()}),
    ("headers of strings", {"headers": ("X-Form",)}),
    ("metadata of nothing", {"metadata": None}),
    ("model of an object", {"model": {"a": object()}, "template": 7}),
    ("attachments of strings", {"attachments": ("secret",)}),
]


@pytest.mark.gen_test
@pytest.mark.parametrize("changes", [one[1] for one in WRONG], ids=[one[0] for one in WRONG])
async def test_a_message_that_is_none_is_not_stored(
    post: Post, outbox: Outbox, events: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    from dataclasses import replace

    breaking("compose", lambda message: replace(message, **changes))
    reply = await post("/rest/email/broken", {**FORM, "subject": "break"})
    assert reply.status == 500
    # What plugins make is looked at before it is stored; what cannot be written down is not kept.
    assert set(outbox.states()) <= {"quarantined"}
    assert "request.failed" in {event["event"] for event in events}


DELIVERED: list[tuple[str, Any]] = [
    *((f"raises {type(error).__name__}", raises(error)) for error in RAISED[:9]),
    *((f"gives {value!r:.20}", lambda messages, value=value: value) for value in NONSENSE),
    ("gives none", lambda messages: []),
    ("gives too many", lambda messages: [None] * (len(messages) + 1)),
    ("gives nothing", lambda messages: None),
    ("gives nonsense in a list", lambda messages: ["secret"] * len(messages)),
    ("gives the messages", lambda messages: list(messages)),
]
# What nobody knows to have been sent is in doubt; what was refused is not.
CERTAIN = {"raises DeliveryFailed": "failed"}


@pytest.mark.gen_test(timeout=20)
@pytest.mark.parametrize(("name", "fault"), DELIVERED, ids=[one[0] for one in DELIVERED])
async def test_a_delivery_that_breaks_costs_its_own_message(
    post: Post, outbox: Outbox, site: Site, events: list[dict[str, Any]], name: str, fault: Any
) -> None:
    breaking("deliver", fault)
    first = await post("/rest/email/broken", {**FORM, "subject": "break"})
    assert first.status == (400 if name in CERTAIN else 200)
    if name not in CERTAIN:
        assert first.words == "Message queued"
    for path in ("/rest/email/well", "/rest/email/broken"):
        assert (await post(path, FORM)).status == 200
    assert site.dispatcher.is_healthy("well")
    broken, *others = outbox.rows()
    assert broken["state"] == CERTAIN.get(name, broken["state"])
    assert broken["state"] in ("in_doubt", "queued", "failed", "quarantined")
    assert others[0]["state"] == "sent"
    assert "secret" not in str(events)
    assert [event for event in events if event.get("id") == broken["id"]]
    assert site.store.read_now(audits.audit).faults == []


@pytest.mark.gen_test(timeout=30)
async def test_a_delivery_that_hangs_is_given_up_at_its_deadline(
    post: Post, outbox: Outbox, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_threads, "GRACE_SECONDS", 0.1)
    module = breaking("deliver", lambda messages: module.going_on.wait(30))
    started = time.monotonic()
    try:
        reply = await post("/rest/email/broken", {**FORM, "subject": "break"})
        assert (reply.status, reply.words) == (200, "Message queued")
        assert outbox.states() == ["in_doubt"]
        assert (await post("/rest/email/well", FORM)).words == "Message sent"
        assert time.monotonic() - started < 20
    finally:
        module.going_on.set()


OBSERVERS = ["accepted", "screened", "refused", "sent", "deferred", "failed", "expired"]
WATCHES = "\n\n".join(
    f"@hookimpl\ndef {name}():\n    raise ValueError('secret')" for name in OBSERVERS
)


@pytest.mark.gen_test
async def test_an_observer_that_breaks_changes_nothing(
    post: Post, outbox: Outbox, site: Site, load: Any, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    source = f"from relay import hookimpl\n\n{WATCHES}"
    (tmp_path / "plugins" / "watches.py").write_text(source)
    site.reload(load(SETTINGS.replace('"breaks"', '"watches"')))
    assert (await post("/rest/email/broken", FORM)).words == "Message sent"
    assert (await post("/rest/email/broken", {**FORM, "contact": "x"})).words == "Message sent"
    assert (await post("/rest/email/broken", {**FORM, "to_address": ""})).status == 400
    assert outbox.states() == ["sent", "screened"]
    failed = {event["hook"] for event in events if event["event"] == "observer.failed"}
    assert failed == {"accepted", "sent", "screened", "refused"}
    assert "secret" not in str(events)


AT_START = [
    "def settings(): raise ValueError('x')",
    "def settings(): return 7",
    "def schema(): raise ValueError('x')",
    "def schema(): return 7",
    "def account(): raise ValueError('x')",
]


@pytest.mark.parametrize("source", AT_START)
def test_a_plugin_that_breaks_at_the_start_is_named(load: Any, tmp_path: Path, source: str) -> None:
    (tmp_path / "plugins").mkdir(exist_ok=True)
    (tmp_path / "plugins" / "breaks.py").write_text(
        f"from relay import hookimpl\n\n@hookimpl\n{source}\n"
    )
    settings = load(SETTINGS)
    with pytest.raises(ConfigurationError, match="breaks"):
        loader.build(settings, settings.keys)
