"""The plugin of docs/plugins/hooks.md that asks somebody, in the running app."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FORM, Outbox, Post
from tests.support.docs import block
from tests.support.keys import key

PAGE = "plugins/hooks"
CARDS = {"/cards/100": 200, "/cards/500": 500}


class Cards(BaseHTTPRequestHandler):
    """Knows one card, and fails at another."""

    def do_GET(self) -> None:
        self.send_response(CARDS.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *about: Any) -> None:
        pass


@pytest.fixture
def cards() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Cards) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "http://127.0.0.1:{}/cards".format(*server.server_address[1:])
        server.shutdown()
        thread.join()


@pytest.fixture
def settings_toml(tmp_path: Path, cards: str) -> str:
    (tmp_path / "plugins").mkdir()
    plugin = block(PAGE, "python", "# plugins/library_card.py")
    (tmp_path / "plugins" / "library_card.py").write_text(plugin, encoding="utf-8")
    settings = block(PAGE, "toml", "# A server for the readers of a library")
    return settings.replace("https://cards.example.gov/cards", cards) + key("application", "*")


@pytest.mark.gen_test
async def test_readers_of_the_library_are_verified(post: Post, outbox: Outbox) -> None:
    failed = (403, "verification failed")
    for card in ("", None, "../100", 100, "7", "1" * 30):
        reply = await post("/rest/email/library", content={**FORM, "card": card})
        assert (reply.status, reply.words) == failed, card
    for card in ("100", "500"):
        assert (await post("/rest/email/library", {**FORM, "card": card})).status == 200
    assert outbox.states() == ["sent", "screened"]
    assert outbox.last()["words"] == "unsure: answered 500"
