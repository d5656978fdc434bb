"""Proofs of work: made for one form and one token, good for one message, over HTTP."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from altcha import Challenge, Payload, create_challenge, solve_challenge

from relay.config.settings import Settings
from relay.core.errors import ConfigurationError
from relay.hooks import loader
from relay.site import Site
from relay.store import proofs
from relay.store.maintenance import audit as audits
from tests.conftest import FORM, Outbox, Post
from tests.support.keys import APPLICATION_KEY, key

pytestmark = pytest.mark.slow

NewToken = Callable[[], Awaitable[int]]

SECRET = "what-challenges-are-signed-with-here"
SERVER = """
[servers.{name}]
plugins = ["bearer_token", "session_token", "honeypot", "altcha", "contactform", "{delivery}"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov"]
session_key = "optional"
origins = ["https://www.example.gov"]
return_to = {{ thanks = "https://www.example.gov/thanks" }}
altcha_key = {{ env = "ALTCHA_KEY" }}
altcha_cost = 100
"""
PLAIN = """
[servers.plain]
plugins = ["bearer_token", "contactform", "mailbox"]
sender = "Relay <relay@example.gov>"
"""
FAILED = (403, "verification failed")
SENT = (200, "Message sent")
PATH, SESSION = "/rest/email/contactform", "/rest/email_session/contactform"


@pytest.fixture
def environment() -> dict[str, str]:
    return {"APPLICATION_KEY": APPLICATION_KEY, "ALTCHA_KEY": SECRET}


@pytest.fixture
def settings_toml() -> str:
    servers = [SERVER.format(name=name, delivery="mailbox") for name in ("contactform", "other")]
    limits = "[relay.limits]\nposts_per_minute = 0\n"
    return limits + key("application", "*") + "".join(servers) + PLAIN


def solved(challenge: dict[str, Any]) -> str:
    made = Challenge.from_dict(challenge)
    solution = solve_challenge(made)
    assert solution is not None
    return Payload(made, solution).to_base64()


async def proof(post: Post, token: int | str = "", server: str = "contactform") -> str:
    query = f"?token_session={token}" if token else ""
    reply = await post(f"/rest/challenge/{server}{query}", method="GET", key=None)
    assert reply.status == 200
    return solved(reply.json)


def answered(reply: Any) -> tuple[int, str]:
    return reply.status, reply.words


@pytest.mark.gen_test
async def test_who_has_computed_is_taken_and_who_has_not_is_refused(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    assert answered(await post(PATH, FORM)) == FAILED
    assert answered(await post(PATH, {**FORM, "altcha": await proof(post)})) == SENT
    token = await new_token()
    form = {**FORM, "token_session": token}
    assert answered(await post(SESSION, form, key=None)) == FAILED
    form["altcha"] = await proof(post, token)
    assert answered(await post(SESSION, form, key=None)) == SENT
    assert outbox.states() == ["sent", "sent"]
    assert "altcha" not in json.dumps(outbox.last()["document"])
    assert json.loads(outbox.last()["origin"])["fields"]["altcha"] == "control"


@pytest.mark.gen_test
async def test_what_is_no_proof_is_refused_by_its_word(
    post: Post, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    good = await proof(post)
    payload = json.loads(base64.b64decode(good))

    def changed(where: str, name: str, value: Any) -> str:
        copy = json.loads(json.dumps(payload))
        (copy["challenge"]["parameters"] if where == "parameters" else copy[where])[name] = value
        return base64.b64encode(json.dumps(copy).encode()).decode()

    old = create_challenge(
        "PBKDF2/SHA-256",
        100,
        expires_at=int(time.time()) - 1,
        data=payload["challenge"]["parameters"]["data"],
        hmac_secret=SECRET,
    )
    others = create_challenge(
        "PBKDF2/SHA-256",
        100,
        expires_at=int(time.time()) + 600,
        data=payload["challenge"]["parameters"]["data"],
        hmac_secret="another-secret",
    )
    elsewhere = await proof(post, server="other")
    bound = await proof(post, token=4503599627370497)
    nested = base64.b64encode(b"[" * 9000).decode()
    table: list[tuple[Any, str]] = [
        ("", "no proof"),
        (["a"], "no proof"),
        ({"a": good}, "no proof"),
        (17, "no proof"),
        ("yes", "not solved"),
        ("\u00e4\u0000", "not solved"),
        (base64.b64encode(b"{}").decode(), "not solved"),
        (base64.b64encode(b'{"challenge": 1, "solution": []}').decode(), "not solved"),
        (nested, "not solved"),
        (changed("solution", "counter", payload["solution"]["counter"] + 1), "not solved"),
        (changed("solution", "counter", -1), "not solved"),
        (changed("solution", "counter", "1"), "not solved"),
        (changed("parameters", "cost", 1), "forged"),
        (changed("parameters", "keyPrefix", ""), "forged"),
        (changed("parameters", "expiresAt", int(time.time()) + 9999), "forged"),
        (changed("parameters", "data", {"server": "other", "for": ""}), "forged"),
        (changed("challenge", "signature", ""), "forged"),
        (changed("challenge", "signature", None), "forged"),
        (solved(others.to_dict()), "forged"),
        (solved(old.to_dict()), "expired"),
        (elsewhere, "for another form or token"),
        (bound, "for another form or token"),
    ]
    for given, word in table:
        reply = await post(PATH, content={**FORM, "altcha": given})
        assert answered(reply) == FAILED, given
        line = [one for one in events if one["event"] == "submission.refused"][-1]
        assert (line["reason"], line["detail"]) == ("not_verified", word), given
    assert outbox.rows() == []
    assert answered(await post(PATH, {**FORM, "altcha": good})) == SENT


@pytest.mark.gen_test
async def test_a_proof_is_for_the_token_it_was_made_for(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    token, other = await new_token(), await new_token()
    for_token, for_none = await proof(post, token), await proof(post)
    form = {**FORM, "altcha": for_token}
    for refused in (
        {**form, "token_session": other},
        {**form, "token_session": token, "altcha": for_none},
    ):
        assert answered(await post(SESSION, refused, key=None)) == FAILED
    assert answered(await post(PATH, form)) == FAILED
    assert outbox.unspent_tokens() == 2
    assert answered(await post(SESSION, {**form, "token_session": str(token)}, key=None)) == SENT


@pytest.mark.gen_test
async def test_one_proof_is_good_for_one_message(
    post: Post, site: Site, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    good = await proof(post)
    form = {**FORM, "altcha": good}
    replies = await asyncio.gather(*(post(PATH, {**form, "name": str(n)}) for n in range(6)))
    assert sorted(map(answered, replies)) == [SENT, *[FAILED] * 5]
    # Written in another way it is the same one.
    spaced = base64.b64encode(json.dumps(json.loads(base64.b64decode(good)), indent=1).encode())
    for again in (good, spaced.decode()):
        assert answered(await post(PATH, {**form, "altcha": again})) == FAILED
    assert len(outbox.rows()) == 1
    refused = [one["reason"] for one in events if one["event"] == "submission.refused"]
    assert refused == ["proof_used"] * 7
    assert site.store.read_now(audits.audit).faults == []
    assert await site.store.write(proofs.forget, time.time() + 3600) == 0
    assert await site.store.write(proofs.forget, time.time() + 2 * 86400) == 1


@pytest.mark.gen_test
async def test_what_is_not_stored_spends_neither_token_nor_proof(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    token = await new_token()
    good = await proof(post, token)
    form = {**FORM, "token_session": token, "altcha": good}
    for broken in ({"to_address": "a@elsewhere.example"}, {"from_address": "nobody"}):
        assert (await post(SESSION, {**form, **broken}, key=None)).status == 400
    assert outbox.unspent_tokens() == 1
    assert answered(await post(SESSION, form, key=None)) == SENT


@pytest.mark.gen_test
async def test_a_visitor_without_a_script_may_press_send_twice(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    token = await new_token()
    form = {**FORM, "token_session": token, "altcha": await proof(post, token)}
    replies = await asyncio.gather(
        *(post(SESSION, {**form, "return_to": "thanks"}, key=None) for _ in range(3))
    )
    said = {reply.headers["Location"].partition("?")[2] for reply in replies}
    assert said <= {"relay=sent", "relay=queued"}
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_a_challenge_is_for_the_servers_pages(post: Post) -> None:
    page = {"Origin": "https://www.example.gov"}
    reply = await post("/rest/challenge/ContactForm/", method="GET", key=None, headers=page)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == page["Origin"]
    assert reply.headers["Cache-Control"] == "no-store"
    other = {"Origin": "https://evil.example"}
    path = "/rest/challenge/contactform"
    assert answered(await post(path, method="GET", headers=other)) == (403, "origin not allowed")
    assert (await post("/rest/challenge/plain", method="GET")).status == 404
    assert answered(await post("/rest/challenge/none", method="GET")) == (404, "unknown server")
    assert (await post(path, content={})).status == 405
    assert (await post(f"{path}?token_session={'9' * 5000}", method="GET")).status == 200
    assert (await post(f"{path}?token_session=%ff", method="GET")).status in (200, 400)


@pytest.mark.gen_test
async def test_many_challenges_are_too_many(post: Post, site: Site) -> None:
    address = {"X-Forwarded-For": "192.0.2.7"}
    path = "/rest/challenge/contactform"
    replies = [await post(path, method="GET", headers=address) for _ in range(61)]
    assert [reply.status for reply in replies].count(200) == 60
    assert replies[-1].status == 429


def test_a_key_that_can_be_guessed_is_refused(
    load: Callable[[str], Settings], environment: dict[str, str], settings_toml: str
) -> None:
    environment["ALTCHA_KEY"] = "short"
    read = load(settings_toml)
    with pytest.raises(ConfigurationError, match="altcha_key: must have 32 characters and more"):
        loader.build(read, read.keys)
