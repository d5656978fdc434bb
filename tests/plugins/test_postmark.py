"""Delivery through Postmark: what is sent, and what each of its answers means."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.addresses import Address
from relay.core.errors import (
    ConfigurationError,
    DeliveryDeferred,
    DeliveryError,
    DeliveryFailed,
    DeliveryInDoubt,
)
from relay.core.immutable import freeze
from relay.core.message import Attachment, Confirmation, Message
from relay.core.server import Server
from relay.hooks.chain import Chain
from tests.support.generated import examples

BuildChain = Callable[..., Chain]

ID = "0a129aee-e1cd-480d-b08d-4f48548ff48d"
SUBMITTED = {"To": "a@example.gov", "SubmittedAt": "2026-02-17T07:25:01.4178645-05:00"}
OK = {**SUBMITTED, "MessageID": ID, "ErrorCode": 0, "Message": "OK"}
INACTIVE_WORDS = (
    "Message OK, but will not deliver to these inactive addresses: {}. "
    "Inactive recipients are ones that have generated a hard bounce or a spam complaint."
)
SERVER = Server(
    name="registry",
    plugins=("postmark",),
    options={"message_stream": "outbound", "postmark_url": "https://api.postmarkapp.com"},
)
PLAIN = Message(
    sender=Address("registry@example.gov", "Registry"),
    to=(Address("a@example.gov"),),
    subject="Hi",
    text="Hello.",
    id=ID,
)
PLAIN_PAYLOAD = {
    "From": "Registry <registry@example.gov>",
    "To": "a@example.gov",
    "Subject": "Hi",
    "TextBody": "Hello.",
    "MessageStream": "outbound",
}


@pytest.fixture(scope="session")
def postmark(plugin: Callable[[str], ModuleType]) -> ModuleType:
    return plugin("postmark")


def changed(**values: Any) -> Message:
    return Message(**{name: getattr(PLAIN, name) for name in PLAIN.__slots__} | values)


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({}, PLAIN_PAYLOAD),
        (
            {
                "to": (Address("j@example.gov", "Doe, Jane"), Address("a@example.gov")),
                "cc": (Address("c@example.gov"),),
                "bcc": (Address("b@example.gov"),),
                "reply_to": (Address("r@example.com", "Zoë"),),
            },
            PLAIN_PAYLOAD
            | {
                "To": '"Doe, Jane" <j@example.gov>, a@example.gov',
                "Cc": "c@example.gov",
                "Bcc": "b@example.gov",
                "ReplyTo": "Zoë <r@example.com>",
            },
        ),
        ({"html": "<p>Hello.</p>"}, PLAIN_PAYLOAD | {"HtmlBody": "<p>Hello.</p>"}),
        ({"tag": "Web"}, PLAIN_PAYLOAD | {"Tag": "Web"}),
        (
            {"headers": (("X-Form", "a"), ("X-Form", "b"))},
            PLAIN_PAYLOAD
            | {"Headers": [{"Name": "X-Form", "Value": "a"}, {"Name": "X-Form", "Value": "b"}]},
        ),
        (
            {"metadata": freeze({"relay-01234567": ID})},
            PLAIN_PAYLOAD | {"Metadata": {"relay-01234567": ID}},
        ),
        (
            {"to": (Address("a@example.gov", "Ann\\"), Address("b@example.gov", 'a\\"b'))},
            PLAIN_PAYLOAD | {"To": r""""Ann\\ " <a@example.gov>, "a\\\"b" <b@example.gov>"""},
        ),
        (
            {"sender": Address("a@example.gov", "=?utf-8?q?x?=")},
            PLAIN_PAYLOAD | {"From": '"\\=?utf-8?q?x?=" <a@example.gov>'},
        ),
        (
            {
                "attachments": (
                    Attachment("plan.pdf", "application/pdf", "JVBERg=="),
                    Attachment("l.png", "image/png", "iVBORw==", "cid:l.png"),
                )
            },
            PLAIN_PAYLOAD
            | {
                "Attachments": [
                    {"Name": "plan.pdf", "Content": "JVBERg==", "ContentType": "application/pdf"},
                    {
                        "Name": "l.png",
                        "Content": "iVBORw==",
                        "ContentType": "image/png",
                        "ContentID": "cid:l.png",
                    },
                ]
            },
        ),
        ({"track_opens": True}, PLAIN_PAYLOAD | {"TrackOpens": True}),
        ({"track_opens": False}, PLAIN_PAYLOAD | {"TrackOpens": False}),
        ({"track_links": "HtmlOnly"}, PLAIN_PAYLOAD | {"TrackLinks": "HtmlOnly"}),
        ({"stream": "broadcast"}, PLAIN_PAYLOAD | {"MessageStream": "broadcast"}),
        ({"inline_css": False}, PLAIN_PAYLOAD),
        (
            {"headers": (("Message-ID", "<a@b.co>"), ("X-PM-KeepID", "true"))},
            PLAIN_PAYLOAD
            | {
                "Headers": [
                    {"Name": "Message-ID", "Value": "<a@b.co>"},
                    {"Name": "X-PM-KeepID", "Value": "true"},
                ]
            },
        ),
    ],
)
def test_a_message_is_sent_in_postmarks_names_and_without_what_is_empty(
    postmark: ModuleType, values: dict[str, Any], sent: dict[str, Any]
) -> None:
    payload = postmark.payload(changed(**values), SERVER)
    assert payload == sent
    assert json.loads(json.dumps(payload)) == sent


@pytest.mark.parametrize(
    ("template", "name"), [(23904341, "TemplateId"), ("welcome", "TemplateAlias")]
)
@pytest.mark.parametrize("model", [None, {}, {"subject": "Hi", "units": [{"count": 2}], "n": None}])
def test_with_a_template_reference_and_model_are_sent_and_no_parts(
    postmark: ModuleType, template: int | str, name: str, model: dict[str, Any] | None
) -> None:
    message = changed(template=template, model=freeze(model))
    payload = postmark.payload(message, SERVER)
    assert payload == {
        "From": "Registry <registry@example.gov>",
        "To": "a@example.gov",
        "MessageStream": "outbound",
        name: template,
        "TemplateModel": model or {},
    }
    assert json.loads(json.dumps(payload)) == payload


def test_what_a_template_made_here_is_not_sent_and_not_inlining_is_said(
    postmark: ModuleType,
) -> None:
    message = changed(
        template="welcome", model={"a": 1}, html="<p>rendered</p>", text="rendered", stream="news"
    )
    assert message.is_rendered
    expected = {
        "From": "Registry <registry@example.gov>",
        "To": "a@example.gov",
        "MessageStream": "news",
        "TemplateAlias": "welcome",
        "TemplateModel": {"a": 1},
    }
    assert postmark.payload(message, SERVER) == expected
    plain = replace(message, inline_css=False)
    assert postmark.payload(plain, SERVER) == expected | {"InlineCss": False}


def error(number: int, words: str = "No.") -> bytes:
    return json.dumps({"ErrorCode": number, "Message": words}).encode()


def success(**changes: Any) -> bytes:
    given = {**OK, **changes}
    return json.dumps({name: value for name, value in given.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("answer", "dropped", "words"),
    [
        (success(), (), "OK"),
        (success(Message="Test job accepted"), (), "Test job accepted"),
        (
            success(ErrorCode=..., Message="Message accepted, but delivery may be delayed."),
            (),
            "Message accepted, but delivery may be delayed.",
        ),
        (success(ErrorCode=None), (), "OK"),
        (success(To=..., SubmittedAt=..., Message=...), (), ""),
        (
            success(Message=INACTIVE_WORDS.format("a@example.gov")),
            ("a@example.gov",),
            "Message OK, but will not deliver",
        ),
        (
            success(Message=INACTIVE_WORDS.format("a@example.gov, b@example.gov")),
            ("a@example.gov", "b@example.gov"),
            "Message OK, but will not deliver",
        ),
        (
            success(
                Message=INACTIVE_WORDS.format(", ".join(f"a{n}@example.gov" for n in range(49)))
            ),
            tuple(f"a{n}@example.gov" for n in range(49)),
            "Message OK, but will not deliver",
        ),
    ],
)
def test_a_taken_message_has_a_receipt_that_names_who_is_left_out(
    postmark: ModuleType, answer: bytes, dropped: tuple[str, ...], words: str
) -> None:
    assert postmark.classify(200, answer) == Confirmation(ID, dropped, words)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        success()[:-1],
        success() + b"x",
        b"<html>It works</html>",
        b"null",
        b"[]",
        b'"OK"',
        b"\xff\xfe",
        pytest.param(b"[" * 100_000, id="deep"),
        success(MessageID=...),
        success(MessageID=None),
        success(MessageID=""),
        success(MessageID=7),
        success(ErrorCode="0"),
        success(ErrorCode=[0]),
        success(ErrorCode={"a": 1}),
        success(ErrorCode=406),
        success(ErrorCode=300, MessageID=...),
    ],
)
def test_a_200_that_does_not_say_it_clearly_leaves_the_message_in_doubt(
    postmark: ModuleType, answer: bytes
) -> None:
    assert type(postmark.classify(200, answer)) is DeliveryInDoubt


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (422, error(300, "Invalid 'To' address: 'x'.")),
        (422, error(300, "Zero recipients specified")),
        (422, error(402, "Invalid JSON.")),
        (422, error(403, "Invalid request field(s): 'From'.")),
        (422, error(406, "You tried to send to recipient(s) that have been marked as inactive.")),
        (422, error(409, "JSON required.")),
        (422, error(410)),
        (422, error(411, "Attachment file type not allowed.")),
        (422, error(1101, "not valid, not found")),
        (422, error(1109)),
        (422, error(1120)),
        (422, error(1122)),
        (422, b""),
        (422, b"<html>"),
        (422, json.dumps({"ErrorCode": "300"}).encode()),
        (422, json.dumps({"ErrorCode": [10]}).encode()),
        (413, b""),
        (413, error(300, "too large")),
        (400, error(1002)),
    ],
)
def test_a_fault_of_the_message_or_its_recipients_is_final(
    postmark: ModuleType, status: int, answer: bytes
) -> None:
    outcome = postmark.classify(status, answer)
    assert isinstance(outcome, DeliveryFailed)
    assert outcome.code.startswith(f"{status}/")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, error(10, "Request does not contain a valid Server token.")),
        (401, b""),
        (401, error(300)),
        (422, error(10)),
        (422, error(400, "The 'From' address you supplied is not a Sender Signature.")),
        (422, error(401, "Sender signature not confirmed")),
        (422, error(405, "Not allowed to send")),
        (422, error(412)),
        (422, error(413, "This account is not approved to send email.")),
        (422, error(422, "Invalid Server or Account.")),
        (422, error(1235, "The stream provided: 'x' does not exist on this server.")),
        (422, error(1236)),
        (422, error(1480)),
        (301, b""),
        (307, b"<html>"),
        (400, b""),
        (403, b"<html>Forbidden</html>"),
        (404, b""),
        (405, b""),
        (407, b"<html>"),
        (415, b""),
    ],
)
def test_a_fault_of_the_account_or_the_address_waits_for_an_operator(
    postmark: ModuleType, status: int, answer: bytes
) -> None:
    outcome = postmark.classify(status, answer)
    assert type(outcome) is DeliveryDeferred
    assert outcome.opens_breaker
    assert not outcome.counted


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (429, b""),
        (429, error(429, "Rate limit exceeded")),
        (503, b""),
        (503, error(100, "maintenance")),
        (503, b"<html>"),
        (422, error(100)),
        (500, error(100)),
    ],
)
def test_a_busy_or_resting_provider_is_asked_again(
    postmark: ModuleType, status: int, answer: bytes
) -> None:
    outcome = postmark.classify(status, answer)
    assert type(outcome) is DeliveryDeferred
    assert outcome.opens_breaker
    assert outcome.counted


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, error(101, "internal fault, Error ID 123")),
        (500, b""),
        (500, error(401)),
        (501, b""),
        (502, b"<html>Bad gateway</html>"),
        (502, error(300)),
        (504, b""),
        (520, b""),
        (201, success()),
        (202, success()),
        (204, b""),
        (206, success()),
    ],
)
def test_an_answer_that_may_hide_a_taken_message_leaves_it_in_doubt(
    postmark: ModuleType, status: int, answer: bytes
) -> None:
    assert type(postmark.classify(status, answer)) is DeliveryInDoubt


def test_the_words_say_what_postmark_said_and_no_more_than_a_line_of_it(
    postmark: ModuleType,
) -> None:
    outcome = postmark.classify(422, error(300, "Invalid 'To' address: 'x'."))
    assert str(outcome) == "Postmark answered 422: Invalid 'To' address: 'x'. (ErrorCode 300)"
    assert outcome.code == "422/300"
    assert str(postmark.classify(502, b"<html>")) == "Postmark answered 502: no text"
    assert len(str(postmark.classify(422, error(300, "x" * 10_000)))) < 400


@examples(300)
@given(
    st.integers(100, 599),
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(["ErrorCode", "Message", "MessageID", "To"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers()),
    ).map(lambda content: json.dumps(content).encode()),
)
def test_every_answer_is_a_receipt_or_a_delivery_error(
    postmark: ModuleType, status: int, answer: bytes
) -> None:
    outcome = postmark.classify(status, answer)
    assert isinstance(outcome, Confirmation | DeliveryError)
    if isinstance(outcome, Confirmation):
        assert status == 200


class Provider(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers with the server's next answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.calls.append((self.path, dict(self.headers), json.loads(body)))
        status, answer = server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.calls, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def delivering(chain: BuildChain, url: str, **keys: Any) -> Chain:
    return chain(
        plugins=["contactform", "postmark"],
        postmark_token={"env": "POSTMARK_TOKEN"},
        postmark_url=url,
        **keys,
    )


def test_a_message_that_stands_alone_is_a_call_with_the_servers_token(
    chain: BuildChain, provider: Any
) -> None:
    provider.answers = [(200, success()), (422, error(300)), (200, success(MessageID="second"))]
    built = delivering(chain, f"{provider.url}/", message_stream="forms")
    assert built.deliver([PLAIN]) == [Confirmation(ID, words="OK")]
    failed = built.deliver([PLAIN])
    assert failed is not None
    assert type(failed[0]) is DeliveryFailed
    filled = changed(template="welcome", model={"a": "é"})
    assert built.deliver([filled]) == [Confirmation("second", words="OK")]
    paths = [path for path, _, _ in provider.calls]
    assert paths == ["/email", "/email", "/email/withTemplate"]
    for _, headers, body in provider.calls:
        assert headers["X-Postmark-Server-Token"] == "postmark-server-token"
        assert headers["Content-Type"] == headers["Accept"] == "application/json"
        assert body["MessageStream"] == "forms"
    assert provider.calls[2][2]["TemplateModel"] == {"a": "é"}


def test_a_provider_that_does_not_listen_was_certainly_sent_nothing(chain: BuildChain) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        outcomes = delivering(chain, url).deliver([PLAIN, PLAIN])
    assert outcomes is not None
    for outcome in outcomes:
        assert type(outcome) is DeliveryDeferred
        assert (outcome.counted, outcome.opens_breaker) == (False, True)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"postmark_token": None}, "postmark_token"),
        ({"postmark_token": "literal"}, "a secret stands elsewhere"),
        ({"postmark_url": "ftp://x"}, "postmark_url"),
        ({"postmark_url": "x"}, "postmark_url"),
        ({"message_stream": ""}, "message_stream"),
        ({"recipients": ["*"]}, "recipients"),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(
    chain: BuildChain, setting: dict[str, Any], words: str
) -> None:
    keys = {"plugins": ["contactform", "postmark"], "postmark_token": {"env": "POSTMARK_TOKEN"}}
    with pytest.raises(ConfigurationError, match=words):
        chain(**{**keys, **setting})


def test_the_token_is_no_part_of_what_a_server_shows(chain: BuildChain) -> None:
    built = delivering(chain, "https://api.postmarkapp.com")
    assert "postmark-server-token" not in repr(built.server)
