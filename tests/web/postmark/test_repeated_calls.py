"""Calls of Postmark's API with an Idempotency-Key: the same answer again, and no second mail."""

import asyncio
from typing import Any

import pytest

from relay.site import Site
from tests.conftest import Outbox
from tests.web.postmark.conftest import BULLETIN_KEY, Call
from tests.web.postmark.test_sending import FILLED, MESSAGE, TEST

KEYED = {"Idempotency-Key": "a-1"}
BATCH = [MESSAGE, {**MESSAGE, "To": "no address"}, {**MESSAGE, "Subject": "Another"}]
TEMPLATE = {"Name": "Greeting", "Subject": "Hello {{name}}", "TextBody": "Dear {{name}}"}


@pytest.mark.gen_test
async def test_a_repeated_message_gets_the_same_answer(call: Call, outbox: Outbox) -> None:
    first = await call("POST", "/email", MESSAGE, headers=KEYED)
    shuffled = dict(reversed(MESSAGE.items()))
    again = await call("POST", "/Email/", shuffled, headers={"Idempotency-Key": '"a-1"'})
    assert (first.status, first.json["Message"]) == (200, "OK")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert [row["id"] for row in outbox.rows()] == [first.json["MessageID"]]


@pytest.mark.gen_test
async def test_a_repeated_batch_gets_its_whole_answer(call: Call, outbox: Outbox) -> None:
    first = await call("POST", "/email/batch", BATCH, headers=KEYED)
    again = await call("POST", "/email/batch", BATCH, headers=KEYED)
    assert [one["ErrorCode"] for one in first.json] == [0, 300, 0]
    assert (again.status, again.body) == (200, first.body)
    assert len(outbox.rows()) == 2
    changed = await call("POST", "/email/batch", list(reversed(BATCH)), headers=KEYED)
    assert (changed.status, len(outbox.rows())) == (422, 2)


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/email/withTemplate", "/email/batchWithTemplates"])
async def test_a_repeated_message_from_a_template_gets_the_same_answer(
    call: Call, outbox: Outbox, path: str
) -> None:
    made = await call("POST", "/templates", TEMPLATE)
    message = {**FILLED, "TemplateId": made.json["TemplateId"]}
    body = {"Messages": [message]} if "batch" in path else message
    first = await call("POST", path, body, headers=KEYED)
    again = await call("POST", path, body, headers=KEYED)
    assert (first.status, again.body, len(outbox.rows())) == (200, first.body, 1)


@pytest.mark.gen_test
async def test_refusals_stand_in_postmarks_envelope(call: Call, outbox: Outbox) -> None:
    await call("POST", "/email", MESSAGE, headers=KEYED)
    conflict = await call("POST", "/email", {**MESSAGE, "Subject": "Another"}, headers=KEYED)
    malformed = await call("POST", "/email", MESSAGE, headers={"Idempotency-Key": "a b"})
    assert (conflict.status, conflict.json) == (
        422,
        {"ErrorCode": 300, "Message": "idempotency key was used for another submission"},
    )
    assert (malformed.status, malformed.json) == (
        400,
        {
            "ErrorCode": 300,
            "Message": "Idempotency-Key: must be 1 to 255 visible ASCII characters",
        },
    )
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_of_many_calls_at_once_one_is_sent(call: Call, outbox: Outbox) -> None:
    replies = await asyncio.gather(
        *(call("POST", "/email/batch", BATCH, headers=KEYED) for _ in range(20))
    )
    answers = {reply.body for reply in replies if reply.status == 200}
    running = [reply for reply in replies if reply.status != 200]
    assert (len(answers), len(outbox.rows())) == (1, 2)
    for reply in running:
        assert (reply.status, reply.json["ErrorCode"]) == (409, 100)
        assert reply.headers["Retry-After"] == "1"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "wrong", [{**MESSAGE, "To": ""}, [], b"{"], ids=["refused", "a list", "broken"]
)
async def test_a_refused_call_is_not_kept(call: Call, outbox: Outbox, wrong: Any) -> None:
    assert (await call("POST", "/email", wrong, headers=KEYED)).status == 422
    assert outbox.rows() == []
    assert (await call("POST", "/email", MESSAGE, headers=KEYED)).status == 200


@pytest.mark.gen_test
async def test_the_same_key_is_another_one_elsewhere(call: Call, outbox: Outbox) -> None:
    local = {**MESSAGE, "From": "bulletin@example.gov", "To": "desk@example.gov"}
    assert (await call("POST", "/email", MESSAGE, headers=KEYED)).status == 200
    assert (await call("POST", "/email/batch", [MESSAGE], headers=KEYED)).status == 200
    reply = await call("POST", "/email", local, token=BULLETIN_KEY, headers=KEYED)
    assert (reply.status, len(outbox.rows())) == (200, 3)


@pytest.mark.gen_test
async def test_a_test_call_is_never_taken_for_repeated(
    call: Call, outbox: Outbox, site: Site
) -> None:
    first = await call("POST", "/email", MESSAGE, token=TEST, headers=KEYED)
    again = await call("POST", "/email", MESSAGE, token=TEST, headers=KEYED)
    assert first.json["MessageID"] != again.json["MessageID"]
    assert outbox.rows() == []
