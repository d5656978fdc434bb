"""Sending over Postmark's API: answers, batches, the test token, what is stored and delivered."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from relay.config.settings import Settings
from relay.core.ids import timestamp
from relay.core.rate_limit import RateLimiter
from relay.core.times import utc
from relay.intake import api_messages
from relay.site import Site
from relay.templates.rules import TemplateDraft
from tests.conftest import Outbox
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import ACCOUNT_KEY, PAGE_KEY
from tests.support.stored import by
from tests.web.postmark.conftest import BOTH_KEY, BULLETIN_KEY, PASSING_KEY, Call, settled

MESSAGE = {
    "From": "Notices <notices@example.gov>",
    "To": "Resident <resident@example.com>",
    "Subject": "Street cleaning",
    "TextBody": "Tomorrow at eight.",
}
FILLED = {
    "From": "notices@example.gov",
    "To": "resident@example.com",
    "TemplateId": 1005,
    "TemplateModel": {"name": "Ann"},
}
TEST = "POSTMARK_API_TEST"

PATHS = ["/email", "/email/batch", "/email/withTemplate", "/email/batchWithTemplates"]


def body_for(path: str, **given: Any) -> Any:
    """A body with one message, as a path wants it."""
    message = (FILLED if "emplate" in path else MESSAGE) | given
    if path == "/email/batch":
        return [message]
    return {"Messages": [message]} if path == "/email/batchWithTemplates" else message


@pytest.mark.gen_test
async def test_a_message_is_stored_and_answered_in_postmarks_words(
    call: Call, outbox: Outbox
) -> None:
    reply = await call("POST", "/email", MESSAGE)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.headers["X-Request-Id"]
    assert list(reply.json) == ["To", "SubmittedAt", "MessageID", "ErrorCode", "Message"]
    assert reply.json["To"] == "Resident <resident@example.com>"
    assert (reply.json["ErrorCode"], reply.json["Message"]) == (0, "OK")
    row = outbox.last()
    assert row["id"] == reply.json["MessageID"]
    assert (row["server"], row["key"], row["tries"]) == ("notices", "notices", 0)


@pytest.mark.gen_test
async def test_a_reply_tells_when_with_seven_digits_and_an_offset(call: Call) -> None:
    reply = await call("POST", "/email", MESSAGE)
    told = reply.json["SubmittedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", told)
    moment = utc(timestamp(reply.json["MessageID"]))
    assert told.startswith(moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23])


@pytest.mark.gen_test
async def test_a_reply_repeats_the_recipients_as_they_were_written(call: Call) -> None:
    given = {"To": "A@EXAMPLE.com , b@example.com", "Cc": "C <c@d.com>", "Bcc": "e@f.com"}
    reply = await call("POST", "/email", MESSAGE | given)
    assert {name: reply.json[name] for name in given} == given
    assert list(reply.json)[:4] == ["To", "Cc", "Bcc", "SubmittedAt"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", ["/email", "/email/", "/EMAIL", "/email/batch/", "/Email/Batch", "/email/BATCH/"]
)
async def test_paths_are_taken_in_any_case_and_with_a_slash(
    call: Call, outbox: Outbox, path: str
) -> None:
    reply = await call("POST", path, body_for(path.lower().rstrip("/")))
    assert reply.status == 200
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/email/withtemplate/", "/EMAIL/batchWITHtemplates/"])
async def test_template_paths_are_taken_in_any_case_and_with_a_slash(call: Call, path: str) -> None:
    name = "/email/withTemplate" if "batch" not in path else "/email/batchWithTemplates"
    reply = await call("POST", path, body_for(name))
    answer = reply.json[0] if isinstance(reply.json, list) else reply.json
    assert answer["ErrorCode"] == 1101


@pytest.mark.gen_test
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_refused_before_the_token_with_an_empty_body(
    call: Call, path: str, method: str
) -> None:
    reply = await call(method, path, token=None)
    assert (reply.status, reply.body) == (405, b"")
    assert reply.headers["Allow"] == "POST"
    assert reply.headers["X-Request-Id"]


@pytest.mark.gen_test
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "", "unknown", BOTH_KEY, PAGE_KEY, ACCOUNT_KEY, "\xe9"])
async def test_a_token_that_is_no_key_of_one_server_is_refused(
    call: Call, outbox: Outbox, path: str, token: str | None
) -> None:
    reply = await call("POST", path, body_for(path), token=token)
    assert reply.status == 401
    words = "Request does not contain a valid Server token."
    assert reply.json == {"ErrorCode": 10, "Message": words}
    assert reply.headers["X-PM-ApiErrorCode"] == "10"
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("path", PATHS)
async def test_another_content_type_is_refused(call: Call, outbox: Outbox, path: str) -> None:
    for media in ("text/plain", "", "application/x-www-form-urlencoded"):
        reply = await call("POST", path, body_for(path), headers={"Content-Type": media})
        assert (reply.status, reply.json["ErrorCode"]) == (415, 409)
    zipped = {"Content-Encoding": "gzip"}
    assert (await call("POST", path, body_for(path), headers=zipped)).status == 415
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_content_type_may_name_its_charset(call: Call) -> None:
    media = {"Content-Type": "Application/JSON; charset=utf-8", "Accept": "*/*"}
    assert (await call("POST", "/email", MESSAGE, headers=media)).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/email", "/email/batch"])
async def test_a_byte_order_mark_before_json_is_skipped(
    call: Call, outbox: Outbox, path: str
) -> None:
    body = json.dumps(body_for(path)).encode("utf-8-sig")
    assert (await call("POST", path, body)).status == 200
    assert len(outbox.rows()) > 0


@pytest.mark.gen_test
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xef\xbb\xbf", b"\xff", b'{"a": 1, "a": 2}', b"[NaN]", b"[" * 40, b'"\\ud800'],
)
async def test_what_is_no_json_is_refused(
    call: Call, outbox: Outbox, path: str, body: bytes
) -> None:
    reply = await call("POST", path, body)
    assert (reply.status, reply.json) == (422, {"ErrorCode": 402, "Message": "Invalid JSON."})
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/email", [MESSAGE], "$"),
        ("/email", None, "$"),
        ("/email", "x", "$"),
        ("/email/withTemplate", [FILLED], "$"),
        ("/email/batch", MESSAGE, "$"),
        ("/email/batch", {"Messages": [MESSAGE]}, "$"),
        ("/email/batchWithTemplates", [FILLED], "$"),
        ("/email/batchWithTemplates", {}, "Messages"),
        ("/email/batchWithTemplates", {"Messages": None}, "Messages"),
        ("/email/batchWithTemplates", {"Messages": FILLED}, "Messages"),
    ],
)
async def test_another_shape_is_refused(
    call: Call, outbox: Outbox, path: str, body: Any, name: str
) -> None:
    reply = await call("POST", path, json.dumps(body).encode())
    assert (reply.status, reply.json["ErrorCode"]) == (422, 403)
    assert reply.json["Message"] == f"Invalid request field(s): '{name}'."
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_batch_stores_what_is_good_and_names_what_is_not(
    call: Call, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    batch = [MESSAGE, {**MESSAGE, "To": "nowhere"}, 5, {**MESSAGE, "MessageStream": "no"}, MESSAGE]
    reply = await call("POST", "/email/batch", batch)
    assert reply.status == 200
    assert [item["ErrorCode"] for item in reply.json] == [0, 300, 403, 1235, 0]
    for item in reply.json[1:4]:
        assert list(item) == ["ErrorCode", "Message"]
    ids = [reply.json[0]["MessageID"], reply.json[4]["MessageID"]]
    assert [row["id"] for row in outbox.rows()] == ids
    [line] = [event for event in events if event["event"] == "messages.refused"]
    assert (line["count"], line["of"], line["codes"]) == (3, 5, [300, 403, 1235])
    assert "nowhere" not in repr(events)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body"),
    [("/email/batch", []), ("/email/batchWithTemplates", {"Messages": []})],
)
async def test_an_empty_batch_is_answered_with_an_empty_list(
    call: Call, outbox: Outbox, path: str, body: Any
) -> None:
    reply = await call("POST", path, body)
    assert (reply.status, reply.json) == (200, [])
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_batch_takes_500_messages_and_not_one_more(call: Call, outbox: Outbox) -> None:
    batch = [{**MESSAGE, "To": f"r{number}@example.com"} for number in range(501)]
    reply = await call("POST", "/email/batch", batch)
    assert reply.status == 422
    words = "You may only send up to 500 messages in a single batched request."
    assert reply.json == {"ErrorCode": 410, "Message": words}
    assert outbox.rows() == []
    reply = await call("POST", "/email/batch", batch[:500])
    assert [item["To"] for item in reply.json] == [one["To"] for one in batch[:500]]
    assert [row["id"] for row in outbox.rows()] == [item["MessageID"] for item in reply.json]


@pytest.mark.gen_test
async def test_one_call_is_one_commit(call: Call, site: Site, outbox: Outbox) -> None:
    site.dispatcher._stopping = True  # so that nothing else is written
    commits: list[object] = []
    event.listen(site.store._writing, "commit", commits.append)
    await call("POST", "/email/batch", [MESSAGE] * 20 + [{}])
    assert len(commits) == 1
    assert len(outbox.rows()) == 20


def no_larger(connection: Connection, batch: list[None]) -> list[None]:
    """Let the database grow by a few pages only: then the disk is full."""
    pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    connection.execute(text(f"PRAGMA max_page_count = {pages + 8}"))
    return batch


@pytest.mark.gen_test
async def test_a_store_that_refuses_is_answered_with_503_for_the_whole_call(
    call: Call, site: Site, outbox: Outbox
) -> None:
    await site.store.write(no_larger, None)
    batch = [MESSAGE, {**MESSAGE, "TextBody": "x" * 100_000}]
    reply = await call("POST", "/email/batch", batch)
    assert (reply.status, reply.json["ErrorCode"]) == (503, 100)
    assert reply.headers["Retry-After"]
    assert reply.headers["X-PM-ApiErrorCode"] == "100"
    assert outbox.rows() == []
    assert site.dispatcher.waiting == 0
    assert not site.dispatcher._attempts.message_cache._messages
    assert (await call("POST", "/email/batch", [MESSAGE])).json[0]["ErrorCode"] == 0


@pytest.mark.gen_test
async def test_nothing_is_taken_above_max_waiting(
    call: Call, load: Callable[[str], Settings], site: Site, outbox: Outbox, settings_toml: str
) -> None:
    site.reload(load("[relay.limits]\nmax_waiting = 1\n" + settings_toml))
    site.dispatcher._waiting = 1
    for path in PATHS:
        reply = await call("POST", path, body_for(path))
        assert (reply.status, reply.json["ErrorCode"]) == (503, 100)
        assert reply.headers["Retry-After"] == "120"
    assert outbox.rows() == []
    site.dispatcher._waiting = 0
    assert (await call("POST", "/email", MESSAGE)).status == 200


@pytest.mark.gen_test
async def test_nothing_is_taken_while_the_daemon_stops(
    call: Call, site: Site, outbox: Outbox
) -> None:
    site.stopping = True
    reply = await call("POST", "/email", MESSAGE)
    assert (reply.status, reply.json["ErrorCode"]) == (503, 100)
    assert reply.headers["Retry-After"]
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_recipients_of_others_are_refused(call: Call, outbox: Outbox) -> None:
    own = {**MESSAGE, "From": "bulletin@example.gov", "To": "Desk <desk@example.org>"}
    for field in ("To", "Cc", "Bcc"):
        message = own | {field: "a@example.gov, Other <other@example.org>"}
        reply = await call("POST", "/email", message, token=BULLETIN_KEY)
        assert (reply.status, reply.json["ErrorCode"]) == (422, 300)
        words = f"Invalid '{field}' address: 'other@example.org'."
        assert reply.json["Message"] == f"{words} This server does not send to it."
    assert outbox.rows() == []
    assert (await call("POST", "/email", own, token=BULLETIN_KEY)).status == 200


@pytest.mark.gen_test
async def test_only_what_the_caller_labelled_can_be_searched(call: Call, site: Site) -> None:
    await call("POST", "/email", {**MESSAGE, "Metadata": {"Color": "blue"}})
    query = text("SELECT name, value FROM message_metadata")
    rows = site.store.read_now(lambda connection: connection.execute(query).all())
    assert [tuple(row) for row in rows] == [("color", "blue")]


@pytest.mark.gen_test
async def test_ten_labels_leave_no_room_for_the_relays_own(call: Call, outbox: Outbox) -> None:
    labels = {f"n{number}": str(number) for number in range(10)}
    await call("POST", "/email", {**MESSAGE, "Metadata": labels})
    assert outbox.last()["document"]["metadata"] == labels


# The test token.


@pytest.mark.gen_test
@pytest.mark.parametrize("token", [TEST, TEST.lower()])
async def test_the_test_token_checks_and_stores_nothing(
    call: Call, outbox: Outbox, token: str
) -> None:
    reply = await call("POST", "/email", {**MESSAGE, "From": "any@example.com"}, token=token)
    assert reply.status == 200
    assert list(reply.json) == ["To", "SubmittedAt", "MessageID", "ErrorCode", "Message"]
    assert (reply.json["ErrorCode"], reply.json["Message"]) == (0, "Test job accepted")
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply.json["MessageID"])
    batch = [MESSAGE, {**MESSAGE, "To": ""}, {**MESSAGE, "MessageStream": "inbound"}]
    reply = await call("POST", "/email/batch", batch, token=token)
    assert [item["Message"] for item in reply.json] == [
        "Test job accepted",
        "Zero recipients specified",
        "Sending is not supported for this stream type.",
    ]
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "fields", "sent"),
    [
        ([("Mime-Version", "1.0"), ("Content-Transfer-Encoding", "7bit")], {}, {}),
        ([("MIME-VERSION", "1.0"), ("content-transfer-encoding", "base64")], {}, {}),
        ([("Message-Id", "<a@b.co>"), ("Mime-Version", ""), ("X-A", "b")], {}, {"X-A": "b"}),
        ([("X-PM-Tag", "welcome")], {}, {"Tag": "welcome"}),
        ([("X-Pm-Tag", "one"), ("x-pm-tag", "two")], {"Tag": ""}, {"Tag": "one"}),
        ([("X-PM-Tag", "header")], {"Tag": "field"}, {"Tag": "field"}),
        ([("X-PM-Message-Stream", "broadcast")], {}, {"MessageStream": "broadcast"}),
        ([("X-PM-Message-Stream", "x")], {"MessageStream": "outbound"}, {}),
        ([("X-PM-TrackOpens", "true")], {}, {"TrackOpens": True}),
        ([("X-PM-TrackOpens", "TRUE")], {"TrackOpens": False}, {"TrackOpens": False}),
        ([("X-PM-TrackLinks", "htmlonly")], {}, {"TrackLinks": "HtmlOnly"}),
        ([("X-PM-TrackLinks", "None")], {"TrackLinks": None}, {"TrackLinks": "None"}),
        ([("X-PM-Metadata-Order-Id", "17")], {}, {"Metadata": {"Order-Id": "17"}}),
        (
            [("X-Pm-Metadata-Color", "red"), ("X-PM-METADATA-size", "L")],
            {"Metadata": {"color": "blue"}},
            {"Metadata": {"color": "blue", "size": "L"}},
        ),
        ([("X-Long", "one,\r\n two\n\tthree")], {}, {"X-Long": "one, two three"}),
        ([("X-PM-Bounce-Type", "HardBounce")], {}, {"X-PM-Bounce-Type": "HardBounce"}),
    ],
)
async def test_headers_that_libraries_set_mean_what_their_fields_mean(
    call: Call,
    site: Site,
    postmark: FakePostmark,
    headers: list[tuple[str, str]],
    fields: dict[str, Any],
    sent: dict[str, Any],
) -> None:
    listed = [{"Name": name, "Value": value} for name, value in headers]
    message = MESSAGE | {"From": "passing@example.gov", "Headers": listed} | fields
    reply = await call("POST", "/email", message, token=PASSING_KEY)
    assert (reply.status, reply.json["Message"]) == (200, "OK")
    await settled(site)
    [taken] = postmark.accepted
    own = {name: value for name, value in sent.items() if name[:2] == "X-"}
    others = {name: value for name, value in sent.items() if name[:2] != "X-"}
    assert {one["Name"]: one["Value"] for one in taken.body.get("Headers", [])} == own
    expected = {"MessageStream": "outbound", "Metadata": {}} | others
    steered = {name: taken.body[name] for name in STEERED if name in taken.body}
    labels = steered["Metadata"].items()
    steered["Metadata"] = {name: value for name, value in labels if name[:6] != "relay-"}
    assert steered == expected


STEERED = ("Tag", "MessageStream", "TrackOpens", "TrackLinks", "Metadata")


@pytest.mark.gen_test
async def test_an_alias_is_looked_for_before_its_model_is_missed(
    call: Call, site: Site, outbox: Outbox
) -> None:
    draft = TemplateDraft(name="Known", alias="known", subject="Hi", text="Hello.")
    await site.library.create("notices", draft, by("key"))
    message = {"From": "notices@example.gov", "To": "resident@example.com"}
    items = [{**message, "TemplateAlias": alias} for alias in ("known", "unknown", "KNOWN-2")]
    reply = await call("POST", "/email/batchWithTemplates", {"Messages": items})
    assert [item["ErrorCode"] for item in reply.json] == [1120, 1101, 1101]
    assert "'Alias'" in reply.json[1]["Message"]
    reply = await call("POST", "/email/withTemplate", items[0], token=TEST)
    assert reply.json["ErrorCode"] == 1101
    theirs = items[1] | {"From": "passing@example.gov"}
    reply = await call("POST", "/email/withTemplate", theirs, token=PASSING_KEY)
    assert reply.json["ErrorCode"] == 1120
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_to_the_test_token_every_template_is_unknown(call: Call, outbox: Outbox) -> None:
    reply = await call("POST", "/email/withTemplate", FILLED, token=TEST)
    assert (reply.status, reply.json["ErrorCode"]) == (422, 1101)
    body = {"Messages": [FILLED, {**FILLED, "TemplateModel": None}]}
    reply = await call("POST", "/email/batchWithTemplates", body, token=TEST)
    assert [item["ErrorCode"] for item in reply.json] == [1101, 1120]
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_the_test_token_opens_nothing_else(call: Call) -> None:
    for path in ("/server", "/templates?Count=1&Offset=0", "/messages/outbound?count=1&offset=0"):
        assert (await call("GET", path, token=TEST)).status in (401, 404)
    assert (await call("POST", "/email/bulk", {}, token=TEST)).status == 401


@pytest.mark.gen_test
async def test_the_test_token_counts_against_its_callers_address(call: Call, site: Site) -> None:
    site.configuration = replace(site.configuration, post_limiter=RateLimiter(1))
    remote = {"X-Forwarded-For": "192.0.2.1"}  # not believed, but no longer local
    assert (await call("POST", "/email", MESSAGE, token=TEST, headers=remote)).status == 200
    reply = await call("POST", "/email", MESSAGE, token=TEST, headers=remote)
    assert (reply.status, reply.json["ErrorCode"]) == (429, 429)
    assert reply.headers["Retry-After"]
    assert (await call("POST", "/email", MESSAGE, headers=remote)).status == 200


# Large bodies.


@pytest.mark.gen_test
async def test_bodies_have_their_limits(call: Call, outbox: Outbox) -> None:
    large = json.dumps([MESSAGE]).encode() + b" " * 10 * 2**20
    for path, token in (("/email", None), ("/email/withTemplate", None), ("/email/batch", TEST)):
        given = {} if token is None else {"token": token}
        reply = await call("POST", path, large, **given)
        assert (reply.status, reply.json["ErrorCode"]) == (413, 300)
    too_large = b" " * (50 * 2**20 + 1)
    for path in ("/email/batch", "/email/batchWithTemplates"):
        assert (await call("POST", path, too_large)).status == 413
    assert outbox.rows() == []
    assert (await call("POST", "/email/batch", large)).json[0]["ErrorCode"] == 0


@pytest.mark.gen_test
async def test_a_body_that_is_too_large_is_refused_before_its_content_type(call: Call) -> None:
    reply = await call("POST", "/email", b" " * 11 * 2**20, headers={"Content-Type": "text/plain"})
    assert reply.status == 413


@pytest.mark.gen_test
async def test_a_body_of_too_many_objects_is_refused(call: Call, outbox: Outbox) -> None:
    reply = await call("POST", "/email/batch", b"[" + b"{}," * 500_000 + b"{}]")
    assert (reply.status, reply.json["ErrorCode"]) == (413, 300)
    assert outbox.rows() == []


@pytest.mark.slow
@pytest.mark.gen_test(timeout=30)
async def test_a_batch_of_50_mb_is_taken_but_no_message_over_10(call: Call, outbox: Outbox) -> None:
    def file(size: int) -> dict[str, Any]:
        one = {"Name": "a.pdf", "ContentType": "application/pdf", "Content": "AAAA" * (size // 4)}
        return {**MESSAGE, "Attachments": [one]}

    batch = [*[file(9 * 2**20)] * 4, file(10 * 2**20)]
    reply = await call("POST", "/email/batch", batch)
    assert [item["ErrorCode"] for item in reply.json] == [0, 0, 0, 0, 300]
    assert reply.json[4]["Message"] == "A message may have 10 MB at most."
    assert len(outbox.rows()) == 4


# Delivery.


@pytest.mark.gen_test
async def test_what_is_sent_arrives_in_the_mailbox(call: Call, site: Site, outbox: Outbox) -> None:
    await call("POST", "/email/batch", [MESSAGE] * 3)
    await settled(site)
    assert outbox.states() == ["sent"] * 3
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_a_large_message_is_not_kept_in_memory_until_it_is_sent(
    call: Call, site: Site, outbox: Outbox
) -> None:
    site.dispatcher._stopping = True
    content = "AAAA" * 10_000
    one = {"Name": "a.pdf", "ContentType": "application/pdf", "Content": content}
    await call("POST", "/email/batch", [{**MESSAGE, "Attachments": [one]}, MESSAGE])
    rows = outbox.rows()
    assert set(site.dispatcher._attempts.message_cache._messages) == {rows[1]["id"]}
    site.dispatcher._stopping = False
    await site.dispatcher.deliver_waiting()
    assert outbox.states() == ["sent", "sent"]
    assert not site.dispatcher._attempts.message_cache._messages


@pytest.mark.gen_test
async def test_every_field_reaches_the_provider(
    call: Call, site: Site, postmark: FakePostmark
) -> None:
    message = {
        "From": "Passing <passing@example.gov>",
        "To": "Ann <ann@example.com>",
        "Cc": "c@example.com",
        "Bcc": "b@example.com",
        "Subject": "Häuser",
        "TextBody": "text",
        "HtmlBody": "<b>html</b>",
        "Tag": "tag",
        "ReplyTo": "r@example.com",
        "MessageStream": "our-own-stream",
        "Headers": [{"Name": "X-One", "Value": "two"}],
        "TrackOpens": True,
        "TrackLinks": "HtmlOnly",
        "Attachments": [
            {"Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain"},
            {
                "Name": "b.png",
                "Content": "aGVsbG8=",
                "ContentType": "image/png",
                "ContentID": "cid:b",
            },
        ],
    }
    reply = await call("POST", "/email", {**message, "Metadata": {"a": 1}}, token=PASSING_KEY)
    assert reply.status == 200, reply.json
    await settled(site)
    [seen] = postmark.messages
    labels = seen.pop("Metadata")
    assert labels == {"a": "1", site.outbox.metadata_key: reply.json["MessageID"]}
    files = seen.pop("Attachments")
    assert [{**one, "ContentID": one.get("ContentID")} for one in files] == [
        {**message["Attachments"][0], "ContentID": None},
        message["Attachments"][1],
    ]
    assert seen == {name: value for name, value in message.items() if name != "Attachments"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "reference", [{"TemplateId": 77, "TemplateAlias": None}, {"TemplateAlias": "welcome"}]
)
async def test_a_template_that_is_not_stored_is_left_to_the_provider(
    call: Call, site: Site, postmark: FakePostmark, reference: dict[str, Any]
) -> None:
    message = {**FILLED, "From": "passing@example.gov", "TemplateId": None} | reference
    body = {"Messages": [{**message, "InlineCss": False}]}
    reply = await call("POST", "/email/batchWithTemplates", body, token=PASSING_KEY)
    assert reply.json[0]["ErrorCode"] == 0
    await settled(site)
    [call_made] = postmark.calls
    assert call_made["path"].lower().startswith("/email/withtemplate")
    seen = call_made["body"]
    assert seen["TemplateModel"] == {"name": "Ann"}
    given = {name: value for name, value in reference.items() if value is not None}
    assert {name: seen[name] for name in given} == given


@pytest.mark.gen_test
async def test_an_unknown_template_of_a_server_without_provider_is_refused_by_item(
    call: Call, outbox: Outbox
) -> None:
    alias = {**FILLED, "TemplateId": None, "TemplateAlias": "nothing"}
    reply = await call("POST", "/email/batchWithTemplates", {"Messages": [FILLED, alias]})
    assert reply.status == 200
    assert [item["Message"] for item in reply.json] == [
        "The 'TemplateId' associated with this request is not valid or was not found.",
        "The Template's 'Alias' associated with this request is not valid or was not found.",
    ]
    assert outbox.rows() == []


# Templates that are stored here.

WELCOME = TemplateDraft(
    name="Welcome",
    alias="welcome",
    type="Standard",
    subject="Welcome {{name}}",
    html="<style>p { color: red }</style><p>Hello {{name}}</p>",
    text="Hello {{name}} of {{town}}",
)


@pytest.mark.gen_test
@pytest.mark.parametrize("named", ["TemplateId", "TemplateAlias", "both", "digits"])
async def test_a_stored_template_is_filled_by_number_or_alias(
    call: Call, site: Site, outbox: Outbox, named: str
) -> None:
    stored = await site.library.create("notices", WELCOME, by("operator"))
    reference = {
        "TemplateId": {"TemplateId": stored.id},
        "TemplateAlias": {"TemplateId": 0, "TemplateAlias": "welcome"},
        "both": {"TemplateId": stored.id, "TemplateAlias": "other"},
        "digits": {"TemplateId": f"{stored.id}"},
    }[named]
    nulls = {"Subject": None, "HtmlBody": None, "TextBody": ""}
    reply = await call("POST", "/email/withTemplate", FILLED | nulls | reference)
    assert reply.status == 200, reply.json
    document = outbox.last()["document"]
    assert document["subject"] == outbox.last()["subject"] == "Welcome Ann"
    assert document["text"] == "Hello Ann of "
    assert 'style="color: red' in document["html"]
    assert document["model"] == {"name": "Ann"}
    assert document["template"] == (stored.id if "TemplateAlias" not in named else "welcome")
    query = text("SELECT kind, words FROM events")
    [warning] = site.store.read_now(lambda connection: connection.execute(query).all())
    assert "town" in warning.words


@pytest.mark.gen_test
async def test_styles_are_left_where_they_are_when_the_caller_says_so(
    call: Call, site: Site, outbox: Outbox
) -> None:
    await site.library.create("notices", WELCOME, by("operator"))
    message = {**FILLED, "TemplateId": None, "TemplateAlias": "welcome", "InlineCss": False}
    assert (await call("POST", "/email/withTemplate", message)).status == 200
    assert outbox.last()["document"]["html"] == WELCOME.html.replace("{{name}}", "Ann")


@pytest.mark.gen_test
async def test_an_empty_model_is_one(call: Call, site: Site, outbox: Outbox) -> None:
    stored = await site.library.create("notices", WELCOME, by("operator"))
    for model in ({}, []):
        message = {**FILLED, "TemplateId": stored.id, "TemplateModel": model}
        assert (await call("POST", "/email/withTemplate", message)).status == 200
    assert [row["subject"] for row in outbox.rows()] == ["Welcome", "Welcome"]


@pytest.mark.gen_test
async def test_a_batch_fills_each_template_with_its_own_model(
    call: Call, site: Site, outbox: Outbox
) -> None:
    stored = await site.library.create("notices", WELCOME, by("operator"))
    listing = TemplateDraft("List", "list", "Standard", "List", text="{{#each rows}}{{.}}{{/each}}")
    await site.library.create("notices", listing, by("operator"))
    by_alias = {**FILLED, "TemplateId": None, "TemplateAlias": "list"}
    batch = [
        {**FILLED, "TemplateId": stored.id, "TemplateModel": {"name": "Ann"}},
        {**by_alias, "TemplateModel": {"rows": 5}},
        {**by_alias, "TemplateModel": {"rows": ["a", "b"]}},
        {**by_alias, "TemplateAlias": "other"},
        {**by_alias, "To": "nowhere"},
    ]
    reply = await call("POST", "/email/batchWithTemplates", {"Messages": batch})
    assert reply.status == 200
    assert [item["ErrorCode"] for item in reply.json] == [0, 1122, 0, 1101, 300]
    assert [row["document"].get("text") for row in outbox.rows()] == ["Hello Ann of ", "ab"]


@pytest.mark.gen_test
async def test_a_template_that_was_deleted_or_is_a_layout_is_unknown(
    call: Call, site: Site, outbox: Outbox
) -> None:
    stored = await site.library.create("notices", WELCOME, by("operator"))
    await site.library.delete("notices", stored.id, by("operator"))
    layout = TemplateDraft("Frame", "frame", "Layout", text="{{{@content}}}")
    frame = await site.library.create("notices", layout, by("operator"))
    for number in (stored.id, frame.id):
        reply = await call("POST", "/email/withTemplate", {**FILLED, "TemplateId": number})
        assert (reply.status, reply.json["ErrorCode"]) == (422, 1101)
        words = "The 'TemplateId' associated with this request is not valid or was not found."
        assert reply.json["Message"] == words
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_server_in_a_group_fills_the_groups_templates(
    call: Call, site: Site, load: Callable[[str], Settings], outbox: Outbox, settings_toml: str
) -> None:
    grouped = settings_toml.replace(
        '[servers.notices]\nplugins = ["mailbox"]',
        '[servers.notices]\ngroup = "bulletin"\nplugins = ["honeypot"]',
    )
    site.reload(load(grouped))
    stored = await site.library.create("bulletin", WELCOME, by("operator"))
    reply = await call("POST", "/email/withTemplate", {**FILLED, "TemplateId": stored.id})
    assert reply.json["ErrorCode"] == 0
    assert outbox.last()["server"] == "notices"
    await settled(site)
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_a_call_that_would_become_too_much_is_taken_in_part(
    call: Call, site: Site, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_messages, "MAX_WEIGHT", 100)
    stored = await site.library.create("notices", replace(WELCOME, html=None), by("operator"))
    message = {**FILLED, "TemplateId": stored.id, "TemplateModel": {"name": "x" * 40}}
    reply = await call("POST", "/email/batchWithTemplates", {"Messages": [message] * 4})
    assert [item["ErrorCode"] for item in reply.json] == [0, 0, 300, 300]
    assert len(outbox.rows()) == 2
    message["TemplateModel"] = {"name": "x" * 100}
    reply = await call("POST", "/email/withTemplate", message)
    assert (reply.status, reply.json["ErrorCode"]) == (413, 300)
    assert len(outbox.rows()) == 2


@pytest.mark.gen_test
async def test_the_answer_does_not_wait_for_the_provider(
    call: Call, site: Site, outbox: Outbox, postmark: FakePostmark
) -> None:
    postmark.answers = ["hang"]
    reply = await call(
        "POST", "/email", {**MESSAGE, "From": "passing@example.gov"}, token=PASSING_KEY
    )
    assert reply.json["ErrorCode"] == 0
    await postmark.hanging()
    assert outbox.states() == ["sending"]
    postmark.release()
    await settled(site)


@pytest.mark.gen_test
async def test_a_server_that_is_switched_off_stores_and_attempts_nothing(
    call: Call, site: Site, load: Callable[[str], Settings], outbox: Outbox, settings_toml: str
) -> None:
    off = settings_toml.replace("[servers.notices]\n", "[servers.notices]\nenabled = false\n")
    site.reload(load(off))
    assert (await call("POST", "/email", MESSAGE)).json["ErrorCode"] == 0
    assert await site.dispatcher.deliver_waiting() == 0
    assert outbox.states() == ["queued"]
    assert not site.dispatcher._attempts.message_cache._messages


@pytest.mark.gen_test
async def test_observers_hear_of_every_message(
    call: Call, site: Site, load: Callable[[str], Settings], settings_toml: str
) -> None:
    folder = site.settings.path.parent / "plugins"
    folder.mkdir()
    heard = site.settings.path.parent / "heard"
    (folder / "hearing.py").write_text(
        "from pathlib import Path\nfrom relay import hookimpl\n\n\n"
        f"@hookimpl\ndef accepted(message):\n    with Path({str(heard)!r}).open('a') as file:\n"
        "        print(message.id, file=file)\n"
    )
    hearing = settings_toml.replace(
        '[servers.notices]\nplugins = ["mailbox"]',
        '[servers.notices]\nplugins = ["hearing", "mailbox"]',
    )
    site.reload(load(hearing))
    reply = await call("POST", "/email/batch", [MESSAGE, {**MESSAGE, "To": ""}, MESSAGE])
    taken = [item["MessageID"] for item in reply.json if item["ErrorCode"] == 0]
    assert heard.read_text().split() == taken


@pytest.mark.gen_test
async def test_log_lines_hold_no_address_and_no_words(
    call: Call, events: list[dict[str, Any]]
) -> None:
    await call("POST", "/email", {**MESSAGE, "To": "secret-person"})
    await call("POST", "/email", {**MESSAGE, "From": "secret@example.com"})
    await call("POST", "/email", {**MESSAGE, "To": "secret@example.com", "Subject": "secret"})
    assert {"call.refused", "message.accepted"} <= {event["event"] for event in events}
    assert "secret" not in repr(events)


@pytest.mark.gen_test
async def test_bulk_sending_is_not_approved(call: Call, outbox: Outbox) -> None:
    reply = await call("POST", "/email/bulk", {})
    assert (reply.status, reply.json["ErrorCode"]) == (422, 14)
    assert (await call("POST", "/email/bulk", {}, token=None)).status == 401


@pytest.mark.gen_test
async def test_an_unknown_path_is_answered_in_the_envelope(call: Call) -> None:
    for path in ("/email/nothing", "/templates/1/2/3", "/server/x", "/stats/outbound"):
        reply = await call("GET", path)
        assert reply.status == 404
        assert list(reply.json) == ["ErrorCode", "Message"]
