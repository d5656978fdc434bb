"""/messages/outbound: searching the server's own messages, and what became of each of them."""

import base64
import email
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from relay.core.ids import message_id
from relay.site import Site
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from tests.conftest import Reply
from tests.support.fake_postmark import FakePostmark, error
from tests.web.postmark.conftest import BULLETIN_KEY, NOTICES_KEY, PASSING_KEY, Call

KEYS = [
    *("Tag", "MessageID", "MessageStream", "To", "Cc", "Bcc", "Recipients", "ReceivedAt", "From"),
    *("Subject", "Attachments", "Status", "TrackOpens", "TrackLinks", "Metadata", "Sandboxed"),
]
MESSAGE = {
    "From": "Notices <notices@example.gov>",
    "To": "Ann Lee <ann@example.com>, bob@example.com",
    "Subject": "Street cleaning",
    "HtmlBody": "<p>Tomorrow</p>",
    "TextBody": "Tomorrow",
}
PASSING = MESSAGE | {"From": "passing@example.gov"}


async def send(call: Call, token: str = NOTICES_KEY, **changes: Any) -> str:
    """Send a message; give its id."""
    base = PASSING if token == PASSING_KEY else MESSAGE
    reply = await call("POST", "/email", base | changes, token=token)
    assert reply.status == 200, reply.body
    return reply.json["MessageID"]


async def found(call: Call, token: str = NOTICES_KEY, /, **filters: str) -> list[str]:
    """Give the ids of what a search finds, newest first."""
    query = urlencode({"count": 500, "offset": 0} | filters)
    reply = await call("GET", f"/messages/outbound?{query}", token=token)
    assert reply.status == 200, reply.body
    ids = [message["MessageID"] for message in reply.json["Messages"]]
    assert reply.json["TotalCount"] == len(ids)
    return ids


async def details(
    call: Call, id: str, token: str, ready: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Ask for a message until it is as it should become; the test's own limit ends this."""
    while True:
        reply = await call("GET", f"/messages/outbound/{id}/details", token=token)
        assert reply.status == 200, reply.body
        if ready(reply.json):
            return reply.json


def has_events(message: dict[str, Any]) -> bool:
    return bool(message["MessageEvents"])


def events(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Give recipient, type and words of each event, in order."""
    return [
        (event["Recipient"], event["Type"], " ".join(map(str, event["Details"].values())).strip())
        for event in message["MessageEvents"]
    ]


def assert_refused(reply: Reply, code: int) -> None:
    assert (reply.status, reply.json["ErrorCode"]) == (422, code), reply.body
    assert reply.headers["X-PM-ApiErrorCode"] == str(code)


@pytest.mark.gen_test
async def test_a_message_is_listed_with_all_keys_and_without_the_relays_own_label(
    call: Call, site: Site
) -> None:
    content = base64.b64encode(b"plan").decode()
    id = await send(
        call,
        Cc="c@example.com",
        Bcc="d@example.com",
        Tag="Invitation",
        Metadata={"Color": "blue", "client-id": "12345"},
        TrackOpens=True,
        TrackLinks="HtmlOnly",
        MessageStream="broadcast",
        Attachments=[{"Name": "plan.txt", "Content": content, "ContentType": "text/plain"}],
    )
    await details(call, id, NOTICES_KEY, has_events)
    reply = await call("GET", "/messages/outbound?Count=10&OFFSET=0")
    assert (reply.status, list(reply.json)) == (200, ["TotalCount", "Messages"])
    [message] = reply.json["Messages"]
    assert list(message) == KEYS
    received = datetime.fromisoformat(message.pop("ReceivedAt"))
    assert abs(datetime.now(UTC) - received) < timedelta(minutes=1)
    assert message == {
        "Tag": "Invitation",
        "MessageID": id,
        "MessageStream": "broadcast",
        "To": [
            {"Email": "ann@example.com", "Name": "Ann Lee"},
            {"Email": "bob@example.com", "Name": None},
        ],
        "Cc": [{"Email": "c@example.com", "Name": None}],
        "Bcc": [{"Email": "d@example.com", "Name": None}],
        "Recipients": [f"{name}@example.com" for name in ("ann", "bob", "c", "d")],
        "From": "Notices <notices@example.gov>",
        "Subject": "Street cleaning",
        "Attachments": ["plan.txt"],
        "Status": "Sent",
        "TrackOpens": True,
        "TrackLinks": "HtmlOnly",
        "Metadata": {"Color": "blue", "client-id": "12345"},
        "Sandboxed": True,
    }
    assert site.outbox.metadata_key.startswith("relay-")


@pytest.mark.gen_test
async def test_what_was_left_out_is_shown_as_null_or_as_the_default(call: Call) -> None:
    await send(call, Subject=None)
    reply = await call("GET", "/messages/outbound?count=1&offset=0")
    [message] = reply.json["Messages"]
    assert (message["Tag"], message["Subject"], message["Metadata"]) == (None, "", {})
    assert (message["MessageStream"], message["TrackLinks"]) == ("outbound", "None")
    assert (message["TrackOpens"], message["Attachments"]) == (False, [])


@pytest.mark.gen_test
async def test_details_add_the_parts_the_source_and_what_happened(call: Call) -> None:
    id = await send(call, Bcc="secret@example.com", Headers=[{"Name": "X-Case", "Value": "7"}])
    message = await details(call, id.upper(), NOTICES_KEY, has_events)
    assert list(message) == [*KEYS, "TextBody", "HtmlBody", "Body", "MessageEvents"]
    assert (message["TextBody"], message["HtmlBody"]) == ("Tomorrow", "<p>Tomorrow</p>")
    source = email.message_from_string(message["Body"])
    assert (source["Subject"], source["X-Case"]) == ("Street cleaning", "7")
    assert "secret@example.com" not in message["Body"]
    assert events(message) == [
        (recipient, "Delivered", "kept in the embedded mailbox mailbox")
        for recipient in ("ann@example.com", "bob@example.com", "secret@example.com")
    ]
    for event in message["MessageEvents"]:
        assert list(event) == ["Recipient", "Type", "ReceivedAt", "Details"]
        assert list(event["Details"]) == ["DeliveryMessage", "DestinationServer", "DestinationIP"]
        assert datetime.fromisoformat(event["ReceivedAt"]).tzinfo is not None
    dump = await call("GET", f"/messages/outbound/{id}/dump/", b"null")
    assert (dump.status, dump.json) == (200, {"Body": message["Body"]})


@pytest.mark.gen_test
async def test_a_missing_part_is_null(call: Call) -> None:
    id = await send(call, HtmlBody=None)
    message = await details(call, id, NOTICES_KEY, lambda message: True)
    assert (message["TextBody"], message["HtmlBody"]) == ("Tomorrow", None)


@pytest.mark.gen_test
async def test_two_servers_do_not_see_each_others_messages(call: Call) -> None:
    own = await send(call, Metadata={"order": "7"})
    other = await send(
        call,
        BULLETIN_KEY,
        From="bulletin@example.gov",
        To="desk@example.org",
        Metadata={"order": "7"},
    )
    for token, id in ((NOTICES_KEY, own), (BULLETIN_KEY, other)):
        assert await found(call, token) == [id]
        assert await found(call, token, metadata_order="7") == [id]
    for path in ("details", "dump"):
        reply = await call("GET", f"/messages/outbound/{other}/{path}")
        assert_refused(reply, 701)
        assert reply.json["Message"] == "This message was not found."


@pytest.mark.gen_test
async def test_what_is_unknown_or_was_screened_is_not_found(call: Call, site: Site) -> None:
    screened = NewMessage(message_id(), "notices", "screened", 1.0, "", '{"fields":{}}')
    await site.store.write(enqueue.add, screened)
    assert await found(call) == []
    for id in (screened.id, message_id(), "x", "%00", "%F0%9F%93%AC", "x" * 5000):
        for path in ("details", "dump"):
            assert_refused(await call("GET", f"/messages/outbound/{id}/{path}"), 701)


@pytest.mark.gen_test
async def test_every_filter_narrows_what_is_found(call: Call) -> None:
    ann = await send(call, To="Ann <Ann@Example.com>", Tag="Permit", Metadata={"Order": "A 7"})
    bob = await send(
        call,
        To="bob@example.com",
        From="chief@example.org",
        Subject="Größe 100%",
        MessageStream="Broadcast",
        Metadata={"order": "8", "grüße": "ja"},
    )
    both = [bob, ann]
    assert await found(call) == both
    for filters, expected in (
        ({"recipient": "ann@example.com"}, [ann]),
        ({"Recipient": "ANN@EXAMPLE.COM"}, [ann]),
        ({"recipient": "Somebody Else <ann@example.com>"}, [ann]),
        ({"recipient": "example.com"}, []),
        ({"fromemail": "Chief@example.org"}, [bob]),
        ({"FromEmail": "notices@example.gov"}, [ann]),
        ({"tag": "Permit"}, [ann]),
        ({"tag": ""}, both),
        ({"subject": "größe 100%"}, [bob]),
        ({"subject": "STREET"}, [ann]),
        ({"messagestream": "outbound"}, [ann]),
        ({"messageStream": "broadcast"}, [bob]),
        ({"messagestream": "pigeon"}, []),
        ({"metadata_order": "A 7"}, [ann]),
        ({"METADATA_Order": "8"}, [bob]),
        ({"metadata_order": "9"}, []),
        ({"metadata_grüße": "ja"}, [bob]),
        ({"metadata_order": "8", "tag": "Permit"}, []),
    ):
        assert await found(call, **filters) == expected, filters


@pytest.mark.gen_test
async def test_dates_are_in_utc_and_a_day_is_meant_whole(call: Call, site: Site) -> None:
    def at(moment: datetime) -> NewMessage:
        milliseconds = f"{round(moment.timestamp() * 1000):012x}"
        id = f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"
        document = '{"sender":["a@example.gov",""]}'
        return NewMessage(id, "notices", "queued", moment.timestamp(), "", document)

    noon = datetime(2026, 2, 1, 12, tzinfo=UTC)
    first, second = at(noon), at(noon + timedelta(hours=11, minutes=59, seconds=59.5))
    await site.store.write(enqueue.add_together, [first, second])
    both = [second.id, first.id]
    for filters, expected in (
        ({"fromdate": "2026-02-01", "todate": "2026-02-01"}, both),
        ({"fromdate": "2026-02-02"}, []),
        ({"todate": "2026-01-31"}, []),
        ({"fromdate": "2026-02-01T12:00:00", "todate": "2026-02-01T12:00:00"}, [first.id]),
        ({"fromdate": "2026-02-01T12:00:01"}, [second.id]),
        ({"todate": "2026-02-01T23:59:58"}, [first.id]),
        ({"todate": "2026-02-01T23:59:59"}, both),
        ({"fromDate": "2026-02-01T13:00:00+02:00", "toDate": "2026-02-01T12:30:00Z"}, [first.id]),
        ({"fromdate": "0001-01-01", "todate": "9999-12-31"}, both),
    ):
        assert await found(call, **filters) == expected, filters


@pytest.mark.gen_test
async def test_pages_are_cut_out_of_all_that_is_found(call: Call, site: Site) -> None:
    now = time.time()
    document = '{"sender":["a@example.gov",""]}'
    rows = [NewMessage(message_id(), "notices", "queued", now, "", document) for _ in range(7)]
    await site.store.write(enqueue.add_together, rows)
    ids = [row.id for row in reversed(rows)]
    pages = []
    for offset in (0, 3, 6, 9):
        reply = await call("GET", f"/messages/outbound?count=3&offset={offset}")
        assert reply.json["TotalCount"] == 7
        pages.append([message["MessageID"] for message in reply.json["Messages"]])
    assert pages == [ids[:3], ids[3:6], ids[6:], []]


@pytest.mark.parametrize(
    "query",
    [
        *("", "count=1", "offset=0", "count=0&offset=0", "count=501&offset=0"),
        *("count=500&offset=9501", "count=-1&offset=0", "count=1.5&offset=0", "count=1&offset=x"),
        *("count=1&offset=0&status=bounced", "count=1&offset=0&fromdate=yesterday"),
        *("count=1&offset=0&todate=2026-02-30", "count=1&offset=0&todate=10000-01-01"),
        *("count=1&offset=0&fromdate=%00", "count=1&offset=0&tag=%ff"),
        "count=1&offset=0&" + "&".join(f"metadata_{number}=x" for number in range(11)),
        *("count=1&offset=0&metadata_%ff=x", "count=1&offset=0&fromdate=2026-02-01T25:00:00"),
    ],
)
@pytest.mark.gen_test
async def test_a_question_that_cannot_be_read_is_refused(call: Call, query: str) -> None:
    assert_refused(await call("GET", f"/messages/outbound?{query}"), 700)


@pytest.mark.gen_test
async def test_the_last_page_of_all_is_the_ten_thousandth_message(call: Call) -> None:
    assert (await call("GET", "/messages/outbound?count=500&offset=9500")).status == 200
    assert (await call("GET", "/messages/outbound?count=1&offset=9999")).status == 200


@pytest.mark.gen_test
async def test_what_the_provider_took_is_sent_and_nothing_is_said_of_its_delivery(
    call: Call, postmark: FakePostmark
) -> None:
    id = await send(call, PASSING_KEY)
    message = await details(call, id, PASSING_KEY, lambda message: message["Status"] != "Queued")
    assert (message["Status"], message["MessageEvents"]) == ("Sent", [])
    assert message["Sandboxed"] is False
    assert len(postmark.calls) == 1


@pytest.mark.gen_test
async def test_what_the_provider_refused_stands_there_with_its_words_for_each_recipient(
    call: Call, postmark: FakePostmark
) -> None:
    postmark.answers = [(422, error(300, "Invalid 'To' address."))]
    id = await send(call, PASSING_KEY)
    message = await details(call, id, PASSING_KEY, has_events)
    assert message["Status"] == "Processed"
    words = "Postmark answered 422: Invalid 'To' address. (ErrorCode 300)"
    assert events(message) == [
        ("ann@example.com", "Bounced", words),
        ("bob@example.com", "Bounced", words),
    ]
    assert [list(event["Details"]) for event in message["MessageEvents"]] == [["Summary"]] * 2


@pytest.mark.gen_test
async def test_a_recipient_that_the_provider_left_out_has_bounced_alone(
    call: Call, postmark: FakePostmark
) -> None:
    text = (
        "Message OK, but will not deliver to these inactive addresses: bob@example.com."
        " Inactive recipients are ones that have generated a hard bounce."
    )
    sent = {"MessageID": message_id(), "ErrorCode": 0, "Message": text}
    postmark.answers = [(200, sent)]
    id = await send(call, PASSING_KEY, To="Ann <ann@example.com>, Bob <Bob@example.com>")
    message = await details(call, id, PASSING_KEY, has_events)
    assert message["Status"] == "Sent"
    [(recipient, type, words)] = events(message)
    assert (recipient.lower(), type) == ("bob@example.com", "Bounced")
    assert "without this recipient" in words


@pytest.mark.gen_test
async def test_attempts_that_did_not_send_are_delays_and_the_message_is_still_queued(
    call: Call, postmark: FakePostmark, site: Site
) -> None:
    postmark.answers = [(503, error(100, "Maintenance")), "reset"]
    id = await send(call, PASSING_KEY, To="ann@example.com")
    message = await details(call, id, PASSING_KEY, has_events)
    [(recipient, type, words)] = events(message)
    assert (message["Status"], recipient, type) == ("Queued", "ann@example.com", "Transient")
    assert words.startswith("Postmark answered 503: Maintenance")
    assert words.endswith(" postmark")
    # The answer to the second attempt is lost: nobody knows, so nothing else is claimed.
    assert await site.dispatcher.deliver_waiting(time.time() + 3600) == 1
    message = await details(call, id, PASSING_KEY, lambda one: len(one["MessageEvents"]) == 2)
    assert message["Status"] == "Queued"
    assert [type for _, type, _ in events(message)] == ["Transient", "Transient"]


@pytest.mark.gen_test
async def test_a_message_that_grew_too_old_has_bounced_in_the_end(
    call: Call, postmark: FakePostmark, site: Site
) -> None:
    postmark.answers = [(503, error(100, "Maintenance"))] * 5
    id = await send(call, PASSING_KEY, To="ann@example.com")
    await details(call, id, PASSING_KEY, has_events)
    for hours in (80, 85, 90, 95):
        assert await site.dispatcher.deliver_waiting(time.time() + hours * 3600) == 1
    message = await details(call, id, PASSING_KEY, lambda one: one["Status"] != "Queued")
    assert message["Status"] == "Processed"
    assert [type for _, type, _ in events(message)] == ["Transient"] * 5 + ["Bounced"]
    words = "too old to be tried again; last: Postmark answered 503: Maintenance (ErrorCode 100)"
    assert events(message)[-1][2] == words


@pytest.mark.gen_test
async def test_messages_are_found_by_postmarks_three_words(
    call: Call, postmark: FakePostmark, site: Site
) -> None:
    postmark.answers = [(422, error(300, "No"))]
    failed = await send(call, PASSING_KEY)
    await details(call, failed, PASSING_KEY, has_events)
    sent = await send(call, PASSING_KEY)
    await details(call, sent, PASSING_KEY, lambda message: message["Status"] == "Sent")
    postmark.answers = [(503, error(100, "Maintenance"))]
    queued = await send(call, PASSING_KEY)
    await details(call, queued, PASSING_KEY, has_events)
    assert await found(call, PASSING_KEY, status="queued") == [queued]
    assert await found(call, PASSING_KEY, status="Sent") == [sent]
    assert await found(call, PASSING_KEY, status="PROCESSED") == [sent, failed]


@pytest.mark.gen_test
async def test_no_message_is_changed_over_this_api(call: Call) -> None:
    id = await send(call)
    for path in ("", f"/{id}/details", f"/{id}/dump"):
        for method in ("POST", "PUT", "DELETE"):
            reply = await call(method, f"/messages/outbound{path}", {})
            assert (reply.status, reply.body) == (405, b"")
    assert await found(call) == [id]


@pytest.mark.gen_test
async def test_nobody_searches_without_a_token(call: Call) -> None:
    id = await send(call)
    for path in ("?count=1&offset=0", f"/{id}/details", f"/{id}/dump"):
        for token in (None, "x" * 40):
            reply = await call("GET", f"/messages/outbound{path}", token=token)
            assert (reply.status, reply.json["ErrorCode"]) == (401, 10)


@pytest.mark.gen_test
async def test_no_question_is_logged(call: Call, events: list[dict[str, Any]]) -> None:
    await call("GET", f"/messages/outbound?count=0&recipient={quote('ann@example.com')}")
    assert any(event["event"] == "call.refused" for event in events)
    assert not any("ann" in str(event) for event in events)
