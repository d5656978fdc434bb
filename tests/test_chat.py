"""The plugin of docs/plugins/hooks.md that has a thread of its own, in the running app."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.site import Site
from tests.conftest import FORM, Outbox, Post
from tests.support.docs import block
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import key

PAGE = "plugins/hooks"
REFUSED = (422, {"ErrorCode": 300, "Message": "Invalid 'To' address."})


@pytest.fixture
def room() -> Iterator[tuple[str, Queue]]:
    """A chat room: its address, and what it is told."""
    told: Queue = Queue()

    class Room(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.put((self.headers["Content-Type"], json.loads(self.rfile.read(length))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *about: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Room) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "http://127.0.0.1:{}/room".format(*server.server_address[1:]), told
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(environment: dict[str, str], room: tuple[str, Queue]) -> dict[str, str]:
    return {**environment, "CHAT_URL": room[0]}


@pytest.fixture
def settings_toml(tmp_path: Path, postmark: FakePostmark) -> str:
    """The page's server, which delivers by a provider that can refuse."""
    (tmp_path / "plugins").mkdir()
    plugin = block(PAGE, "python", "# plugins/chat.py")
    (tmp_path / "plugins" / "chat.py").write_text(plugin, encoding="utf-8")
    server = block(PAGE, "toml", "# A server that tells").replace('"mailbox"', '"postmark"')
    way = f'postmark_token.env = "POSTMARK_TOKEN"\npostmark_url = "{postmark.url}"\n'
    return server + way + key("application", "fairs")


@pytest.mark.gen_test
async def test_the_chat_room_is_told_what_was_refused(
    site: Site,
    settings: Settings,
    post: Post,
    outbox: Outbox,
    postmark: FakePostmark,
    room: tuple[str, Queue],
    events: list[dict[str, Any]],
) -> None:
    told = room[1]
    site.start_plugins()
    threads = []
    for _ in range(2):
        threads.append(sys.modules["relay_plugins.chat"].rooms["fairs"].thread)
        assert (await post("/rest/email/fairs", FORM)).status == 200
        postmark.answers = [REFUSED]
        assert (await post("/rest/email/fairs", FORM)).status == 400
        media, said = told.get(timeout=10)
        assert media == "application/json"
        assert said["text"].startswith(f"fairs: {outbox.last()['id']} was refused for good (")
        site.reload(settings)
    await site.stop_plugins()
    threads.append(sys.modules["relay_plugins.chat"].rooms["fairs"].thread)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(set(threads)) == 3
    assert told.empty()
    assert [one for one in events if one["event"].startswith(("chat.", "observer."))] == []


@pytest.mark.gen_test
async def test_a_room_that_is_away_or_refuses_keeps_nobody(
    site: Site, events: list[dict[str, Any]], room: tuple[str, Queue]
) -> None:
    chat = sys.modules["relay_plugins.chat"]
    away = chat.Room("http://127.0.0.1:1/")
    for _ in range(3):
        away.say("nobody hears it")
    away.close()
    assert not away.thread.is_alive()
    assert [one["event"] for one in events] == ["chat.unreached"] * 3
    full = chat.Room(room[0])
    full.close()
    for _ in range(101):
        full.say("it is closed")
    assert events[-1]["event"] == "chat.full"
    full.close()
    assert room[0] not in str(events)
