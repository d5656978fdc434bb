"""A provider in a process of its own: speaks Postmark's sending API and search, and fails at will.

Run as `python -m tests.chaos.provider FOLDER`; it prints its address. `Provider` starts one and
scripts it. What it takes stands in FOLDER/accepted, a JSON line each, before anything is answered.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import requests
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.support.fake_postmark import error

ROOT = Path(__file__).parents[2]

# What a call can get instead of an answer of its own; the words of `TAKEN` after taking it.
REFUSED: dict[str, tuple[int, Any, dict[str, str]]] = {
    "busy": (503, error(100, "Maintenance"), {}),
    "throttled": (429, error(429, "Too many"), {"Retry-After": "1"}),
    "unauthorized": (401, error(10, "No such token"), {}),
    "invalid": (422, error(300, "Invalid"), {}),
    "broken": (500, error(101, "Fault"), {}),
    "gateway": (502, b"<html>Bad gateway</html>", {}),
}
JUNK: dict[str, bytes] = {"html": b"<html>Welcome</html>", "cut": b'{"ErrorCode": 0, "Messa'}
# lost: the connection ends without an answer; stuck: it does not even end.
TAKEN = ("lost", "stuck", "late", *JUNK)
# reset and hung are the same without taking anything.
UNTAKEN = ("reset", "hung", *REFUSED)

LATE_SECONDS = 1.0


class Acceptance(NamedTuple):
    """A message that was taken: the relay's own id of it, its sender's reference, and when."""

    label: str
    reference: str
    at: float


class Provider:
    """Starts the process; leaving the context ends it. `set` and `script` tell it how to fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "provider.log").open("a") as log:
            command = [sys.executable, "-m", "tests.chaos.provider", str(self.folder)]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
            )
        self.url = self.process.stdout.readline().strip()
        assert self.url, (self.folder / "provider.log").read_text()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def set(self, **values: Any) -> None:
        """Set `rates` (chances by fault), `seed`, `lag` (seconds), `latency` (seconds), `down`."""
        assert requests.put(f"{self.url}/control", json=values, timeout=10).status_code == 200

    def script(self, *faults: str) -> None:
        """Give these to the next calls, in order; "" is a call that succeeds."""
        self.set(script=list(faults))

    def counts(self) -> dict[str, int]:
        """Give how many calls and searches came, and how many of the script are left."""
        counts: dict[str, int] = requests.get(f"{self.url}/control", timeout=10).json()
        return counts

    def accepted(self) -> list[Acceptance]:
        """Read what was taken, in order."""
        path = self.folder / "accepted"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Acceptance(**json.loads(line)) for line in lines]


class _Desk:
    """What the process knows: its orders, and what it took."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self.log = os.open(folder / "accepted", flags, 0o600)
        self.taken: dict[str, list[tuple[str, float]]] = {}
        self.orders: dict[str, Any] = {"rates": {}, "script": [], "lag": 0.0, "latency": 0.0}
        self.orders |= {"down": False, "items": {}}
        self.counts = {"calls": 0, "searches": 0, "largest": 0}
        self.dice = random.Random(0)

    def fault(self) -> str:
        """Draw what happens to the next call: as scripted, else by chance."""
        if self.orders["script"]:
            word: str = self.orders["script"].pop(0)
            return word
        number = self.dice.random()
        for word, rate in self.orders["rates"].items():
            if number < rate:
                return str(word)
            number -= rate
        return ""

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a message, unless it has a fault of its own; give its answer."""
        reference = message.get("Subject") or message["TemplateModel"]["subject"]
        if reference in self.orders["items"]:
            return error(self.orders["items"][reference], "Refused by itself")
        labels = message.get("Metadata") or {}
        label = next((text for name, text in labels.items() if name.startswith("relay-")), "")
        id, now = str(uuid.uuid4()), time.time()
        self.taken.setdefault(label, []).append((id, now))
        line = json.dumps({"label": label, "reference": reference, "at": now}) + "\n"
        os.write(self.log, line.encode())
        return {"To": message["To"], "MessageID": id, "ErrorCode": 0, "Message": "OK"}

    def shown(self, label: str) -> list[str]:
        """Give the ids of what the index shows of a label by now."""
        now = time.time()
        return [id for id, at in self.taken.get(label, ()) if now - at >= self.orders["lag"]]


class _Handler(RequestHandler):
    def initialize(self, desk: _Desk) -> None:
        self.desk = desk

    def give(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self.set_status(status)
        for name, value in (headers or {}).items():
            self.set_header(name, value)
        self.finish(content if isinstance(content, bytes) else json.dumps(content))


class _Control(_Handler):
    def get(self) -> None:
        self.give(200, self.desk.counts | {"script": len(self.desk.orders["script"])})

    def put(self) -> None:
        orders = json.loads(self.request.body)
        self.desk.dice.seed(orders.pop("seed", self.desk.dice.random()))
        assert orders.keys() <= self.desk.orders.keys()
        assert {*orders.get("rates", ()), *orders.get("script", ())} <= {"", *TAKEN, *UNTAKEN}
        self.desk.orders |= orders
        self.give(200, {})


class _Send(_Handler):
    async def post(self, many: str) -> None:
        body = json.loads(self.request.body)
        messages = body["Messages"] if isinstance(body, dict) and many else body
        messages = messages if many else [body]
        self.desk.counts["calls"] += 1
        self.desk.counts["largest"] = max(self.desk.counts["largest"], len(messages))
        fault = self.desk.fault()
        await asyncio.sleep(self.desk.orders["latency"])
        if fault in REFUSED:
            self.give(*REFUSED[fault])
            return
        answers = [] if fault in UNTAKEN else [self.desk.take(message) for message in messages]
        await self._answer(fault, answers, bool(many))

    async def _answer(self, fault: str, answers: Sequence[dict[str, Any]], many: bool) -> None:
        if fault in ("lost", "reset"):
            self.request.connection.stream.close()
        elif fault in ("stuck", "hung"):
            await asyncio.sleep(3600)
        elif fault in JUNK:
            self.give(200, JUNK[fault])
        else:
            await asyncio.sleep(LATE_SECONDS if fault == "late" else 0)
            alone = 200 if not answers[0]["ErrorCode"] else 422
            self.give(*((200, list(answers)) if many else (alone, answers[0])))


class _Search(_Handler):
    def get(self) -> None:
        self.desk.counts["searches"] += 1
        if self.desk.orders["down"]:
            self.give(503, error(100, "Maintenance"))
            return
        names = self.request.arguments
        label = next(self.get_argument(name) for name in names if name.startswith("metadata_"))
        found = [
            {"MessageID": id, "Status": "Sent", "Metadata": {"relay": label}}
            for id in self.desk.shown(label)
        ]
        self.give(200, {"TotalCount": len(found), "Messages": found[:1]})


async def _serve(folder: Path) -> None:
    desk = {"desk": _Desk(folder)}
    app = Application(
        [
            (r"/email(?:/withTemplate)?()", _Send, desk),
            (r"/email/(batch)(?:WithTemplates)?", _Send, desk),
            (r"/messages/outbound", _Search, desk),
            (r"/control", _Control, desk),
        ],
        log_function=lambda handler: None,
    )
    socket, port = bind_unused_port()
    HTTPServer(app, max_buffer_size=60 * 2**20).add_socket(socket)
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
