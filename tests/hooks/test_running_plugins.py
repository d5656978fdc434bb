"""Plugins with something of their own that runs: begun with the daemon, ended with it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.hooks import loader
from relay.site import Site
from tests.conftest import FORM, SETTINGS, Post

PLUGIN = '''
"""Writes down what was accepted, in a thread of its own."""

import threading
from pathlib import Path
from queue import SimpleQueue

from relay import hookimpl

notes = Path({folder!r}) / "notes"
waiting = SimpleQueue()


def work():
    while (line := waiting.get()) is not None:
        with notes.open("a") as file:
            file.write(line + "\\n")


thread = threading.Thread(target=work)


@hookimpl
def started(server):
    waiting.put(f"started {{server.name}}")
    thread.start()


@hookimpl
def accepted(message, server):
    waiting.put(f"accepted {{server.name}}")


@hookimpl
def stopping(server):
    waiting.put(f"stopping {{server.name}}")
    waiting.put(None)
    thread.join()
'''
HANGS = '''
"""Does not begin as it should, and does not end by itself."""

import threading

from relay import hookimpl

released = threading.Event()


@hookimpl
def started():
    raise ValueError("secret")


@hookimpl
def stopping():
    released.wait(60)
'''


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "notes.py").write_text(PLUGIN.format(folder=str(tmp_path)))
    (tmp_path / "plugins" / "hangs.py").write_text(HANGS)
    return SETTINGS.replace('"contactform", "mailbox"', '"contactform", "notes", "mailbox"')


@pytest.mark.gen_test
async def test_a_thread_of_a_plugin_lives_as_long_as_its_settings(
    site: Site, settings: Settings, post: Post, tmp_path: Path
) -> None:
    site.start_plugins()
    assert (await post("/rest/email/contactform", FORM)).status == 200
    first = sys.modules["relay_plugins.notes"]
    site.reload(settings)
    second = sys.modules["relay_plugins.notes"]
    assert first is not second
    assert (await post("/rest/email/contactform", FORM)).status == 200
    await site.stop_plugins()
    first.thread.join(20)
    assert not first.thread.is_alive()
    assert not second.thread.is_alive()
    lived = [f"{did} contactform" for did in ("started", "accepted", "stopping")]
    assert sorted((tmp_path / "notes").read_text().split("\n")) == sorted(["", *lived, *lived])


@pytest.mark.gen_test
async def test_what_does_not_begin_or_end_keeps_nobody(
    site: Site,
    load: Callable[[str], Settings],
    monkeypatch: pytest.MonkeyPatch,
    events: list[dict[str, Any]],
) -> None:
    monkeypatch.setattr(loader, "STOPPING_SECONDS", 0.05)
    site.reload(load(SETTINGS.replace('"default", "mailbox"', '"default", "hangs", "mailbox"')))
    site.start_plugins()
    began = time.monotonic()
    await site.stop_plugins()
    assert time.monotonic() - began < 5
    sys.modules["relay_plugins.hangs"].released.set()
    [failed] = [one for one in events if one["event"] == "observer.failed"]
    assert (failed["hook"], failed["plugin"], failed["error"]) == ("started", "hangs", "ValueError")


@pytest.mark.gen_test
async def test_nothing_begins_where_no_daemon_runs(site: Site, settings: Settings) -> None:
    site.reload(settings)
    assert not sys.modules["relay_plugins.notes"].thread.is_alive()
