"""One message of a sending call: what is taken as it comes, and what is refused, in which words."""

import json
from typing import Any

import pytest

from relay.core import mime
from relay.store import documents
from tests.conftest import Outbox
from tests.web.postmark.conftest import Call

PLAIN = {"From": "notices@example.gov", "To": "resident@example.com", "TextBody": "Tomorrow."}
FILLED = {
    "From": "notices@example.gov",
    "To": "resident@example.com",
    "TemplateId": 1,
    "TemplateModel": {},
}
FILE = {"Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain"}

METADATA_TEXT = (
    "Invalid metadata content. Field names are limited to 20 characters and field values are"
    " limited to 80 characters in length. The '{}' field in your metadata content exceeds these"
    " limits."
)
NO_BODY = "Provide either email TextBody or HtmlBody or both."
BAD_FILE = "Attachment file type not allowed."
UNKNOWN_ID = "The 'TemplateId' associated with this request is not valid or was not found."
UNKNOWN_ALIAS = "The Template's 'Alias' associated with this request is not valid or was not found."
NO_MODEL = "A 'TemplateModel' is required when using a template to send an email."
UNSIGNED = (
    "The 'From' address you supplied (mayor@example.gov) is not a Sender Signature on your account."
    " Please add and confirm this address in order to be able to use it in the 'From' field of your"
    " messages."
)
BESIDE = "'Subject', 'HtmlBody' and 'TextBody' may not be given beside a template."


def without(name: str, message: dict[str, Any] = PLAIN) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}


def wrong(name: str) -> str:
    return f"Invalid request field(s): '{name}'."


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    # The sender.
    (without("From"), 300, "Invalid 'From' address: ''."),
    ({**PLAIN, "From": None}, 300, "Invalid 'From' address: ''."),
    ({**PLAIN, "From": "nobody"}, 300, "Invalid 'From' address: 'nobody'."),
    ({**PLAIN, "From": "web@localhost"}, 300, "Invalid 'From' address: 'web@localhost'."),
    (
        {**PLAIN, "From": "a@b.com, c@d.com"},
        300,
        "Invalid 'From' address: 'a@b.com, c@d.com'.",
    ),
    (
        {**PLAIN, "From": "n" * 240 + " <a@example.gov>"},
        300,
        "it has more than 255 characters.",
    ),
    (
        {**PLAIN, "From": "Mayor <mayor@example.gov>"},
        400,
        UNSIGNED,
    ),
    ({**PLAIN, "From": 5}, 403, wrong("From")),
    # Recipients.
    (without("To"), 300, "Zero recipients specified"),
    ({**PLAIN, "To": ""}, 300, "Zero recipients specified"),
    ({**PLAIN, "To": " , "}, 300, "Zero recipients specified"),
    (
        {**PLAIN, "To": "a@example.com, bad"},
        300,
        "Error parsing 'To': Illegal email address 'bad'. It must contain the '@' symbol.",
    ),
    (
        {**PLAIN, "Cc": "user@+"},
        300,
        "Error parsing 'Cc': Illegal email domain '+' in address 'user@+'.",
    ),
    ({**PLAIN, "Bcc": "a b@example.com"}, 300, "Invalid 'Bcc' address: 'a b@example.com'."),
    ({**PLAIN, "To": '"open <a@example.com>'}, 300, "Invalid 'To' address: '\"open <a@example"),
    ({**PLAIN, "To": "a\r\nBcc: b <a@example.com>"}, 300, "Invalid 'To' address: 'a\r\nBcc: b"),
    ({**PLAIN, "To": "\ud800@example.com"}, 300, "Invalid 'To' address: '\ufffd@example.com'."),
    ({**PLAIN, "To": ["a@example.com"]}, 403, wrong("To")),
    ({**PLAIN, "ReplyTo": "x@"}, 300, "Error parsing 'Reply-To': Illegal email domain ''"),
    ({**PLAIN, "ReplyTo": [["a@example.com"]]}, 403, wrong("ReplyTo")),
    (
        {**PLAIN, "To": ",".join(f"a{i}@b.com" for i in range(30)), "Cc": "c@d.com," * 21},
        300,
        "A message may have 50 recipients at most, over To, Cc, Bcc.",
    ),
    (
        {**PLAIN, "ReplyTo": "c@d.com," * 51},
        300,
        "A message may have 50 'Reply-To' addresses at most.",
    ),
    # Subject and parts.
    (without("TextBody"), 300, NO_BODY),
    ({**PLAIN, "TextBody": "", "HtmlBody": None}, 300, NO_BODY),
    ({**PLAIN, "TextBody": "\x00", "HtmlBody": "\x7f"}, 300, NO_BODY),
    ({**PLAIN, "TextBody": "x" * 5_242_881}, 300, "'TextBody' may have 5 MB at most."),
    ({**PLAIN, "Subject": "x" * 2001}, 300, "'Subject' is a single line of at most 2000"),
    ({**PLAIN, "Subject": "\U0001f600" * 1001}, 300, "'Subject' is a single line of at most 2000"),
    ({**PLAIN, "Subject": "a\nBcc: b@c.com"}, 300, "'Subject' is a single line"),
    ({**PLAIN, "Subject": ["a"]}, 403, wrong("Subject")),
    ({**PLAIN, "Tag": "x" * 1001}, 300, "'Tag' is a single line of at most 1000"),
    ({**PLAIN, "TrackOpens": "perhaps"}, 403, wrong("TrackOpens")),
    ({**PLAIN, "TrackLinks": "All"}, 300, "Invalid 'TrackLinks' value"),
    ({**PLAIN, "TrackLinks": True}, 403, wrong("TrackLinks")),
    # A template is another call's: here its fields are unknown ones, and ignored.
    ({**without("TextBody"), "TemplateId": 1, "TemplateModel": {}}, 300, NO_BODY),
    # Headers.
    ({**PLAIN, "Headers": "X: y"}, 403, wrong("Headers")),
    ({**PLAIN, "Headers": ["X: y"]}, 403, wrong("Headers")),
    ({**PLAIN, "Headers": [{"Name": "X y", "Value": "z"}]}, 300, "A header's 'Name' has"),
    ({**PLAIN, "Headers": [{"Name": "X:", "Value": "z"}]}, 300, "A header's 'Name' has"),
    ({**PLAIN, "Headers": [{"Name": "É", "Value": "z"}]}, 300, "A header's 'Name' has"),
    ({**PLAIN, "Headers": [{"Value": "z"}]}, 300, "A header's 'Name' has"),
    ({**PLAIN, "Headers": [{"Name": "X", "Value": 5}]}, 403, wrong("Value")),
    ({**PLAIN, "Headers": [{"Name": "X", "Value": "a\nBcc: b@c.com"}]}, 300, "header 'X' is"),
    ({**PLAIN, "Headers": [{"Name": "X", "Value": "a\r\n\r\n b"}]}, 300, "header 'X' is a"),
    ({**PLAIN, "Headers": [{"Name": "X", "Value": "a\r\nBcc: b@c.de"}]}, 300, "header 'X' is a"),
    ({**PLAIN, "Headers": [{"Name": "X", "Value": "y"}] * 101}, 300, "100 headers at most"),
    ({**PLAIN, "Headers": [{"Name": "X-PM-Tag", "Value": "x" * 1001}]}, 300, "'Tag' is a single"),
    ({**PLAIN, "Headers": [{"Name": "X-PM-TrackOpens", "Value": "x"}]}, 403, wrong("TrackOpens")),
    (
        {**PLAIN, "Headers": [{"Name": "X-PM-TrackLinks", "Value": "x"}]},
        300,
        "Invalid 'TrackLinks'",
    ),
    (
        {**PLAIN, "Headers": [{"Name": "X-PM-Message-Stream", "Value": "inbound"}]},
        1236,
        "Sending is not supported for this stream type.",
    ),
    (
        {**PLAIN, "Headers": [{"Name": f"X-PM-Metadata-{'n' * 21}", "Value": "x"}]},
        300,
        METADATA_TEXT.format("n" * 21),
    ),
    (
        {**PLAIN, "Headers": [{"Name": "X-PM-Metadata-n", "Value": "x" * 81}]},
        300,
        METADATA_TEXT.format("n"),
    ),
    ({**PLAIN, "Headers": [{"Name": "X-PM-Metadata-", "Value": "x"}]}, 300, "single lines."),
    (
        {**PLAIN, "Headers": [{"Name": f"X-PM-Metadata-{n}", "Value": "x"} for n in range(11)]},
        300,
        "10 fields at most.",
    ),
    *(
        (
            {**PLAIN, "Headers": [{"Name": name, "Value": "x"}]},
            300,
            f"Header '{name}' not allowed.",
        )
        for name in (
            *("From", "To", "CC", "Bcc", "Sender", "Reply-To", "Resent-To", "subject", "DATE"),
            *("Content-Type", "Content-ID", "DKIM-Signature", "Received", "Return-Path"),
            "X-Relay-Message-Id",
        )
    ),
    # Metadata.
    ({**PLAIN, "Metadata": "x"}, 403, wrong("Metadata")),
    ({**PLAIN, "Metadata": {"a": []}}, 403, wrong("Metadata")),
    ({**PLAIN, "Metadata": {"a": {"b": "c"}}}, 403, wrong("Metadata")),
    ({**PLAIN, "Metadata": {"n" * 21: "x"}}, 300, METADATA_TEXT.format("n" * 21)),
    ({**PLAIN, "Metadata": {"name": "x" * 81}}, 300, METADATA_TEXT.format("name")),
    ({**PLAIN, "Metadata": {"name": 10**80}}, 300, METADATA_TEXT.format("name")),
    ({**PLAIN, "Metadata": {f"n{i}": "x" for i in range(11)}}, 300, "10 fields at most."),
    ({**PLAIN, "Metadata": {"a": "1", "A": "2"}}, 300, "differ only in case."),
    ({**PLAIN, "Metadata": {"a": "b\nc"}}, 300, "single lines."),
    ({**PLAIN, "Metadata": {"": "b"}}, 300, "single lines."),
    # Attachments.
    ({**PLAIN, "Attachments": {"Name": "a"}}, 403, wrong("Attachments")),
    ({**PLAIN, "Attachments": ["a"]}, 403, wrong("Attachments")),
    ({**PLAIN, "Attachments": [{**FILE, "Name": ""}]}, 300, "An attachment's 'Name'"),
    ({**PLAIN, "Attachments": [{**FILE, "Name": "a\nb"}]}, 300, "An attachment's 'Name'"),
    ({**PLAIN, "Attachments": [{**FILE, "Content": None}]}, 300, "'Content' is not base64."),
    ({**PLAIN, "Attachments": [{**FILE, "Content": "aGVsbG8"}]}, 300, "'Content' is not base64."),
    ({**PLAIN, "Attachments": [{**FILE, "Content": "aGVs-_8="}]}, 300, "'Content' is not base64."),
    ({**PLAIN, "Attachments": [{**FILE, "Content": 5}]}, 403, wrong("Content")),
    ({**PLAIN, "Attachments": [{**FILE, "ContentType": "text"}]}, 300, "is not a media type."),
    ({**PLAIN, "Attachments": [{**FILE, "ContentType": "a/b\nX: y"}]}, 300, "not a media type."),
    ({**PLAIN, "Attachments": [{**FILE, "ContentID": "cid:a\nb"}]}, 300, "'ContentID'"),
    ({**PLAIN, "Attachments": [{**FILE, "Name": "run.exe"}]}, 411, BAD_FILE),
    ({**PLAIN, "Attachments": [{**FILE, "Name": "invoice.pdf.VBS"}]}, 411, BAD_FILE),
    ({**PLAIN, "Attachments": [{**FILE, "Name": "run.exe. "}]}, 411, BAD_FILE),
    # Streams.
    ({**PLAIN, "MessageStream": "inbound"}, 1236, "Sending is not supported for this stream type."),
    (
        {**PLAIN, "MessageStream": "unknown-stream"},
        1235,
        "The stream provided: 'unknown-stream' does not exist on this server.",
    ),
    ({**PLAIN, "MessageStream": 5}, 403, wrong("MessageStream")),
    ({**PLAIN, "MessageStream": "s" * 101}, 300, "'MessageStream' is a single line"),
]

REFUSED_WITH_TEMPLATE: list[tuple[dict[str, Any], int, str]] = [
    (FILLED, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": "1005"}, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": -1}, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": 0, "TemplateAlias": "nothing"}, 1101, UNKNOWN_ALIAS),
    ({**FILLED, "TemplateId": None, "TemplateAlias": "a b"}, 1101, UNKNOWN_ALIAS),
    ({**FILLED, "TemplateId": None, "TemplateAlias": "\ud800"}, 1101, UNKNOWN_ALIAS),
    ({**FILLED, "TemplateId": 1, "TemplateAlias": "both"}, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": None}, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": 0}, 1101, UNKNOWN_ID),
    ({**FILLED, "TemplateId": "one"}, 403, wrong("TemplateId")),
    ({**FILLED, "TemplateId": True}, 403, wrong("TemplateId")),
    ({**FILLED, "TemplateAlias": 5}, 403, wrong("TemplateAlias")),
    (without("TemplateModel", FILLED), 1120, NO_MODEL),
    *(
        ({**without("TemplateModel", FILLED), **reference}, 1101, UNKNOWN_ALIAS)
        for reference in (
            {"TemplateId": None, "TemplateAlias": "nothing"},
            {"TemplateId": 0, "TemplateAlias": "nothing"},
            {"TemplateId": "", "TemplateAlias": "no-thing", "TemplateModel": None},
            {"TemplateId": None, "TemplateAlias": "a b"},
            {"TemplateId": None, "TemplateAlias": "Nothing.1", "TemplateModel": None},
        )
    ),
    ({**FILLED, "TemplateModel": None}, 1120, NO_MODEL),
    ({**FILLED, "TemplateModel": "x"}, 403, wrong("TemplateModel")),
    ({**FILLED, "TemplateModel": [1]}, 403, wrong("TemplateModel")),
    ({**FILLED, "TemplateModel": {"a": [{"\x00": "b"}]}}, 300, "'TemplateModel' has a name"),
    ({**FILLED, "TemplateModel": {"\ud800": 1}}, 300, "'TemplateModel' has a name"),
    ({**FILLED, "InlineCss": "x"}, 403, wrong("InlineCss")),
    ({**FILLED, "Subject": "x"}, 1123, BESIDE),
    ({**FILLED, "HtmlBody": "x"}, 1123, BESIDE),
    ({**FILLED, "TextBody": "x"}, 1123, BESIDE),
    ({**FILLED, "To": ""}, 300, "Zero recipients specified"),
]


async def check_refused(
    call: Call, outbox: Outbox, path: str, message: dict[str, Any], code: int, words: str
) -> None:
    reply = await call("POST", path, message)
    assert (reply.status, reply.json["ErrorCode"]) == (422, code), reply.json
    assert list(reply.json) == ["ErrorCode", "Message"]
    assert words in reply.json["Message"]
    assert reply.headers["X-PM-ApiErrorCode"] == str(code)
    assert reply.headers["X-Request-Id"]
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(("message", "code", "words"), REFUSED)
async def test_a_message_is_refused_with_postmarks_code_and_words(
    call: Call, outbox: Outbox, message: dict[str, Any], code: int, words: str
) -> None:
    await check_refused(call, outbox, "/email", message, code, words)


@pytest.mark.gen_test
@pytest.mark.parametrize(("message", "code", "words"), REFUSED_WITH_TEMPLATE)
async def test_a_message_with_a_template_is_refused_with_postmarks_code_and_words(
    call: Call, outbox: Outbox, message: dict[str, Any], code: int, words: str
) -> None:
    await check_refused(call, outbox, "/email/withTemplate", message, code, words)


@pytest.mark.gen_test
async def test_parts_are_counted_in_utf_16_units(call: Call, outbox: Outbox) -> None:
    # 4 MB of ASCII and 600,000 characters of two units each, four bytes each.
    text = "x" * 4 * 2**20 + "\U0001f600" * 600_000
    content = json.dumps({**PLAIN, "TextBody": text}, ensure_ascii=False).encode()
    reply = await call("POST", "/email", content)
    assert reply.json["Message"] == "'TextBody' may have 5 MB at most."
    assert outbox.rows() == []


# What is sent, and what of it is stored: under the names of a stored message's document.
TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"text": "Tomorrow.", "sender": ["notices@example.gov", ""]}),
    # Names in any case, as PHP and .NET write them.
    ({"textBody": "one", "TextBody": None, "HTMLBody": "<b>two</b>"}, {"html": "<b>two</b>"}),
    # Every unset field as null, or as the empty value of its type.
    (
        dict.fromkeys(
            (
                *("Cc", "Bcc", "Subject", "HtmlBody", "Tag", "ReplyTo", "Headers", "TrackOpens"),
                *("TrackLinks", "Metadata", "Attachments", "MessageStream", "InlineCss"),
            )
        ),
        {"text": "Tomorrow."},
    ),
    (
        {
            "Cc": "",
            "Bcc": "",
            "Subject": "",
            "HtmlBody": "",
            "Tag": "",
            "ReplyTo": "",
            "Headers": [],
            "TrackOpens": "",
            "TrackLinks": "",
            "Metadata": {},
            "Attachments": [],
            "MessageStream": "",
            "TemplateId": 0,
        },
        {"text": "Tomorrow."},
    ),
    ({"Headers": {}, "Attachments": {}, "Metadata": []}, {"text": "Tomorrow."}),
    ({"Unknown": {"a": 1}, "TestRenderModel": None}, {"text": "Tomorrow."}),
    # Addresses.
    (
        {"To": '"Ann, A." <ann@example.com>,b@example.com', "ReplyTo": ["c@d.com", "E <e@f.com>"]},
        {
            "to": [["ann@example.com", "Ann, A."], ["b@example.com", ""]],
            "reply_to": [["c@d.com", ""], ["e@f.com", "E"]],
        },
    ),
    ({"To": None, "Bcc": "b@example.com"}, {"to": [], "bcc": [["b@example.com", ""]]}),
    ({"To": "a@BÜCHER.example"}, {"to": [["a@xn--bcher-kva.example", ""]]}),
    ({"From": "Any <any@example.org>"}, {"sender": ["any@example.org", "Any"]}),
    ({"From": "NOTICES@example.gov"}, {"sender": ["NOTICES@example.gov", ""]}),
    ({"Subject": "\U0001f468\u200d\U0001f469"}, {"subject": "\U0001f468\u200d\U0001f469"}),
    ({"Subject": "x" * 2000, "Tag": "t" * 1000}, {"subject": "x" * 2000, "tag": "t" * 1000}),
    # Metadata.
    (
        {"Metadata": {"Order": 5, "paid": True, "sum": 1.5, "none": None, "Name": "Zoë"}},
        {"metadata": {"Order": "5", "paid": "true", "sum": "1.5", "none": "", "Name": "Zoë"}},
    ),
    # Tracking and streams.
    (
        {"TrackOpens": True, "TrackLinks": "HtmlOnly"},
        {"track_opens": True, "track_links": "HtmlOnly"},
    ),
    ({"TrackOpens": False, "TrackLinks": "none"}, {"track_opens": False, "track_links": "None"}),
    ({"TrackOpens": "false"}, {"track_opens": False}),
    ({"MessageStream": "broadcast"}, {"stream": "broadcast"}),
    # Headers.
    (
        {"Headers": [{"Name": "X-A!b", "Value": " é "}, {"name": "X-C", "value": None}]},
        {"headers": [["X-A!b", "é"]]},
    ),
    ({"Headers": [{"Name": "Message-ID", "Value": "<a@b>"}]}, {}),
    (
        {
            "Headers": [
                {"Name": "Message-ID", "Value": "<a@b>"},
                {"Name": "X-PM-KeepID", "Value": "true"},
            ]
        },
        {"headers": [["Message-ID", "<a@b>"], ["X-PM-KeepID", "true"]]},
    ),
    # Attachments.
    (
        {"Attachments": [{**FILE, "Content": "aGVs\r\nbG8=\n", "ContentID": ""}]},
        {"attachments": [["a.txt", "text/plain", "aGVsbG8=", None]]},
    ),
    (
        {
            "Attachments": [
                {**FILE, "ContentType": 'text/plain; charset="utf-8"', "ContentID": None}
            ]
        },
        {"attachments": [["a.txt", 'text/plain; charset="utf-8"', "aGVsbG8=", None]]},
    ),
    (
        {"Attachments": [{"name": "logo.png", "content": "", "contentID": "cid:logo.png"}]},
        {"attachments": [["logo.png", "application/octet-stream", "", "cid:logo.png"]]},
    ),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("given", "stored"), TAKEN)
async def test_what_real_clients_send_is_taken_and_stored(
    call: Call, outbox: Outbox, given: dict[str, Any], stored: dict[str, Any]
) -> None:
    reply = await call("POST", "/email", {**PLAIN, **given})
    assert reply.status == 200, reply.json
    row = outbox.last()
    document = row["document"]
    labels = document["metadata"]
    assert labels.pop(next(reversed(labels))) == row["id"]
    seen = {"metadata": labels, "to": [], "headers": [], "attachments": [], **document}
    assert {name: seen[name] for name in stored} == stored
    # Nothing is made up: what was empty is not there.
    assert set(document) <= {"sender", "to", "text", "metadata", *stored}


@pytest.mark.gen_test
async def test_every_message_that_is_taken_can_be_written_as_mail(
    call: Call, outbox: Outbox
) -> None:
    batch = [{**PLAIN, **given} for given, _ in TAKEN]
    reply = await call("POST", "/email/batch", batch)
    assert [item["ErrorCode"] for item in reply.json] == [0] * len(TAKEN)
    for row in outbox.rows():
        assert mime.as_bytes(documents.load(row["id"], json.dumps(row["document"])))
