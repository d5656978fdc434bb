"""A refusal never takes the next call with it: what is sent and read here is plain bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import NamedTuple

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from relay.core.rate_limit import Caller, RateLimiter
from relay.site import Site
from relay.web import connections
from relay.web.pages import make_pages
from tests.conftest import APPLICATION_KEY, FORM, SETTINGS, Outbox
from tests.support.keys import key

SECRET = "webhook-secret-webhook-secret-webhook"
SERVER_KEY = "server-key-server-key-server-key-ser"

TOML = (
    SETTINGS
    + key("server", "notices")
    + """
[servers.notices]
plugins = ["postmark", "postmark_webhooks"]
sender = "Notices <notices@example.gov>"
postmark_token = { env = "POSTMARK_TOKEN" }
webhook_secrets = [{ env = "WEBHOOK_SECRET" }]
"""
)

JSON = "Content-Type: application/json"
KEY = f"Authorization: token {APPLICATION_KEY}"
STRANGER = "Authorization: token somebody-elses-key"
REMOTE = "X-Forwarded-For: 192.0.2.1"
MAIL = {"From": "notices@example.gov", "To": "ann@example.com", "Subject": "Hi", "TextBody": "x"}


@pytest.fixture
def settings_toml() -> str:
    return TOML


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"WEBHOOK_SECRET": SECRET, "SERVER_KEY": SERVER_KEY}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection, on which requests are sent in pieces as a test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            headers = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
            body = await self.reader.readexactly(int(headers.get("Content-Length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def call(self, request: bytes) -> Answer:
        await self.send(request)
        return await self.answer()

    async def ended(self) -> bool:
        """Whether the server closes the connection, without a reset."""
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


Connect = Callable[[], AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def port_of(server: HTTPServer) -> int:
    return next(iter(server._sockets.values())).getsockname()[1]


@pytest.fixture
def connect(http_server: HTTPServer) -> Connect:
    return lambda: connected(port_of(http_server))


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: relay", *headers, "", ""]).encode()


def request(line: str, body: bytes, *headers: str) -> bytes:
    return head(line, *headers, f"Content-Length: {len(body)}") + body


GOOD = request("POST /rest/email/default", json.dumps(FORM).encode(), JSON, KEY)
GOOD_MAIL = request(
    "POST /email", json.dumps(MAIL).encode(), JSON, f"X-Postmark-Server-Token: {SERVER_KEY}"
)

# What is refused, each before its body was read or for what it is: the request line, the headers.
REFUSED: list[tuple[int, str, list[str]]] = [
    (401, "POST /email", [JSON]),
    (401, "POST /email", [JSON, "X-Postmark-Server-Token: " + "x" * 36]),
    (401, "POST /email/batch", [JSON, "X-Postmark-Server-Token: é"]),
    (401, "PUT /templates/welcome", [JSON]),
    (401, "PUT /templates/push", [JSON, "X-Postmark-Account-Token: " + "x" * 36]),
    (401, "DELETE /templates/welcome", []),
    (401, "GET /server", [JSON]),
    (403, "POST /rest/email/postmark/notices/inbound", [JSON]),
    (401, "POST /rest/email/contactform", [JSON, STRANGER]),
    (401, "POST /rest/email_cancel/contactform", [JSON, STRANGER]),
    (403, "POST /rest/email_session/contactform", [JSON, KEY]),
    (403, "POST /rest/email/contactform", [JSON, KEY, "Origin: https://evil.example"]),
    (403, "POST /rest/email_token/create", [JSON, "Origin: https://evil.example"]),
    (403, "OPTIONS /rest/email/contactform", ["Origin: https://evil.example"]),
    (404, "POST /rest/email/nowhere", [JSON, KEY]),
    (404, "POST /rest/email_session/nowhere", [JSON]),
    (404, "POST /rest/email_cancel/nowhere", [JSON, KEY]),
    (404, "POST /rest/email/postmark/default/inbound", [JSON]),
    (404, "POST /nothing/here", [JSON]),
    (404, "PATCH /nothing/here", []),
    (405, "PUT /rest/email/contactform", [JSON, KEY]),
    (405, "GET /emails", [KEY]),
    (405, "PATCH /email", [JSON]),
    (405, "DELETE /rest/email_token/remove", []),
    (405, "PROPFIND /rest/email/contactform", [KEY]),
    (405, "POST /healthz", [JSON]),
    (415, "POST /rest/email/contactform", [JSON, KEY, "Content-Encoding: gzip"]),
    (415, "POST /rest/email_session/default", [JSON, KEY, "Content-Encoding: br"]),
    (415, "POST /email", ["Content-Type: text/xml", f"X-Postmark-Server-Token: {SERVER_KEY}"]),
    (415, "POST /rest/email/postmark/notices/inbound", [f"X-Relay-Webhook-Secret: {SECRET}"]),
]


def sized(body: bytes) -> tuple[str, bytes]:
    """Return the header that says how long a body is, and the body."""
    return f"Content-Length: {len(body)}", body


def chunked(body: bytes) -> tuple[str, bytes]:
    """Return the header of a body in chunks, and the chunks."""
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces)
    return "Transfer-Encoding: chunked", sent + b"0\r\n\r\n"


BODIES = [
    sized(b""),
    sized(b'{"subject": "x"}'),
    sized(b'{"subject": "%s"}' % (b"x" * 200_000)),
    chunked(b'{"subject": "%s"}' % (b"x" * 200_000)),
]


async def next_calls(
    client: Client, line: str, headers: list[str], bodies: Sequence[tuple[str, bytes]] = BODIES
) -> list[tuple[int, ...]]:
    """Send a bad call and a good one in turn; return the statuses of each pair."""
    pairs = []
    for header, body in bodies:
        # The head first: a response that does not wait for the body would be on its way by then.
        await client.send(head(line, *headers, header))
        await asyncio.sleep(0)
        bad, good = await client.call(body), await client.call(GOOD)
        assert "Connection" not in bad.headers | good.headers
        pairs.append((bad.status, good.status))
    return pairs


@pytest.mark.gen_test(timeout=30)
async def test_the_call_after_a_refused_one_is_taken(connect: Connect, outbox: Outbox) -> None:
    async with connect() as client:
        for number, (status, line, headers) in enumerate(REFUSED):
            two = [BODIES[number % 4], BODIES[(number + 1) % 4]]
            pairs = await next_calls(client, line, headers, two)
            assert pairs == [(status, 200)] * 2, (line, headers)
    assert len(outbox.rows()) == len(REFUSED) * 2


@pytest.mark.gen_test
async def test_the_call_after_one_too_many_is_taken(connect: Connect, site: Site) -> None:
    none = RateLimiter(1)
    none.take(Caller("127.0.0.1", local=False))
    site.configuration = replace(site.configuration, post_limiter=none, token_limiter=none)
    test_token = "X-Postmark-Server-Token: POSTMARK_API_TEST"
    async with connect() as client:
        for line, header in (
            ("POST /rest/email_token/create", KEY.replace("token ", "unknown ")),
            ("POST /rest/email_token/remove", JSON),
            ("POST /rest/email/contactform", KEY),
            ("POST /rest/email_session/default", KEY),
            ("POST /email", test_token),
            ("POST /email/batch", "X-Postmark-Server-Token: unknown"),
            ("POST /rest/email/postmark/notices/inbound", "X-Relay-Webhook-Secret: unknown"),
        ):
            assert await next_calls(client, line, [JSON, header, REMOTE]) == [(429, 200)] * 4, line


@pytest.mark.gen_test
async def test_the_call_after_a_time_without_room_is_taken(connect: Connect, site: Site) -> None:
    token = f"X-Postmark-Server-Token: {SERVER_KEY}"
    async with connect() as client:
        for line in ("POST /rest/email/default", "POST /rest/email_token/create", "POST /email"):
            for header, body in BODIES:
                site.stopping = True
                await client.send(head(line, JSON, KEY, token, header))
                await asyncio.sleep(0)
                refused = await client.call(body)
                site.stopping = False
                assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
                assert (await client.call(GOOD)).status == 200


LARGE = b"x" * 3 * 2**20
KINDS = [
    (413, "POST /rest/email/contactform", [KEY, JSON]),
    (413, "POST /rest/email_token/create", [JSON]),
    (401, "POST /email/batch", [JSON]),
    (403, "POST /rest/email/postmark/notices/inbound", [JSON]),
    (404, "POST /rest/email/nowhere", [KEY, JSON]),
    (405, "PUT /emails", [JSON]),
    (405, "PROPFIND /emails", [JSON]),
    (415, "POST /rest/email/contactform", [KEY, JSON, "Content-Encoding: gzip"]),
]


@pytest.mark.gen_test
async def test_a_refusal_of_a_large_body_says_that_it_closes_and_can_be_read(
    connect: Connect, outbox: Outbox
) -> None:
    for status, line, headers in KINDS:
        for header, body in (sized(LARGE), chunked(LARGE)):
            async with connect() as client:
                await client.send(head(line, *headers, header) + body)
                answer = await client.answer()
                assert (answer.status, answer.headers["Connection"]) == (status, "close")
                assert await client.ended()
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_who_says_how_large_its_body_is_need_not_send_it(connect: Connect) -> None:
    for status, line, headers in KINDS:
        async with connect() as client:
            asked = [*headers, "Expect: 100-continue", "Content-Length: 3000000"]
            answer = await client.call(head(line, *asked))
            assert (answer.status, answer.headers["Connection"]) == (status, "close")


@pytest.mark.gen_test
async def test_who_asks_before_it_sends_a_small_body_can_call_again(connect: Connect) -> None:
    asked = ["Expect: 100-continue", "Content-Length: 3", JSON]
    async with connect() as client:
        assert (await client.call(head("POST /email", *asked))).status == 100
        assert (await client.call(b"{} ")).status == 401
        assert (await client.call(GOOD)).status == 200


@pytest.mark.gen_test
async def test_a_client_of_http_1_0_hears_that_the_connection_closes(connect: Connect) -> None:
    kept = ["Connection: keep-alive", "Content-Type: text/xml"]
    async with connect() as client:
        small = request("POST /email", b"<a/>", *kept).replace(b"HTTP/1.1", b"HTTP/1.0")
        for _ in range(2):
            answer = await client.call(small)
            assert (answer.status, answer.headers["Connection"]) == (401, "Keep-Alive")
        large = request("POST /email", LARGE, *kept).replace(b"HTTP/1.1", b"HTTP/1.0")
        answer = await client.call(large)
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
        assert await client.ended()


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("way", [sized, chunked])
async def test_the_sender_of_twenty_megabytes_reads_that_it_is_too_much(
    connect: Connect, way: Callable[[bytes], tuple[str, bytes]]
) -> None:
    header, body = way(b"x" * 20 * 2**20)
    async with connect() as client:
        await client.send(head("POST /rest/email/contactform", KEY, JSON, header) + body)
        answer = await client.answer()
        assert (answer.status, json.loads(answer.body)["response"]) == (413, "body too large")
        assert await client.ended()


@pytest.mark.gen_test(timeout=30)
@pytest.mark.parametrize("way", [sized, chunked])
async def test_what_still_comes_is_thrown_away_only_up_to_a_limit(
    connect: Connect, way: Callable[[bytes], tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DISCARDED_BYTES", 4 * 2**20)
    header, body = way(b"x" * 30 * 2**20)
    async with connect() as client:
        client.writer.write(head("POST /rest/email/contactform", KEY, JSON, header) + body)
        with pytest.raises(ConnectionError):
            await asyncio.gather(client.writer.drain(), client.ended())


@pytest.mark.gen_test
async def test_a_response_waits_for_a_slow_body_only_for_a_time(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "AWAITED_SECONDS", 0.05)
    monkeypatch.setattr(connections, "DISCARDED_SECONDS", 0.05)
    async with connect() as client:
        answer = await client.call(head("POST /email", JSON, "Content-Length: 10") + b"{")
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
        assert await client.ended()


@pytest.mark.gen_test
async def test_a_small_body_is_taken_however_late_its_pieces_come(
    connect: Connect, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "AWAITED_SECONDS", 0.05)
    start = GOOD.index(b"\r\n\r\n") + 4
    cuts = [(0, 10), (0, start), (start, start + 1), (start + 9, len(GOOD) - 1)]
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(connect()) for _ in cuts]
        for at in range(2):
            for client, (first, second) in zip(clients, cuts, strict=True):
                await client.send([GOOD[:first], GOOD[first:second]][at])
            await asyncio.sleep(0.06)  # for some of them longer than they are waited for
        for client, (_, second) in zip(clients, cuts, strict=True):
            assert (await client.call(GOOD[second:])).status == 200
            assert (await client.call(GOOD)).status == 200
    assert len(outbox.rows()) == 2 * len(cuts)


@pytest.mark.gen_test
async def test_a_body_that_is_too_large_is_refused_in_whichever_pieces_it_comes(
    connect: Connect, site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "AWAITED_SECONDS", 0.05)
    limits = replace(site.configuration.settings.limits, form_bytes=100)
    settings = replace(site.configuration.settings, limits=limits)
    site.configuration = replace(site.configuration, settings=settings)
    for header, body in (sized(b"x" * 101), chunked(b"x" * 101)):
        for pause in (0, 0.06):
            async with connect() as client:
                await client.send(head("POST /rest/email/default", JSON, KEY, header) + body[:100])
                await asyncio.sleep(pause)
                assert (await client.call(body[100:])).status == 413, (header, pause)
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("length", ["5, 5", "99999, 99999", "5x", "-5", "5, 6"])
async def test_a_length_that_is_no_number_lets_nobody_send_without_an_end(
    connect: Connect, length: str, outbox: Outbox
) -> None:
    async with connect() as client:
        await client.send(head("POST /rest/email/default", JSON, KEY, f"Content-Length: {length}"))
        assert (await client.call(b"[" * 99_999)).status in (400, 413)
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_client_that_leaves_before_its_refusal_holds_nothing_up(
    connect: Connect, site: Site
) -> None:
    async with connect() as client:
        await client.send(head("POST /email", JSON, "Content-Length: 10") + b"{")
    async with connect() as client:
        assert (await client.call(GOOD)).status == 200
    await asyncio.wait_for(site.requests.none_running(), 5)


@pytest.mark.gen_test
async def test_a_page_refuses_what_comes_before_it_is_there(site: Site) -> None:
    server = HTTPServer(make_pages(site))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    site.pages = ("127.0.0.1", port)
    own = head("GET /try", "Accept: */*").replace(
        b"Host: relay", f"Host: localhost:{port}".encode()
    )
    try:
        async with connected(port) as client:
            for line in ("POST /nothing", "POST /try", "PUT /messages", "DELETE /static/pages.css"):
                header, body = BODIES[2]
                await client.send(head(line, header))
                await asyncio.sleep(0)
                assert (await client.call(body)).status == 403
                assert (await client.call(own)).status == 200
    finally:
        server.stop()
