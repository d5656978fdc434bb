"""Looking up at Postmark whether it took a message whose answer was lost."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.core.addresses import Address
from relay.core.errors import DeliveryDeferred, DeliveryInDoubt
from relay.core.immutable import freeze
from relay.core.message import ABSENT, Confirmation, Message
from relay.hooks.chain import Chain
from tests.support.fake_postmark import FakePostmark, Taken, error

BuildChain = Callable[..., Chain]
Find = Callable[..., Awaitable[Any]]

ID = "0a129aee-e1cd-780d-b08d-4f48548ff48d"
MESSAGE = Message(
    sender=Address("registry@example.gov"),
    to=(Address("a@example.gov"),),
    subject="Hi",
    text="Hello.",
    metadata=freeze({"Order": "17", "relay-01234567": ID}),
    id=ID,
)
FOUND = {"MessageID": "at-postmark", "Status": "Sent", "Metadata": {"relay-01234567": ID}}


def through(chain: BuildChain, url: str, **keys: Any) -> Chain:
    return chain(
        plugins=["contactform", "postmark"],
        postmark_token={"env": "POSTMARK_TOKEN"},
        postmark_url=url,
        **keys,
    )


@pytest.fixture
def lose(chain: BuildChain, postmark: FakePostmark) -> Callable[..., Awaitable[None]]:
    """Send a message whose answer is lost, though it was taken."""

    async def lose_answer(message: Message = MESSAGE, **keys: Any) -> None:
        postmark.answers = [Taken("reset")]
        built = through(chain, postmark.url, **keys)
        [outcome] = await asyncio.to_thread(built.deliver, [message])
        assert type(outcome) is DeliveryInDoubt

    return lose_answer


@pytest.fixture
def find(chain: BuildChain, postmark: FakePostmark) -> Find:
    """Look a message up, in a thread as the host does."""

    async def look_up(message: Message = MESSAGE, **keys: Any) -> Any:
        built = through(chain, postmark.url, **keys)
        assert built.can_find("postmark")
        return await asyncio.to_thread(built.find, message, "postmark")

    return look_up


@pytest.mark.gen_test
async def test_a_message_that_was_taken_is_found_by_our_own_id(
    lose: Any, find: Find, postmark: FakePostmark
) -> None:
    await lose(replace(MESSAGE, id="other", metadata=freeze({"relay-01234567": "other"})))
    await lose()
    found = await find()
    assert found == Confirmation(postmark.accepted[1].id, words="found at Postmark: Sent")
    assert postmark.searches == [{"count": "1", "offset": "0", "metadata_relay-01234567": ID}]
    assert len(postmark.calls) == 2


@pytest.mark.gen_test
async def test_a_message_that_was_never_taken_is_absent(find: Find, postmark: FakePostmark) -> None:
    assert await find() is ABSENT
    assert len(postmark.searches) == 1
    assert postmark.calls == []


@pytest.mark.gen_test
async def test_a_message_that_went_twice_is_found_and_the_words_say_so(
    lose: Any, find: Find, postmark: FakePostmark
) -> None:
    await lose()
    await lose()
    found = await find()
    assert found.provider_id == postmark.accepted[0].id
    assert found.words == "found at Postmark 2 times: Sent"


@pytest.mark.gen_test
async def test_what_the_index_does_not_show_yet_is_absent_until_it_does(
    lose: Any, find: Find, postmark: FakePostmark
) -> None:
    now = 1000.0
    postmark.clock = lambda: now
    postmark.lag_searches, postmark.lag_seconds = 1, 60
    await lose()
    now = 1100
    assert await find() is ABSENT
    now = 1059
    assert await find() is ABSENT
    now = 1060
    assert isinstance(await find(), Confirmation)


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize(
    ("message", "keys"),
    [
        (replace(MESSAGE, stream="broadcast"), {}),
        (MESSAGE, {"message_stream": "broadcast"}),
    ],
)
@pytest.mark.gen_test
async def test_a_message_of_another_stream_is_found_where_a_search_shows_one_stream_only(
    lose: Any,
    find: Find,
    postmark: FakePostmark,
    only: bool,
    message: Message,
    keys: dict[str, Any],
) -> None:
    postmark.default_stream_only = only
    assert await find(message, **keys) is ABSENT
    streams = [query.get("messagestream") for query in postmark.searches]
    assert streams == [None, "broadcast"]
    await lose(message, **keys)
    assert await find(message, **keys) == Confirmation(
        postmark.accepted[0].id, words="found at Postmark: Sent"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"Order": "17"},
        {"Order": ID},
        {"relay-89abcdef": "another relay's id"},
    ],
)
@pytest.mark.gen_test
async def test_a_message_without_our_id_cannot_be_looked_up(
    find: Find, postmark: FakePostmark, metadata: dict[str, str]
) -> None:
    assert await find(replace(MESSAGE, metadata=freeze(metadata))) is None
    assert postmark.searches == []


@pytest.mark.gen_test
async def test_a_message_that_came_through_another_relay_is_found_by_our_id(
    find: Find, postmark: FakePostmark
) -> None:
    labels = {"relay-89abcdef": "another relay's id", "relay-01234567": ID}
    assert await find(replace(MESSAGE, metadata=freeze(labels))) is ABSENT
    assert postmark.searches[0]["metadata_relay-01234567"] == ID


@pytest.mark.parametrize("status", ["Queued", "Sent", "Processed", "Blocked", "Failed", None])
@pytest.mark.gen_test
async def test_a_found_message_was_taken_whatever_its_status(
    find: Find, postmark: FakePostmark, status: str | None
) -> None:
    answer = {"TotalCount": 1, "Messages": [FOUND | {"Status": status}]}
    postmark.search_answers = [(200, answer)]
    found = await find()
    assert found == Confirmation("at-postmark", words=f"found at Postmark: {status}")


@pytest.mark.parametrize(
    ("answer", "provider_id"),
    [
        ({"TotalCount": "1", "Messages": [FOUND]}, "at-postmark"),
        ({"TotalCount": 1, "Messages": [FOUND | {"Metadata": None}]}, "at-postmark"),
        ({"TotalCount": "0", "Messages": []}, None),
        ({"TotalCount": 0}, None),
    ],
)
@pytest.mark.gen_test
async def test_a_clear_answer_may_be_written_in_more_than_one_way(
    find: Find, postmark: FakePostmark, answer: Any, provider_id: str | None
) -> None:
    postmark.search_answers = [(200, answer)]
    found = await find()
    assert found is ABSENT if provider_id is None else found.provider_id == provider_id


@pytest.mark.parametrize(
    "answer",
    [
        (401, error(10, "Request does not contain a valid Server token.")),
        (404, {"TotalCount": 0, "Messages": []}),
        (422, error(700, "'count' must be given.")),
        (422, error(701, "This message was not found.")),
        (429, b"", {"Retry-After": "9"}),
        (500, error(101, "Error ID 1")),
        (503, error(100, "Maintenance.")),
        (302, b"", {"Location": "/"}),
        (204, b""),
        (201, {"TotalCount": 0, "Messages": []}),
        (200, b""),
        (200, b"<html>"),
        (200, []),
        (200, error(0, "OK")),
        (200, {"Messages": []}),
        (200, {"TotalCount": None, "Messages": []}),
        (200, {"TotalCount": False, "Messages": []}),
        (200, {"TotalCount": "none", "Messages": []}),
        (200, {"TotalCount": -1, "Messages": []}),
        pytest.param((200, {"TotalCount": "9" * 5000, "Messages": []}), id="huge"),
        (200, {"TotalCount": 0, "Messages": [FOUND]}),
        (200, {"TotalCount": 0, "Messages": "x"}),
        (200, {"TotalCount": 1, "Messages": []}),
        (200, {"TotalCount": 1, "Messages": ["x"]}),
        (200, {"TotalCount": 1, "Messages": [FOUND | {"MessageID": ""}]}),
        (200, {"TotalCount": 90, "Messages": [FOUND | {"Metadata": {"relay-01234567": "x"}}]}),
        (200, {"TotalCount": 90, "Messages": [FOUND | {"Metadata": {}}]}),
        "reset",
        "hang",
        "drip",
    ],
)
@pytest.mark.gen_test
async def test_a_search_that_does_not_say_it_clearly_is_to_be_made_again(
    find: Find, postmark: FakePostmark, answer: Any
) -> None:
    postmark.search_answers = [answer]
    with pytest.raises(DeliveryDeferred) as raised:
        await find(deadline=1)
    assert type(raised.value) is DeliveryDeferred
    assert len(postmark.searches) == 1
    assert raised.value.retry_after == (9 if answer[0] == 429 else None)


def test_a_provider_that_does_not_listen_cannot_be_asked_now(chain: BuildChain) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        built = through(chain, url)
        with pytest.raises(DeliveryDeferred, match="no connection"):
            built.find(MESSAGE, "postmark")
