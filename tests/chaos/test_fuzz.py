"""Requests with random damage: every one is answered, none with a fault of the daemon's own."""

import random
import socket
from collections import Counter
from pathlib import Path

import pytest

from tests.support.daemon import ROOT, Daemon

pytestmark = pytest.mark.slow

REQUESTS = 20_000

BODIES = {
    b"application/x-www-form-urlencoded": (
        b"email[to_address]=desk@example.gov&email[from_address]=a@example.com"
        b"&email[subject]=s&email[message]=m"
    ),
    b"application/json": (
        b'{"email": {"to": "a@example.gov", "from_address": "b@example.com", "subject": "s", '
        b'"message": "m", "useHtml": 1, "headers": [{"Name": "X", "Value": "y"}]}}'
    ),
    b"multipart/form-data; boundary=b": b"--b\r\n"
    + b"\r\n--b\r\n".join(
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % pair
        for pair in [
            (b"to", b"a@example.gov"),
            (b"from_address", b"b@example.com"),
            (b"subject", b"s"),
            (b"message", b"m"),
        ]
    )
    + b"\r\n--b--\r\n",
}
MEDIA = [
    *BODIES,
    *(b"text/plain", b"multipart/form-data", b"application/x-www-form-urlencoded; charset=utf-16"),
    *(
        b"application/json; charset=windows-1252",
        b"multipart/form-data; boundary=\xff",
        b"\xff/x",
        b"",
    ),
]
PATHS = [
    *(b"/rest/email/contactform", b"/emails", b"/rest/email_session/contactform", b"/healthz"),
    *(b"/rest/email_token/create", b"/rest/email_token/remove", b"/rest/email/\xff"),
    *(b"/rest/email/%ff", b"/rest/email/..%2f", b"//emails", b"/emails?x=%ff"),
]
DAMAGE = [
    *(b"%00", b"[]", b"[", b"\\ud800", b"\xed\xa0\x80", b"{{", b"=?utf-8?q?x?=", b"\r\n", b"\x00"),
    *(b'"', b"&a[b][c]=1", b"1e999", b"\xff", b"&email=x", b"@", b"<", b","),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xe2\x80\x8d", b"\xe2\x80\xa8", b"\x0b", b"%ED%A0%BD"),
    *(b"&_charset_=utf-16", b"&_charset_=x", b"--b", b"--b--", b"\r\n\r\n", b"-" * 3000, b"%"),
    *(
        b'"url": "' + b"x" * 3000 + b'", ',
        b"&url=" + b"x" * 3000,
        b"null",
        b"[1]",
        b"{}",
        b"9" * 400,
    ),
    *(b"=?utf-8?q?=0ABcc:_a@b.co?=", b"\xf0\x9f\x98\x80" * 1001, b"&senddatetime=1e9 weeks"),
]
HEADERS = [
    *(b"Origin: \xff", b"X-Forwarded-For: a, b", b"Content-Encoding: gzip", b"Cookie: \x80"),
    *(b"Authorization: token \xff", b"Expect: 100-continue", b"X-Forwarded-Proto: \xff"),
]


def damaged(body: bytes, dice: random.Random) -> bytes:
    """Put something into a body, or take something out, a few times."""
    content = bytearray(body)
    for _ in range(dice.randrange(6)):
        place = dice.randrange(len(content) + 1)
        content[place : place + dice.randrange(3)] = dice.choice([b"", *DAMAGE])
    return bytes(content)


def request(key: str, dice: random.Random) -> bytes:
    media = dice.choice(list(BODIES))
    body = damaged(BODIES[media], dice)
    lines = [
        b"POST " + dice.choice(PATHS) + b" HTTP/1.1",
        b"Host: relay",
        b"Authorization: token " + key.encode(),
        b"Content-Type: " + dice.choice([media] * 10 + MEDIA),
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *([dice.choice(HEADERS)] if dice.random() < 0.2 else []),
    ]
    return b"\r\n".join([*lines, b"", body])


def answer(port: int, content: bytes) -> bytes:
    """Send a request on a connection of its own; give all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(content)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received.removeprefix(b"HTTP/1.1 100 (Continue)\r\n\r\n")


@pytest.mark.timeout(1200)
def test_no_damage_makes_a_fault_of_the_daemons_own(tmp_path: Path) -> None:
    limits = "[relay.limits]\nposts_per_minute = 0\ntokens_per_minute = 0\n"
    shipped = (ROOT / "settings.toml").read_text(encoding="utf-8")
    dice = random.Random(5)
    statuses: Counter[bytes] = Counter()
    with Daemon(tmp_path, limits + shipped) as daemon:
        key = daemon.made_keys()["application"]
        port = int(daemon.url.rpartition(":")[2])
        for _ in range(REQUESTS):
            received = answer(port, request(key, dice))
            head, _, body = received.partition(b"\r\n\r\n")
            statuses[head[9:12]] += 1
            assert body.startswith((b'{"status": ', b'{"token_session": '))
        events = Counter(event["event"] for event in daemon.events())
        stored = daemon.command("mailbox", "--limit", "100000").stdout.count("\n")
    assert set(statuses) <= {b"200", b"400", b"401", b"403", b"404", b"405", b"415"}
    assert statuses[b"200"] > 50
    assert statuses[b"400"] > 500
    faults = {"request.failed", "library.logged", "delivery.broken", "hook.slow"}
    assert not faults & set(events)
    assert stored == events["message.sent"] == events["message.accepted"] > 0
