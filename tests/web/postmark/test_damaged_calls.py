"""Calls with random damage: every one gets Postmark's envelope, none a fault of the relay's own."""

import asyncio
import json
import random
from collections import Counter
from typing import Any

import pytest
from tornado.httpserver import HTTPServer

from relay.site import Site
from tests.conftest import Outbox
from tests.support.keys import ACCOUNT_KEY
from tests.web.postmark.conftest import NOTICES_KEY

CALLS = 1500

TEMPLATE = {
    "Name": "Welcome",
    "Alias": "welcome",
    "Subject": "Hi {{name}}",
    "HtmlBody": "<p>{{#each people}}{{name}}{{/each}}</p>",
    "TextBody": "{{name}}",
    "TemplateType": "Standard",
    "LayoutTemplate": "",
}
TRIAL = TEMPLATE | {"TestRenderModel": {"name": "x"}, "InlineCssForHtmlTestRender": True}
PUSH = {"SourceServerID": 2, "DestinationServerID": 3, "PerformChanges": True}

FILTERS = (
    b"recipient=a@example.com&fromemail=b@example.com&tag=t&status=sent&subject=s"
    b"&fromdate=2026-01-01&todate=2026-12-31T00:00:00&messagestream=outbound"
    b"&metadata_color=blue&metadata_size=9"
)

ENDPOINTS: list[tuple[bytes, bytes, Any]] = [
    (b"GET", b"/templates?Count=10&Offset=0&TemplateType=All&LayoutTemplate=x", None),
    (b"POST", b"/templates", TEMPLATE),
    (b"GET", b"/templates/welcome", None),
    (b"PUT", b"/templates/welcome", TEMPLATE),
    (b"PUT", b"/templates/1", TEMPLATE),
    (b"DELETE", b"/templates/welcome", None),
    (b"POST", b"/templates/validate", TRIAL),
    (b"PUT", b"/templates/push", PUSH),
    (b"GET", b"/server", None),
    (b"GET", b"/servers?count=10&offset=0&name=n", None),
    (b"GET", b"/servers/2", None),
    (b"GET", b"/message-streams?MessageStreamType=All", None),
    (b"GET", b"/message-streams/outbound", None),
    (
        b"GET",
        b"/messages/outbound?count=10&offset=0&" + FILTERS,
        None,
    ),
    (b"GET", b"/messages/outbound/019aa5c2-7d8e-7abc-8def-0123456789ab/details", None),
    (b"GET", b"/messages/outbound/019aa5c2-7d8e-7abc-8def-0123456789ab/dump", None),
]
IN_A_PATH = [
    *(b"%ff", b"%00", b"%2F", b"/", b"//", b"..", b"%", b"%zz", b"%F0%9F%93%AC", b"x" * 4000, b";"),
    *(b"0", b"-1", b"9" * 30, b"&", b"=", b"?", b"&count=5", b"%20", b"+", b"\xff", b"%ED%A0%80"),
]
IN_A_BODY = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b"NaN", b"\\ud800", b"\\u0000"),
    *(b"\xff", b"\x00", b"{{", b"}}", b"{{{@content}}}", b"-1", b"9" * 5000, b"[[[[", b"true"),
]
VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**30, "", "x", "9" * 50, [], {}, [[]], {"a": {"b": [1]}}),
    *(
        "{{#a}}",
        "{{{@content}}}",
        "\ud800",
        "\u0000",
        "{{#each a.b}}{{../../c}}{{/each}}",
        "Layout",
    ),
]


def damaged(content: bytes, pieces: list[bytes], dice: random.Random) -> bytes:
    """Put pieces into a text, or take some of it out, a few times."""
    changed = bytearray(content)
    for _ in range(dice.choice([0, 1, 1, 2, 4])):
        place = dice.randrange(len(changed) + 1)
        changed[place : place + dice.randrange(3)] = dice.choice([b"", *pieces])
    return bytes(changed)


def body_of(value: Any, dice: random.Random) -> bytes:
    """Write a body, with members of the wrong type or damage of its text."""
    if value is None:
        return dice.choice([b"", b"null", b"{"])
    changed = {
        name: dice.choice(VALUES) if dice.random() < 0.2 else one for name, one in value.items()
    }
    text = json.dumps(dice.choice([*VALUES, *[changed] * 40])).encode()
    return damaged(text, IN_A_BODY, dice) if text and dice.random() < 0.4 else text


def request(dice: random.Random) -> bytes:
    method, path, value = dice.choice(ENDPOINTS)
    # The first segment stays: with another one a path is not of this API.
    first, slash, rest = path[1:].partition(dice.choice([b"/", b"?"]))
    path = b"/" + first + slash + damaged(rest, IN_A_PATH, dice) if rest else path
    body = body_of(value, dice)
    method = dice.choice([method] * 20 + [b"GET", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"FOO"])
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: relay",
        b"X-Postmark-Server-Token: " + NOTICES_KEY.encode(),
        b"X-Postmark-Account-Token: " + ACCOUNT_KEY.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]
    return b"\r\n".join([*lines, b"", body])


async def answer(port: int, content: bytes) -> bytes:
    """Send a request on a connection of its own; give all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


def assert_answered(received: bytes, sent: bytes) -> bytes:
    """Give the status of an answer that is Postmark's: JSON, or nothing where a method is wrong."""
    head, _, body = received.partition(b"\r\n\r\n")
    status = head[9:12]
    assert status in {b"200", b"400", b"404", b"405", b"422"}, (received, sent)
    if (status != b"405" or body) and not sent.startswith(b"HEAD"):
        value = json.loads(body)
        assert status == b"200" or list(value) == ["ErrorCode", "Message"], (received, sent)
    return status


@pytest.mark.slow
@pytest.mark.gen_test(timeout=50)
async def test_no_damage_makes_a_fault_of_the_relays_own(
    http_server: HTTPServer,
    http_port: int,
    site: Site,
    outbox: Outbox,
    events: list[dict[str, Any]],
) -> None:
    dice = random.Random(7)
    statuses: Counter[bytes] = Counter()
    for _ in range(CALLS):
        sent = request(dice)
        statuses[assert_answered(await answer(http_port, sent), sent)] += 1
    assert statuses[b"200"] > 200
    assert statuses[b"422"] > 200
    assert not {"request.failed", "library.logged"} & {event["event"] for event in events}
    assert outbox.rows() == []
