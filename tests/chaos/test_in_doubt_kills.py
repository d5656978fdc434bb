"""A daemon that is killed while it sends: what the provider took is found, the rest sent again."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from tests.conftest import FORM
from tests.support.daemon import REGISTRY, WITHOUT_REGISTRY, Daemon
from tests.support.fake_postmark import FakePostmark, Taken

pytestmark = pytest.mark.slow


class Provider:
    """The fake Postmark on a loop of its own, in a thread."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._listen())
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def _listen(self) -> None:
        self.fake = FakePostmark()
        self.server = HTTPServer(self.fake.app)
        socket, port = bind_unused_port()
        self.server.add_socket(socket)
        self.fake.url = f"http://127.0.0.1:{port}"
        self.ready.set()

    def do(self, action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, self.loop).result(20)

    async def release(self) -> None:
        self.fake.release()

    async def end(self) -> None:
        self.fake.release()
        self.server.stop()
        await self.server.close_all_connections()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.do(provider.end())
    provider.loop.call_soon_threadsafe(provider.loop.stop)
    provider.thread.join(10)


@pytest.mark.parametrize(
    ("answer", "told"),
    [(Taken("hang"), ["message.found"]), ("hang", ["message.absent", "message.resent"])],
    ids=["taken", "not taken"],
)
def test_a_message_that_was_being_sent_when_the_daemon_was_killed_arrives_once(
    tmp_path: Path, provider: Provider, answer: Any, told: list[str]
) -> None:
    fake = provider.fake
    fake.answers = [answer]
    toml = WITHOUT_REGISTRY + REGISTRY.format(url=fake.url) + "settle = [1, 2]\n"
    daemon = Daemon(tmp_path, toml, {"POSTMARK_TOKEN": "postmark-server-token"})
    daemon.start()
    key = daemon.made_keys()["application"]
    caller = threading.Thread(target=_post, args=(daemon, key))
    caller.start()
    provider.do(fake.hanging())
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    caller.join(10)
    provider.do(provider.release())
    with daemon:
        until = time.monotonic() + 30
        while not _told(daemon, "message.found", "message.sent"):
            assert time.monotonic() < until, daemon.log()
        assert daemon.command("queue").stdout == ""
    seen = [event["event"] for event in daemon.events()]
    assert [event for event in seen if event in ("message.found", "message.absent")] == told[:1]
    assert [event for event in seen if event == "message.resent"] == told[1:]
    assert len(fake.accepted) == 1


def _told(daemon: Daemon, *names: str) -> bool:
    return any(event["event"] in names for event in daemon.events())


def _post(daemon: Daemon, key: str) -> None:
    try:
        daemon.post("/rest/email/registry", key, data=FORM)
    except requests.ConnectionError:
        return
