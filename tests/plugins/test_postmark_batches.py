"""Delivery through Postmark, many messages a call: each gets its own outcome, none goes twice."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.errors import (
    DeliveryDeferred,
    DeliveryFailed,
    DeliveryInDoubt,
    MessageBroken,
    RecipientsInactive,
)
from relay.core.immutable import freeze
from relay.core.message import Attachment, Confirmation, Message
from relay.hooks.chain import Chain
from tests.support.fake_postmark import FakePostmark, Taken, error

Deliver = Callable[..., Awaitable[list[Any]]]

BAD = "bad@example.gov"
OK = {"ErrorCode": 0, "Message": "OK", "MessageID": "0a129aee-e1cd-480d-b08d-4f48548ff48d"}


def message(number: int, **changes: Any) -> Message:
    id = f"message-{number}"
    plain = Message(
        sender=Address("registry@example.gov"),
        to=(Address(f"a{number}@example.gov"),),
        subject=f"Number {number}",
        text="Grüße.",
        metadata=freeze({"relay-01234567": id}),
        id=id,
    )
    return replace(plain, **changes)


def batch(count: int, *bad: int) -> list[Message]:
    """Some messages, those at the places `bad` to the bad address."""
    made = [message(number) for number in range(count)]
    for place in bad:
        made[place] = replace(made[place], to=(Address(BAD),))
    return made


def templated(number: int) -> Message:
    return replace(
        message(number), subject=None, text=None, template="welcome", model=freeze({"n": number})
    )


@pytest.fixture
def deliver(
    chain: Callable[..., Chain], postmark: FakePostmark, monkeypatch: pytest.MonkeyPatch
) -> Deliver:
    """Deliver through the real plugin to the provider, in a thread as the host does.

    size: how many bytes a call may have.
    """

    async def deliver_there(
        messages: list[Message], deadline: int = 20, size: int = 49_000_000
    ) -> list[Any]:
        built = chain(
            plugins=["contactform", "postmark"],
            postmark_token={"env": "POSTMARK_TOKEN"},
            postmark_url=postmark.url,
            deadline=deadline,
        )
        monkeypatch.setattr(sys.modules["relay_plugins.postmark"], "MAX_CALL_BYTES", size)
        outcomes = await asyncio.to_thread(built.deliver, messages)
        assert outcomes is not None
        return list(outcomes)

    return deliver_there


def paths(postmark: FakePostmark) -> list[str]:
    return [call["path"] for call in postmark.calls]


@pytest.mark.gen_test
async def test_many_messages_are_one_call_and_have_a_receipt_each_in_order(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    outcomes = await deliver(batch(7))
    assert paths(postmark) == ["/email/batch"]
    [call] = postmark.calls
    assert call["headers"]["X-Postmark-Server-Token"] == "postmark-server-token"
    assert call["headers"]["Content-Type"] == call["headers"]["Accept"] == "application/json"
    assert [one["Subject"] for one in call["body"]] == [f"Number {n}" for n in range(7)]
    assert call["body"][0]["TextBody"] == "Grüße."
    assert [one.provider_id for one in outcomes] == [one.id for one in postmark.accepted]
    assert postmark.labels == [f"message-{n}" for n in range(7)]


@pytest.mark.gen_test
async def test_many_messages_with_templates_are_one_call_of_their_own_kind(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    outcomes = await deliver([templated(n) for n in range(3)])
    assert paths(postmark) == ["/email/batchWithTemplates"]
    body = postmark.calls[0]["body"]
    assert list(body) == ["Messages"]
    assert [one["TemplateModel"] for one in body["Messages"]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [one.provider_id for one in outcomes] == [one.id for one in postmark.accepted]


@pytest.mark.gen_test
async def test_plain_and_templated_messages_go_in_calls_of_their_own(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    postmark.faults[BAD] = error(300, "Invalid 'To' address.")
    messages = [message(0), templated(1), message(2), templated(3), *batch(5, 4)[4:]]
    outcomes = await deliver(messages)
    assert paths(postmark) == ["/email/batch", "/email/batchWithTemplates"]
    assert postmark.labels == ["message-0", "message-2", "message-1", "message-3"]
    ids = {one.label: one.id for one in postmark.accepted}
    assert [one.provider_id for one in outcomes[:4]] == [ids[f"message-{n}"] for n in range(4)]
    assert isinstance(outcomes[4], DeliveryFailed)


@pytest.mark.gen_test
async def test_no_call_has_more_messages_than_postmark_takes(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    outcomes = await deliver(batch(1001))
    assert [len(call["body"]) for call in postmark.calls[:2]] == [500, 500]
    assert paths(postmark) == ["/email/batch", "/email/batch", "/email"]
    assert [one.provider_id for one in outcomes] == [one.id for one in postmark.accepted]


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([1000] * 9, [3, 3, 3]),
        ([3000, 1000, 1000, 9000, 1000, 1000], [1, 2, 1, 2]),
        ([9000, 9000], [1, 1]),
    ],
)
@pytest.mark.gen_test
async def test_no_call_of_many_is_larger_than_postmark_takes(
    deliver: Deliver,
    postmark: FakePostmark,
    sizes: list[int],
    calls: list[int],
) -> None:
    messages = [
        message(n, attachments=(Attachment("a.txt", "text/plain", "QUFB" * (size // 4)),))
        for n, size in enumerate(sizes)
    ]
    outcomes = await deliver(messages, size=4300)
    assert all(isinstance(one, Confirmation) for one in outcomes)
    assert postmark.labels == [one.id for one in messages]
    counts = [len(call["body"]) if "batch" in call["path"] else 1 for call in postmark.calls]
    assert counts == calls
    for call in postmark.calls:
        assert "batch" not in call["path"] or int(call["headers"]["Content-Length"]) <= 4300


@pytest.mark.parametrize("number", [300, 402, 403, 406, 409, 411, 1101, 1109, 1120, 1122])
@pytest.mark.gen_test
async def test_an_item_that_is_refused_fails_and_its_neighbours_are_sent(
    deliver: Deliver, postmark: FakePostmark, number: int
) -> None:
    postmark.faults[BAD] = error(number, "Refused.")
    outcomes = await deliver(batch(4, 2))
    assert paths(postmark) == ["/email/batch"]
    refused = RecipientsInactive if number == 406 else DeliveryFailed
    assert [type(one) for one in outcomes] == [Confirmation, Confirmation, refused, Confirmation]
    assert str(outcomes[2]) == f"Postmark answered 422: Refused. (ErrorCode {number})"
    assert outcomes[2].code == f"422/{number}"
    assert postmark.labels == ["message-0", "message-1", "message-3"]


@pytest.mark.parametrize("number", [10, 400, 401, 405, 412, 413, 422, 1235, 1236, 1480])
@pytest.mark.gen_test
async def test_an_item_that_an_operator_must_mend_waits_and_shuts_out_all_only_if_all_are_alike(
    deliver: Deliver, postmark: FakePostmark, number: int
) -> None:
    postmark.faults[BAD] = error(number, "Not allowed.")
    beside = await deliver(batch(3, 1))
    assert [type(one) for one in beside] == [Confirmation, DeliveryDeferred, Confirmation]
    assert (beside[1].counted, beside[1].opens_breaker) == (False, False)
    alike = await deliver(batch(3, 0, 1, 2))
    for one in alike:
        assert type(one) is DeliveryDeferred
        assert (one.counted, one.opens_breaker) == (False, True)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(100, DeliveryDeferred), (429, DeliveryDeferred), (101, DeliveryInDoubt)],
)
@pytest.mark.gen_test
async def test_an_item_that_speaks_of_postmarks_own_state_is_judged_by_its_number(
    deliver: Deliver, postmark: FakePostmark, number: int, outcome: type
) -> None:
    postmark.faults[BAD] = error(number, "Not now.")
    outcomes = await deliver(batch(3, 1))
    assert [type(one) for one in outcomes] == [Confirmation, outcome, Confirmation]
    assert getattr(outcomes[1], "counted", True)
    assert getattr(outcomes[1], "opens_breaker", True)


@pytest.mark.gen_test
async def test_an_item_names_the_recipients_that_are_left_out(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    words = "Message OK, but will not deliver to these inactive addresses: b@example.gov. Inactive"
    postmark.answers = [Taken((200, [OK, OK | {"Message": words}]))]
    outcomes = await deliver(batch(2))
    assert [one.dropped for one in outcomes] == [(), ("b@example.gov",)]


@pytest.mark.parametrize(
    "item",
    [
        None,
        "OK",
        7,
        [],
        {},
        {"ErrorCode": 0, "Message": "OK"},
        OK | {"MessageID": None},
        OK | {"MessageID": ""},
        OK | {"MessageID": 7},
        OK | {"MessageID": "00000000-0000-0000-0000-000000000000"},
        OK | {"ErrorCode": "0"},
        OK | {"ErrorCode": True},
        OK | {"ErrorCode": 406},
        {"ErrorCode": "300", "Message": "No."},
        {"ErrorCode": -1, "Message": "No."},
    ],
)
@pytest.mark.gen_test
async def test_an_item_that_does_not_say_it_clearly_is_in_doubt_and_its_neighbours_are_not(
    deliver: Deliver, postmark: FakePostmark, item: Any
) -> None:
    postmark.answers = [Taken((200, [OK, item, error(300, "No.")]))]
    outcomes = await deliver(batch(3))
    assert [type(one) for one in outcomes] == [Confirmation, DeliveryInDoubt, DeliveryFailed]
    assert paths(postmark) == ["/email/batch"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[",
        b"<html>It works</html>",
        b"null",
        b"\xff",
        pytest.param(b"[" * 100_000, id="deep"),
        OK,
        [],
        [OK, OK],
        [OK, OK, OK, OK],
    ],
)
@pytest.mark.gen_test
async def test_an_answer_that_is_not_one_for_each_leaves_all_in_doubt(
    deliver: Deliver, postmark: FakePostmark, answer: Any
) -> None:
    postmark.answers = [Taken((200, answer))]
    outcomes = await deliver(batch(3))
    assert [type(one) for one in outcomes] == [DeliveryInDoubt] * 3
    assert paths(postmark) == ["/email/batch"]


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        ((401, error(10, "Request does not contain a valid Server token.")), False),
        ((422, error(405, "Not allowed to send.")), False),
        ((422, error(413, "This account is not approved to send email.")), False),
        ((422, error(422, "Invalid Server or Account.")), False),
        ((422, error(1480, "This address is not allowed.")), False),
        ((404, b"<html>"), False),
        ((302, b""), False),
        ((429, b"", {"Retry-After": "17"}), True),
        ((503, error(100, "Maintenance."), {"Retry-After": "17"}), True),
    ],
)
@pytest.mark.gen_test
async def test_a_provider_that_takes_nothing_is_asked_once_and_all_wait(
    deliver: Deliver, postmark: FakePostmark, answer: tuple[Any, ...], counted: bool
) -> None:
    postmark.answers = [answer]
    outcomes = await deliver(batch(502))
    assert len(postmark.calls) == 1
    assert postmark.accepted == []
    assert {type(one) for one in outcomes} == {DeliveryDeferred}
    assert all(one.opens_breaker for one in outcomes)
    assert [one.counted for one in outcomes] == [counted] * 500 + [False] * 2
    asked = 17.0 if len(answer) == 3 else None
    assert {one.retry_after for one in outcomes} == {asked}


@pytest.mark.parametrize(
    "answer",
    ["reset", (500, error(101, "Error ID 1")), (502, b"<html>"), (504, b""), (201, [OK])],
)
@pytest.mark.gen_test
async def test_a_lost_answer_leaves_its_call_in_doubt_and_no_further_one_is_begun(
    deliver: Deliver, postmark: FakePostmark, answer: Any
) -> None:
    postmark.answers = [Taken(answer)]
    outcomes = await deliver(batch(502))
    assert [type(one) for one in outcomes] == [DeliveryInDoubt] * 500 + [DeliveryDeferred] * 2
    assert [(one.counted, one.opens_breaker) for one in outcomes[500:]] == [(False, False)] * 2
    assert len(postmark.calls) == 1
    assert len(postmark.accepted) == 500


@pytest.mark.gen_test
async def test_all_calls_share_one_deadline_and_what_was_not_begun_waits(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    postmark.answers = ["hang"]
    started = time.monotonic()
    outcomes = await deliver(batch(1001), deadline=1)
    assert time.monotonic() - started < 3
    assert [type(one) for one in outcomes] == [DeliveryInDoubt] * 500 + [DeliveryDeferred] * 501
    assert not any(one.counted or one.opens_breaker for one in outcomes[500:])
    assert len(postmark.calls) == 1


@pytest.mark.parametrize("count", [2, 3, 16, 37])
@pytest.mark.parametrize(
    "refusal",
    [
        (413, b""),
        (422, error(300, "Invalid content.")),
        (422, error(402, "Invalid JSON.")),
        (422, error(403, "Invalid request field(s): 'From'.")),
        (422, error(410, "Too many.")),
        (422, b""),
    ],
)
@pytest.mark.gen_test
async def test_a_call_refused_as_a_whole_is_halved_until_the_bad_message_stands_alone(
    deliver: Deliver, postmark: FakePostmark, refusal: tuple[int, Any], count: int
) -> None:
    postmark.poison[BAD] = refusal
    bad = count // 2
    outcomes = await deliver(batch(count, bad))
    assert type(outcomes.pop(bad)) is DeliveryFailed
    assert all(isinstance(one, Confirmation) for one in outcomes)
    others = [f"message-{n}" for n in range(count) if n != bad]
    assert postmark.labels == others
    assert len(postmark.calls) <= 1 + 2 * count.bit_length()
    refused = [call["path"] for call in postmark.calls if BAD in str(call["body"])]
    assert refused[0] == "/email/batch"
    assert refused[-1] == "/email"


@pytest.mark.parametrize("number", [400, 401, 412, 1235, 1236])
@pytest.mark.gen_test
async def test_a_call_refused_for_one_sender_or_stream_is_halved_and_only_that_one_waits(
    deliver: Deliver, postmark: FakePostmark, number: int
) -> None:
    postmark.poison[BAD] = (422, error(number, "Not here."))
    outcomes = await deliver(batch(9, 0, 5))
    waiting = [place for place, one in enumerate(outcomes) if type(one) is DeliveryDeferred]
    assert waiting == [0, 5]
    assert not any(outcomes[place].counted for place in waiting)
    assert postmark.labels == [f"message-{n}" for n in (1, 2, 3, 4, 6, 7, 8)]


@pytest.mark.gen_test
async def test_a_call_full_of_bad_messages_is_halved_for_so_many_calls_and_the_rest_waits(
    deliver: Deliver, postmark: FakePostmark
) -> None:
    postmark.poison[BAD] = (422, error(300, "No."))
    outcomes = await deliver(batch(300, *range(300)))
    assert len(postmark.calls) == 60
    kinds = [type(one) for one in outcomes]
    failed = kinds.count(DeliveryFailed)
    assert failed > 20
    assert kinds == [DeliveryFailed] * failed + [DeliveryDeferred] * (300 - failed)
    assert not any(one.counted or one.opens_breaker for one in outcomes[failed:])


@pytest.mark.parametrize(
    "broken",
    [
        message(1, template="welcome", model=freeze({"n": nan})),
        message(1, template="welcome", model=freeze({"n": object()})),
        message(1, text="\ud800"),
    ],
)
@pytest.mark.gen_test
async def test_a_message_that_no_json_can_be_made_of_is_our_fault_and_its_neighbours_are_sent(
    deliver: Deliver, postmark: FakePostmark, broken: Message
) -> None:
    outcomes = await deliver([message(0), broken, message(2)])
    assert [type(one) for one in outcomes] == [Confirmation, MessageBroken, Confirmation]
    assert postmark.labels == ["message-0", "message-2"]


@pytest.mark.gen_test
async def test_no_message_is_no_call(deliver: Deliver, postmark: FakePostmark) -> None:
    assert await deliver([]) == []
    assert postmark.calls == []
