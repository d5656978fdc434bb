"""Session tokens: made, removed, expired, limited."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.config.settings import Settings
from relay.site import Site
from relay.store import tokens
from relay.store.maintenance import housekeeping
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import APPLICATION_KEY, PAGE_KEY

NewToken = Callable[[], Awaitable[int]]

# What a trusted proxy would say: the caller is not on this machine.
FROM_OUTSIDE = {"X-Forwarded-For": "203.0.113.7"}


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/rest/email_token/create", "/rest/token/create"])
async def test_a_token_is_an_integer_that_a_javascript_double_holds(post: Post, path: str) -> None:
    made = [(await post(path, key=None)).json for _ in range(20)]
    values = [reply["token_session"] for reply in made]
    assert all(isinstance(value, int) and int(float(value)) == value for value in values)
    assert all(2**52 <= value < 2**53 for value in values)
    assert len(set(values)) == 20
    assert made[0].keys() == {"token_session"}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "body",
    [
        {"form": {}},
        {"form": {"anything": "x"}},
        {"content": {}},
        {"body": b"", "media": "application/json"},
    ],
)
async def test_a_token_is_made_whatever_the_post_says(post: Post, body: dict[str, Any]) -> None:
    assert (await post("/rest/email_token/create", key=None, **body)).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/rest/email_token/remove", "/rest/token/remove"])
@pytest.mark.parametrize("field", ["token_session", "data", "email[token_session]"])
async def test_a_removed_token_is_gone(
    post: Post, outbox: Outbox, new_token: NewToken, path: str, field: str
) -> None:
    token = await new_token()
    assert (await post(path, {field: token}, key=None)).json == {"token_session": "removed"}
    assert (await post(path, {field: token}, key=None)).json == {"token_session": "not found"}
    form = {**FORM, "token_session": token}
    reply = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (reply.status, reply.words) == (403, "invalid token")
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "token", ["1", "x", "4503599627370496", "٤٥٠٣٥٩٩٦٢٧٣٧٠٤٩٦", True, [1], None]
)
async def test_a_token_that_is_none_is_not_found(post: Post, token: Any) -> None:
    reply = await post("/rest/email_token/remove", content={"token_session": token}, key=None)
    assert (reply.status, reply.json) == (200, {"token_session": "not found"})


@pytest.mark.gen_test
async def test_a_spent_token_is_not_found(post: Post, new_token: NewToken) -> None:
    token = await new_token()
    await post("/rest/email_session/contactform", {**FORM, "token_session": token}, key=PAGE_KEY)
    reply = await post("/rest/email_token/remove", {"token_session": token}, key=None)
    assert reply.json == {"token_session": "not found"}


@pytest.mark.gen_test
async def test_a_token_may_come_as_an_integer(post: Post, new_token: NewToken) -> None:
    content = {"email": {**FORM, "token_session": await new_token()}}
    reply = await post("/rest/email_session/contactform", content=content, key=PAGE_KEY)
    assert reply.status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize("notation", ["{}.0", "+{}", "{:,}", "{:x}", " \t{}", "0{}"])
async def test_a_token_in_any_other_notation_is_refused(
    post: Post, outbox: Outbox, new_token: NewToken, notation: str
) -> None:
    content = {**FORM, "token_session": notation.format(await new_token())}
    reply = await post("/rest/email_session/contactform", content=content, key=PAGE_KEY)
    assert reply.status == 403
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_an_expired_token_is_refused_and_says_so_in_the_log(
    site: Site, post: Post, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    token = 2**52 + 7
    digest = site.tokens.digest(token)
    await site.store.write(tokens.create, tokens.NewToken(digest, time.time() - 1))
    form = {**FORM, "token_session": token}
    reply = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (reply.status, reply.words) == (403, "invalid token")
    assert events[-1]["reason"] == "token_expired"
    removed = await post("/rest/email_token/remove", {"token_session": token}, key=None)
    assert removed.json == {"token_session": "not found"}
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_tokens_live_as_long_as_the_settings_say(site: Site, new_token: NewToken) -> None:
    digest = site.tokens.digest(await new_token())
    await site.store.read(tokens.check, digest, time.time() + 3590)
    with pytest.raises(Exception, match="invalid token"):
        await site.store.read(tokens.check, digest, time.time() + 3601)


@pytest.mark.gen_test
async def test_tokens_that_expired_long_ago_are_forgotten(site: Site, outbox: Outbox) -> None:
    await site.store.write(tokens.create, tokens.NewToken(b"old", time.time() - 25 * 3600))
    await site.store.write(tokens.create, tokens.NewToken(b"new", time.time() - 23 * 3600))
    await housekeeping.forget(site.store)
    assert outbox.unspent_tokens() == 1


@pytest.mark.gen_test
async def test_tokens_are_stored_only_as_keyed_digests(
    settings: Settings, post: Post, new_token: NewToken
) -> None:
    token = await new_token()
    await post("/rest/email_session/contactform", {**FORM, "token_session": token}, key=PAGE_KEY)
    files = [file for file in settings.data.iterdir() if file.is_file()]
    assert any(b"desk@example.gov" in file.read_bytes() for file in files)
    assert not any(str(token).encode() in file.read_bytes() for file in files)


class TestLimits:
    """How often an address may ask for tokens, and post."""

    @pytest.fixture
    def settings_toml(self) -> str:
        limits = "[relay.limits]\ntokens_per_minute = 3\nposts_per_minute = 2\n"
        return '[relay]\ntrusted_proxies = ["127.0.0.1", "::1"]\n' + limits + SETTINGS

    @pytest.mark.gen_test
    async def test_too_many_tokens_for_one_address_are_429(self, post: Post) -> None:
        path = "/rest/email_token/create"
        replies = [await post(path, key=None, headers=FROM_OUTSIDE) for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert replies[-1].json == {"status": "error", "response": "too many requests"}
        assert 1 <= int(replies[-1].headers["Retry-After"]) <= 60
        other = await post(path, key=None, headers={"X-Forwarded-For": "203.0.113.8"})
        assert other.status == 200

    @pytest.mark.gen_test
    async def test_a_secret_key_has_no_limit_of_tokens_and_a_publishable_has(
        self, post: Post
    ) -> None:
        path = "/rest/email_token/create"
        secret = [await post(path, key=APPLICATION_KEY, headers=FROM_OUTSIDE) for _ in range(6)]
        assert {reply.status for reply in secret} == {200}
        page = [await post(path, key=PAGE_KEY, headers=FROM_OUTSIDE) for _ in range(4)]
        assert page[-1].status == 429

    @pytest.mark.gen_test
    async def test_too_many_posts_of_one_address_are_429_and_store_nothing(
        self, post: Post, outbox: Outbox
    ) -> None:
        replies = [await post("/rest/email/contactform", FORM, headers=FROM_OUTSIDE) for _ in "123"]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert len(outbox.rows()) == 2

    @pytest.mark.gen_test
    async def test_a_visitor_without_javascript_comes_back_from_a_limit_too(
        self, post: Post
    ) -> None:
        form = {**FORM, "return_to": "thanks"}
        replies = [await post("/emails", form, headers=FROM_OUTSIDE) for _ in "123"]
        assert [reply.status for reply in replies] == [303, 303, 303]
        assert replies[-1].headers["Location"].endswith("relay=error&relay_reason=too_many")

    @pytest.mark.gen_test
    async def test_an_unproxied_caller_on_this_machine_is_exempt(self, post: Post) -> None:
        replies = [await post("/rest/email_token/create", key=None) for _ in range(6)]
        assert {reply.status for reply in replies} == {200}


class TestKeyRequired:
    """`[tokens] key = "required"`."""

    @pytest.fixture
    def settings_toml(self) -> str:
        return '[tokens]\nkey = "required"\n' + SETTINGS

    @pytest.mark.gen_test
    @pytest.mark.parametrize("action", ["create", "remove"])
    async def test_making_and_removing_tokens_needs_a_key(
        self, post: Post, outbox: Outbox, action: str
    ) -> None:
        path = f"/rest/email_token/{action}"
        for key in (None, "x" * 40):
            reply = await post(path, {"token_session": 1}, key=key)
            assert (reply.status, reply.words) == (401, "could not authenticate")
        assert outbox.unspent_tokens() == 0
        assert (await post(path, {"token_session": 1}, key=PAGE_KEY)).status == 200
