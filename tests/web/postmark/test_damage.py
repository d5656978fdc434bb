"""Bodies of any shape: each is answered with an envelope or a list, never with a fault."""

import contextlib
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import mime
from relay.core.ids import message_id
from relay.core.message import Message
from relay.intake.outbox import identified
from relay.store import documents
from relay.web.postmark.errors import PostmarkError
from relay.web.postmark.messages import read
from tests.conftest import Outbox
from tests.support.generated import examples
from tests.web.postmark.conftest import Call

FULL: dict[str, Any] = {
    "From": "Notices <notices@example.gov>",
    "To": "a@example.com, B <b@example.com>",
    "Cc": "c@example.com",
    "Bcc": "d@example.com",
    "ReplyTo": ["e@example.com"],
    "Subject": "Häuser",
    "TextBody": "text",
    "HtmlBody": "<b>html</b>",
    "Tag": "tag",
    "Headers": [{"Name": "X-One", "Value": "two"}, {"Name": "Message-ID", "Value": "<a@b>"}],
    "Metadata": {"color": "blue", "n": 5},
    "MessageStream": "outbound",
    "TrackOpens": True,
    "TrackLinks": "HtmlOnly",
    "Attachments": [
        {"Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain", "ContentID": "cid:a"}
    ],
}
TEMPLATE = {
    **{name: FULL[name] for name in FULL if name not in ("Subject", "TextBody", "HtmlBody")},
    "TemplateId": "5",
    "TemplateAlias": "welcome",
    "InlineCss": True,
    "TemplateModel": {"name": "Ann", "rows": [{"a": 1}]},
}
BODIES = {
    "/email": FULL,
    "/email/batch": [FULL, FULL],
    "/email/withTemplate": TEMPLATE,
    "/email/batchWithTemplates": {"Messages": [TEMPLATE, TEMPLATE]},
}
DAMAGE = [
    *(b"\\ud800", b"\\u0000", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"1e999"),
    *(b"\\n", b"<", b">", b"@", b"=?utf-8?q?x?=", b"\\", b"\xc2\x85", b"\\u2028", b"{{x}}", b"%00"),
    *(b"true", b"9" * 30, b"[" * 40, b" ", b".", b"=", b"\\r\\nBcc: x@y.com", b"\xe2\x80\xae"),
]

# What a client may put in the place of anything: also what only just is no address or header.
LINES = st.text(max_size=30) | st.sampled_from(
    [
        *("", " ", "a@b.com", "A <a@b.com>", '"A, B" <a@b.com>', "=?utf-8?q?x?= <a@b.com>", "a@b"),
        *("x" * 1200, "x y " * 400, "\u200b", "é" * 600, "=?utf-8?b?eA==?=", "a\tb", "cid:a b"),
        *(
            "text/plain; charset=x",
            "message/rfc822",
            "multipart/mixed; boundary=b",
            "a" * 90 + "/b",
        ),
    ]
)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | LINES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
LIKELY = {
    **dict.fromkeys(("From", "To", "Cc", "Bcc", "Subject", "TextBody", "HtmlBody", "Tag"), LINES),
    "ReplyTo": LINES | st.lists(LINES, max_size=2),
    "MessageStream": LINES,
    "Headers": st.lists(
        st.fixed_dictionaries(
            {"Name": NAMES | st.sampled_from(["X-PM-KeepID", "Message-ID"]), "Value": LINES}
        ),
        max_size=3,
    ),
    "Metadata": st.dictionaries(LINES, ANYTHING, max_size=3),
    "Attachments": st.lists(
        st.fixed_dictionaries(
            {"Name": LINES, "Content": st.sampled_from(["", "aGVsbG8=", "aGVs\nbG8="])},
            optional={"ContentType": LINES, "ContentID": LINES},
        ),
        max_size=2,
    ),
}
MESSAGES = st.fixed_dictionaries(
    {}, optional={name: likely | ANYTHING for name, likely in LIKELY.items()}
)


@pytest.mark.slow
@examples(1500)
@given(MESSAGES)
def test_a_message_that_is_read_can_be_stored_and_written_as_mail(changes: dict[str, Any]) -> None:
    try:
        message = read({**FULL, **changes}, templated=False).message
    except PostmarkError:
        return
    message = identified(message, "relay-12345678")
    stored = documents.load(message.id, documents.dump(message))
    assert stored == message
    assert mime.as_bytes(stored)


@examples(300)
@given(ANYTHING, st.booleans())
def test_anything_is_read_or_refused(value: Any, templated: bool) -> None:
    with contextlib.suppress(PostmarkError):
        assert isinstance(read(value, templated=templated).message, Message)


def damaged(body: bytes, dice: random.Random) -> bytes:
    """Put something into a body, or take something out, a few times."""
    content = bytearray(body)
    for _ in range(dice.randrange(4)):
        place = dice.randrange(len(content) + 1)
        content[place : place + dice.randrange(3)] = dice.choice([b"", *DAMAGE])
    return bytes(content)


def is_answer(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item["ErrorCode"], int) and item["Message"] for item in items)


@pytest.mark.slow
@pytest.mark.gen_test(timeout=50)
async def test_no_damage_makes_a_fault_of_the_relays_own(
    call: Call, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    dice = random.Random(5)
    codes: Counter[int] = Counter()
    taken = 0
    for _ in range(1500):
        path = dice.choice(list(BODIES))
        reply = await call("POST", path, damaged(json.dumps(BODIES[path]).encode(), dice))
        assert reply.status in (200, 422), reply.body
        assert is_answer(reply.json)
        items = reply.json if isinstance(reply.json, list) else [reply.json]
        codes.update(item["ErrorCode"] for item in items)
        taken += sum(item["ErrorCode"] == 0 for item in items)
    assert taken == len(outbox.rows()) == codes[0] > 100
    assert codes[300] > 50
    assert codes[402] > 100
    assert {0, 300, 402, 403, 1101} <= set(codes)
    assert not {"request.failed", "library.logged", "delivery.broken"} & {
        event["event"] for event in events
    }


def test_ids_are_not_the_callers() -> None:
    message = read({**FULL, "MessageID": message_id()}, templated=False).message
    assert message.id == ""
