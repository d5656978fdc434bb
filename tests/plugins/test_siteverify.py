"""CAPTCHA services: asked over HTTP as they say, believed when they are clear, and not else."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.conftest import FORM, Outbox, Post
from tests.support.keys import APPLICATION_KEY, key

pytestmark = pytest.mark.slow

SECRET = "the-services-secret"
FIELDS = {
    "turnstile": "cf-turnstile-response",
    "hcaptcha": "h-captcha-response",
    "recaptcha": "g-recaptcha-response",
    "friendly": "frc-captcha-response",
}
WHEN_UNSURE = {"turnstile": "refuse", "hcaptcha": "hold", "recaptcha": "pass", "friendly": "hold"}
SERVER = """
[servers.{name}]
plugins = ["bearer_token", "siteverify", "contactform", "mailbox"]
sender = "Relay <relay@example.gov>"
origins = ["https://www.example.gov"]
captcha = "{name}"
captcha_secret = {{ env = "CAPTCHA_SECRET" }}
captcha_url = "{url}/{name}"
when_unsure = "{unsure}"
verify_seconds = 0.5
"""
FAILED = (403, "verification failed")
SENT = (200, "Message sent")


class CaptchaService:
    """Answers as the four services do: each answer of a widget is good once.

    `next` is what the next call gets instead: a status and a body, or "hang" or "drop".
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[dict[str, Any]] = []
        self.used: set[str] = set()
        self.next: Any = None
        self.released = asyncio.Event()
        self.app = Application(
            [(r"/(\w+)", _Siteverify, {"service": self})], log_function=lambda handler: None
        )


class _Siteverify(RequestHandler):
    def initialize(self, service: CaptchaService) -> None:
        self.service = service

    async def post(self, name: str) -> None:
        form = {one: self.get_body_argument(one) for one in self.request.body_arguments}
        self.service.calls.append({"form": form, "headers": dict(self.request.headers)})
        told, self.service.next = self.service.next, None
        if told == "hang":
            await self.service.released.wait()
        elif told == "drop":
            assert self.request.connection
            self.request.connection.stream.close()  # type: ignore[attr-defined]
        elif told is not None:
            self.set_status(told[0])
            self.finish(told[1])
        elif name == "friendly":
            self._friendly(form)
        else:
            self._common(form)

    def _common(self, form: dict[str, str]) -> None:
        codes = []
        if form.get("secret") != SECRET:
            codes = ["invalid-input-secret"]
        elif not form["response"].startswith("good"):
            codes = ["invalid-input-response"]
        elif form["response"] in self.service.used:
            codes = ["timeout-or-duplicate"]
        self.service.used.add(form["response"])
        times = {"challenge_ts": "2026-11-29T12:00:00Z", "hostname": "www.example.gov"}
        self.finish({"success": not codes, "error-codes": codes, **({} if codes else times)})

    def _friendly(self, form: dict[str, str]) -> None:
        code = ""
        if self.request.headers.get("X-API-Key") != SECRET:
            self.set_status(401)
            code = "auth_invalid"
        elif not form["response"].startswith("good"):
            code = "response_invalid"
        elif form["response"] in self.service.used:
            code = "response_duplicate"
        self.service.used.add(form["response"])
        if code:
            self.finish({"success": False, "error": {"error_code": code, "detail": "words"}})
            return
        challenge = {"timestamp": "2026-11-29T12:00:00Z", "origin": "https://www.example.gov"}
        self.finish({"success": True, "data": {"event_id": "1", "challenge": challenge}})


@pytest.fixture
def service(io_loop: IOLoop) -> Iterator[CaptchaService]:
    fake = CaptchaService()
    server = HTTPServer(fake.app)
    socket, port = bind_unused_port()
    server.add_socket(socket)
    fake.url = f"http://127.0.0.1:{port}"
    yield fake
    fake.released.set()
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def environment() -> dict[str, str]:
    return {"APPLICATION_KEY": APPLICATION_KEY, "CAPTCHA_SECRET": SECRET}


@pytest.fixture
def settings_toml(service: CaptchaService) -> str:
    servers = [
        SERVER.format(name=name, url=service.url, unsure=WHEN_UNSURE[name]) for name in FIELDS
    ]
    limits = "[relay.limits]\nposts_per_minute = 0\n"
    return limits + key("application", "*") + "".join(servers)


Said = Callable[[], str]


@pytest.fixture
def said(events: list[dict[str, Any]]) -> Said:
    """What the log says last of a verification."""

    def last() -> str:
        names = ("submission.refused", "verification.unsure")
        line = [one for one in events if one["event"] in names][-1]
        return str(line.get("detail") or line["reason"])

    return last


def answered(reply: Any) -> tuple[int, str]:
    return reply.status, reply.words


@pytest.mark.gen_test
async def test_a_widgets_answer_is_good_once(
    post: Post, service: CaptchaService, outbox: Outbox, said: Said
) -> None:
    for count, (name, field) in enumerate(FIELDS.items(), 1):
        service.used.clear()
        path, form = f"/rest/email/{name}", {**FORM, field: "good-1"}
        assert answered(await post(path, form)) == SENT
        secret = {} if name == "friendly" else {"secret": SECRET}
        assert service.calls[-1]["form"] == {**secret, "response": "good-1"}
        assert answered(await post(path, form)) == FAILED
        assert said() == ("response_duplicate" if name == "friendly" else "timeout-or-duplicate")
        assert answered(await post(path, {**form, field: "forged"})) == FAILED
        assert len(outbox.rows()) == count
        stored = json.dumps(outbox.last()["document"])
        assert SECRET not in stored
        assert "good-1" not in stored


@pytest.mark.gen_test
async def test_what_no_widget_writes_is_refused_and_nobody_is_asked(
    post: Post, service: CaptchaService, outbox: Outbox, said: Said
) -> None:
    given: list[Any] = ["", None, 7, ["good"], {"a": "good"}, "go od", "good\n", "g\u00f6od"]
    for one in [*given, "g" * 16385, "absent"]:
        form = {**FORM, FIELDS["hcaptcha"]: one}
        if one == "absent":
            del form[FIELDS["hcaptcha"]]
        assert answered(await post("/rest/email/hcaptcha", content=form)) == FAILED, one
        assert said() == "no proof"
    assert (service.calls, outbox.rows()) == ([], [])


SUCCESS = {"success": True, "hostname": "www.example.gov"}


# What a service says, whether nobody can tell by it (None: it is good), and the log's words.
TABLE: list[tuple[Any, bool | None, str | None]] = [
    ("hang", True, "no answer: ReadTimeoutError"),
    ("drop", True, "no answer: RemoteDisconnected"),
    ((500, "oh"), True, "answered 500"),
    ((503, {"error": "busy"}), True, "answered 503"),
    ((429, {}), True, "answered 429"),
    ((302, ""), True, "answered 302"),
    ((200, "<html>All is well</html>"), True, "answered 200"),
    ((200, b"[" * 5000), True, "answered 200"),
    ((200, "[true]"), True, "answered 200"),
    ((200, {"success": "true"}), True, "answered 200"),
    ((200, {"success": 1}), True, "answered 200"),
    ((200, {"success": False, "error-codes": ["internal-error"]}), True, "internal-error"),
    (
        (200, {"success": False, "error-codes": ["invalid-input-secret"]}),
        True,
        "invalid-input-secret",
    ),
    ((200, {"success": False, "error-codes": ["bad-request"]}), False, "bad-request"),
    ((200, {"success": False, "error-codes": ["a\nb" * 99]}), False, None),
    ((200, {"success": False, "error-codes": "x"}), False, "not solved"),
    ((200, {"success": False}), False, "not solved"),
    ((400, "<h1>Bad request</h1>"), False, "answered 400"),
    ((200, {**SUCCESS, "hostname": "evil.example"}), False, "of another page: evil.example"),
    ((200, {**SUCCESS, "hostname": "www.example.gov.evil.example"}), False, None),
    ((200, {**SUCCESS, "hostname": None}), False, "of another page: none"),
    ((200, {"success": True}), False, "of another page: none"),
    ((200, {**SUCCESS, "data": []}), None, None),
    ((200, {**SUCCESS, "hostname": "WWW.example.gov:443"}), None, None),
    ((200, {**SUCCESS, "score": 0.1}), None, None),
]


@pytest.mark.gen_test(timeout=60)
async def test_what_a_service_says_is_taken_for_what_it_is(
    post: Post, service: CaptchaService, outbox: Outbox, said: Said
) -> None:
    good, bad = (SENT, ["sent"]), (FAILED, [])
    stored: list[str] = []
    for number, (told, unsure, words) in enumerate(TABLE):
        held = (SENT, ["screened"]) if unsure else bad
        for name, (expected, states) in (("hcaptcha", held), ("turnstile", bad)):
            service.next = told
            form = {**FORM, FIELDS[name]: f"good-{number}"}
            if unsure is None:
                expected, states = good
            assert answered(await post(f"/rest/email/{name}", form)) == expected, (name, told)
            stored += states
            assert outbox.states() == stored
        if words is not None:
            assert said() == words, told
        assert len(said()) <= 100


@pytest.mark.gen_test
async def test_a_service_that_is_down_is_the_settings_business(
    post: Post, service: CaptchaService, outbox: Outbox, io_loop: IOLoop
) -> None:
    expected = {"refuse": (FAILED, []), "hold": (SENT, ["screened"]), "pass": (SENT, ["sent"])}
    for name, when in WHEN_UNSURE.items():
        before = len(outbox.rows())
        service.next = "drop"
        reply = await post(f"/rest/email/{name}", {**FORM, FIELDS[name]: "good"})
        answer, states = expected[when]
        assert answered(reply) == answer
        assert outbox.states()[before:] == states


@pytest.mark.gen_test
async def test_recaptchas_score_must_be_high_enough(
    post: Post, service: CaptchaService, said: Said
) -> None:
    for score, expected in ((0.9, SENT), (0.5, SENT), (0.4, FAILED), (0, FAILED)):
        service.next = (200, {**SUCCESS, "score": score})
        form = {**FORM, FIELDS["recaptcha"]: f"good-{score}"}
        assert answered(await post("/rest/email/recaptcha", form)) == expected
    assert said() == "score 0"


@pytest.mark.gen_test
async def test_an_answer_that_the_service_takes_twice_is_still_good_once(
    post: Post, service: CaptchaService, outbox: Outbox
) -> None:
    form = {**FORM, FIELDS["hcaptcha"]: "good"}
    for expected in (SENT, FAILED):
        service.next = (200, SUCCESS)
        assert answered(await post("/rest/email/hcaptcha", form)) == expected
    assert len(outbox.rows()) == 1
