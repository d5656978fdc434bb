"""Receivers of webhooks over real HTTP, which check each call as the library of one does."""

import asyncio
import json
import queue
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from standardwebhooks import Webhook
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

SECRET = "whsec_bm90IGEgc2VjcmV0LCBvbmx5IGEgdGVzdCBvZiBvbmU="
OTHER = "whsec_YW5vdGhlciBvbmUsIHdoaWNoIGlzIG5vIHNlY3JldCB0b28="


@dataclass
class Taken:
    """A call as it came: its path, headers, text, and what was in it."""

    path: str
    headers: dict[str, str]
    text: str
    content: Any

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class WebhookReceiver:
    """Takes calls; `answers` are what the next ones get, in order, then all get 204.

    An answer is a status, with a dict of headers or a body of bytes behind it, or "hang", which
    answers nothing until `released` is set. `arrived` is set by a first call.
    With `secret` every call must be signed by it.
    """

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self.calls: list[Taken] = []
        self.answers: list[Any] = []
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        self._server = HTTPServer(
            Application([(r"/.*", _Call, {"receiver": self})], log_function=lambda handler: None)
        )
        socket, self.port = bind_unused_port()
        self._server.add_socket(socket)
        self.url = f"http://127.0.0.1:{self.port}/relay"

    @property
    def types(self) -> list[str]:
        return [one.content["type"] for one in self.calls]

    async def close(self) -> None:
        self.released.set()
        self._server.stop()
        await self._server.close_all_connections()


class _Call(RequestHandler):
    def initialize(self, receiver: WebhookReceiver) -> None:
        self.receiver = receiver

    async def post(self) -> None:
        receiver = self.receiver
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        text = self.request.body.decode()
        content = (
            Webhook(receiver.secret).verify(text, headers) if receiver.secret else json.loads(text)
        )
        receiver.calls.append(Taken(self.request.uri or "", headers, text, content))
        receiver.arrived.set()
        answer = receiver.answers.pop(0) if receiver.answers else 204
        if answer == "hang":
            await receiver.released.wait()
            return
        status, more = answer if isinstance(answer, tuple) else (answer, {})
        self.set_status(status)
        if isinstance(more, bytes):
            self.write(more)
        else:
            for name, value in more.items():
                self.set_header(name, value)


class ReceiverInThread:
    """Takes calls in a thread; `ids` are the webhook-ids in order, `status` what it answers.

    `taken` are the messages that it took calls of, each with their webhook-ids.
    """

    def __init__(self) -> None:
        self.ids: queue.Queue[str] = queue.Queue()
        self.taken: defaultdict[str, list[str]] = defaultdict(list)
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                content = Webhook(SECRET).verify(body, dict(self.headers.items()))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                if receiver.status == 204:
                    receiver.taken[content["data"]["id"]].append(self.headers["webhook-id"])
                receiver.ids.put(self.headers["webhook-id"])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/relay?token=private"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
