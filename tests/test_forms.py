"""Posting forms: what the contract promises, seen from outside."""

import pytest

from tests.conftest import FORM, Outbox, Post


@pytest.mark.gen_test
async def test_a_form_with_a_key_is_sent_and_stored(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/contactform", FORM)
    assert (reply.status, reply.json) == (200, {"status": "success", "response": "Message sent"})
    assert outbox.states() == ["sent"]
    assert outbox.last()["id"] == reply.headers["X-Relay-Message-Id"]
