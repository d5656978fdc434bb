"""What a session post may choose: few recipients, nobody's name, and no other writer's answers."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import APPLICATION_KEY, PAGE_KEY
from tests.support.stored import by

NewToken = Callable[[], Awaitable[int]]

WRITER = "resident@example.com"
HELPDESK = "IT Helpdesk <it@example.gov>"


@pytest.fixture
def settings_toml() -> str:
    """The shared settings, and a server that lets pages write as its own people."""
    return (
        SETTINGS.replace('servers = ["contactform"]', 'servers = ["contactform", "desk"]')
        + """
[servers.desk]
plugins = ["bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Desk <desk@example.gov>"
senders = ["@example.gov"]
recipients = ["@example.gov"]
"""
    )


def desks(count: int) -> str:
    return ", ".join(f"desk{number}@example.gov" for number in range(count))


async def session_post(
    post: Post, new_token: NewToken, server: str, key: str | None = PAGE_KEY, **fields: Any
) -> Any:
    content = {**FORM, "token_session": await new_token(), **fields}
    return await post(f"/rest/email_session/{server}", content=content, key=key)


MANY: list[dict[str, Any]] = [
    {"to_address": desks(6)},
    {"to_address": desks(50)},
    {"cc": desks(5)},
    {"bcc": desks(5)},
    {"to_address": desks(2), "cc": desks(2), "bcc": desks(2)},
    {"to_address": ", ".join(["desk@example.gov"] * 6)},
]


@pytest.mark.gen_test
@pytest.mark.parametrize("key", [PAGE_KEY, APPLICATION_KEY])
async def test_a_session_post_has_five_recipients_at_most(
    post: Post, new_token: NewToken, outbox: Outbox, key: str
) -> None:
    for fields in MANY:
        reply = await session_post(post, new_token, "contactform", key, **fields)
        assert reply.status == 400, fields
        assert "1 to 5 recipients, cc and bcc included" in reply.words
    assert outbox.rows() == []
    fields = {"to_address": desks(3), "cc": desks(1), "bcc": "desk9@example.gov"}
    assert (await session_post(post, new_token, "contactform", key, **fields)).status == 200


ANSWERED: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({"reply_to": "other@example.org"}, [[WRITER, "A Resident"]]),
    ({"reply_to": ", ".join(f"r{n}@example.org" for n in range(50))}, [[WRITER, "A Resident"]]),
    ({"reply_to": f"Mayor <{WRITER}>"}, [[WRITER, "A Resident"]]),
    ({"reply_to": "a@example.gov", "name": ""}, [[WRITER, ""]]),
    ({"from_address": f"Jane <{WRITER}>", "name": ""}, [[WRITER, "Jane"]]),
    ({"name": "Ja\u202ene\u200b "}, [[WRITER, "Jane"]]),
    ({"name": "IT <it@example.gov>"}, [[WRITER, "IT <it@example.gov>"]]),
]


@pytest.mark.gen_test
async def test_a_session_post_is_answered_to_its_writer_alone(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    for fields, expected in ANSWERED:
        assert (await session_post(post, new_token, "contactform", **fields)).status == 200
        assert outbox.last()["document"]["reply_to"] == expected, fields


NAMED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("contactform", {"sender": HELPDESK}, ["contactform@example.gov", "Contact form"]),
    ("contactform", {"sender": "City Hall"}, ["contactform@example.gov", "Contact form"]),
    ("desk", {"sender": HELPDESK}, ["desk@example.gov", "Desk"]),
    ("desk", {"from_address": "IT Helpdesk <it@example.gov>"}, ["it@example.gov", "Desk"]),
    ("desk", {"from_address": "it@example.gov", "sender": "IT"}, ["it@example.gov", "Desk"]),
    ("desk", {"from_address": '"Mayor" <x@example.com>'}, ["desk@example.gov", "Desk"]),
]


@pytest.mark.gen_test
async def test_the_name_in_from_is_the_settings_own_unless_the_key_is_secret(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    for server, fields, expected in NAMED:
        assert (await session_post(post, new_token, server, **fields)).status == 200
        assert outbox.last()["document"]["sender"] == expected, fields
    await session_post(post, new_token, "contactform", APPLICATION_KEY, sender="City Hall")
    assert outbox.last()["document"]["sender"] == ["contactform@example.gov", "City Hall"]


@pytest.mark.gen_test
async def test_recipients_of_a_session_post_have_no_names(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    names = {
        "to_address": '"Pay now, or else" <desk@example.gov>, Desk <desk@example.org>',
        "cc": '"x@evil.example" <desk2@example.gov>',
        "bcc": "B <desk3@example.gov>",
    }
    assert (await session_post(post, new_token, "contactform", **names)).status == 200
    document = outbox.last()["document"]
    shown = [one for field in ("to", "cc", "bcc") for one in document[field]]
    assert [name for _, name in shown] == [""] * 4


@pytest.mark.gen_test
async def test_a_secret_key_outside_sessions_chooses_as_before(post: Post, outbox: Outbox) -> None:
    chosen = {
        "to_address": ", ".join(f"Desk {n} <desk{n}@example.gov>" for n in range(50)),
        "reply_to": "a@example.org, B <b@example.org>",
        "sender": "City Hall",
    }
    assert (await post("/rest/email/contactform", content={**FORM, **chosen})).status == 200
    document = outbox.last()["document"]
    assert document["to"][7] == ["desk7@example.gov", "Desk 7"]
    assert document["reply_to"] == [["a@example.org", ""], ["b@example.org", "B"]]
    assert document["sender"] == ["contactform@example.gov", "City Hall"]


@pytest.mark.gen_test
async def test_what_was_screened_of_a_session_is_released_with_the_same_choices(
    post: Post, new_token: NewToken, outbox: Outbox, site: Site
) -> None:
    fields = {"contact": "robot", "sender": "City Hall", "reply_to": "a@example.org"}
    names = {PAGE_KEY: "Contact form", APPLICATION_KEY: "City Hall"}
    for key, name in names.items():
        reply = await session_post(post, new_token, "contactform", key, **fields)
        id = reply.headers["X-Relay-Message-Id"]
        assert await site.acceptance.release(id, 1_800_000_000, by("somebody"))
        [document] = [row["document"] for row in outbox.rows() if row["id"] == id]
        assert document["sender"] == ["contactform@example.gov", name]
        assert document["reply_to"] == [[WRITER, "A Resident"]]
