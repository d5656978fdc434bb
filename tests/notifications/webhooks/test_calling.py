"""Calls to targets that are slow, wrong or wicked: each has a clear word, none takes long."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest

from relay.config.webhooks import Target
from relay.core.secret import Secret
from relay.notifications.webhooks import calling
from relay.notifications.webhooks.calling import Answer
from relay.store.webhooks import Call
from tests.support.webhook_receiver import SECRET

pytestmark = pytest.mark.sqlite

CALL = Call("019ad012", "crm", None, "message.sent", '{"type": "x"}', 0, 0, 0, "", None, None)
HERE = (ip_network("127.0.0.1"),)
TEN_MEGABYTES = 10 * 2**20
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[[socket.socket], None]


def request(connection: socket.socket) -> bytes:
    """Read a whole request, unless it is TLS: what is closed before is no answer, but a reset."""
    read = connection.recv(65536)
    while not read.endswith(CALL.body.encode()) and not read.startswith(b"\x16"):
        read += connection.recv(65536)
    return read


class Server:
    """Serves each connection by a function, on an address of this machine; counts them."""

    def __init__(self, serve: Serve, host: str = "127.0.0.1", port: int = 0) -> None:
        self.serve, self.requests, self.sent = serve, list[bytes](), 0
        self.listener = socket.create_server((host, port))
        self.port: int = self.listener.getsockname()[1]
        self.done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # a caller may hang up
                self.requests.append(request(connection))
                self.serve(connection)
            self.done.set()

    def close(self) -> None:
        if self.listener.fileno() == -1:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    made = []

    def make(serve: Serve, *where: Any) -> Server:
        made.append(Server(serve, *where))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answering(content: bytes) -> Serve:
    return lambda connection: connection.sendall(content)


def made(url: str, networks: tuple[Any, ...] = HERE) -> Answer:
    """What comes of a call, in a thread of its own: none finds another one's connection."""
    found: list[Answer] = []
    target = Target("crm", Secret(url), (Secret(SECRET),), networks)
    thread = threading.Thread(target=lambda: found.append(calling.make(CALL, target)))
    thread.start()
    thread.join(30)
    return found[0]


def hang(connection: socket.socket) -> None:
    connection.recv(1)  # until the caller hangs up


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"x" * 1000:
        connection.sendall(bytes([byte]))
        connection.settimeout(0.05)
        with suppress(TimeoutError):
            if not connection.recv(1):
                return


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (hang, "no answer within 1 s"),
        (drip, "no answer within 1 s"),
        (answering(REDIRECT), "302: redirects are not followed"),
        (answering(REDIRECT.replace(b"302 Found", b"307 Away")), "307: redirects are not followed"),
        (answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "404"),
        (answering(b""), "it hung up without an answer"),
        (answering(b"220 mail.example.gov ESMTP\r\n"), "its answer is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500), "its answer is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10**6), "its answer is no HTTP"),
    ],
    ids=["hang", "drip", "302", "307", "404", "nothing", "no HTTP", "many headers", "long header"],
)
def test_a_target_that_misbehaves_has_a_clear_word(
    server: Callable[..., Server], serve: Serve, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "CALL_SECONDS", 1.0)
    answer = made(f"http://127.0.0.1:{server(serve).port}/relay")
    assert (answer.taken, answer.words) == (False, words)


@pytest.mark.parametrize(("status", "taken"), [(b"200 OK", True), (b"500 No", False)])
def test_of_ten_megabytes_little_is_read(
    server: Callable[..., Server], status: bytes, taken: bool
) -> None:
    sent = []

    def flood(connection: socket.socket) -> None:
        length = b"Content-Length: %d\r\n\r\n" % TEN_MEGABYTES
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + length)
        for _ in range(TEN_MEGABYTES // 2**16):
            connection.sendall(b"x" * 2**16)
            sent.append(2**16)

    one = server(flood)
    answer = made(f"http://127.0.0.1:{one.port}/")
    assert (answer.taken, answer.words) == (taken, status[:3].decode())
    assert one.done.wait(10)
    assert sum(sent) < TEN_MEGABYTES  # but for what lies in the system's buffers


def test_what_is_packed_is_not_unpacked(server: Callable[..., Server]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
    assert made(f"http://127.0.0.1:{server(answering(head + b'no gzip..')).port}/").taken


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "[::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "10.0.0.1", "169.254.169.254"),
        *("192.168.1.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]"),
        *("[2002:7f00:1::1]", "224.0.0.1", "255.255.255.255", "[::127.0.0.1]"),
    ],
)
def test_a_private_address_is_not_called_however_it_is_written(
    server: Callable[..., Server], host: str
) -> None:
    one = server(answering(OK))
    answer = made(f"http://{host}:{one.port}/", ())
    assert not answer.taken
    assert answer.words.endswith("is a private address")
    assert one.requests == []


def test_the_call_goes_to_the_very_address_that_was_looked_at(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = server(answering(OK))
    trap = server(answering(OK), "127.0.0.2", good.port)
    names = iter(["127.0.0.1", "127.0.0.2"])
    real, asked = socket.getaddrinfo, []

    def rebound(host: str, *rest: Any, **options: Any) -> Any:
        asked.append(host)
        return real(next(names), *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    url = f"http://crm.example.gov:{good.port}/"
    assert made(url).taken
    assert asked == ["crm.example.gov"]  # looked up once: there is no second answer to go to
    assert b"Host: crm.example.gov" in good.requests[0]
    answer = made(url)
    assert (answer.taken, answer.words.endswith("127.0.0.2 is a private address")) == (False, True)
    assert trap.requests == []


def test_of_several_addresses_the_private_ones_are_left_out(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = server(answering(OK))
    trap = server(answering(OK), "127.0.0.2", good.port)
    real = socket.getaddrinfo

    def several(host: str, *rest: Any, **options: Any) -> Any:
        return [*real("127.0.0.2", *rest, **options), *real("127.0.0.1", *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    assert made(f"http://crm.example.gov:{good.port}/").taken
    assert trap.requests == []


def test_nobody_there_a_name_that_is_none_and_no_tls(server: Callable[..., Server]) -> None:
    one = server(answering(b"HTTP/1.1 400 No\r\n\r\n"))
    assert made(f"https://127.0.0.1:{one.port}/").words == "it speaks no TLS that is good enough"
    one.close()
    assert made(f"http://127.0.0.1:{one.port}/").words == "nobody listens there"
    assert made("http://no-such-name.invalid/").words == "its name is not known"


def test_no_proxy_of_the_environment_is_used(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, proxy = server(answering(OK)), server(answering(OK))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    assert made(f"http://127.0.0.1:{good.port}/").taken
    assert proxy.requests == []
