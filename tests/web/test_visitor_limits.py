"""What visitors may have stored, and what they may make: bytes, tokens, networks of addresses."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.core.byte_limit import ByteLimiter
from relay.core.errors import ServerDayUsed, TooManyRequests
from relay.core.rate_limit import Caller, RateLimiter
from relay.site import Site
from relay.store.alerts import AlertKey
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import APPLICATION_KEY, PAGE_KEY
from tests.web.test_client_address import Clock, taken

NewToken = Callable[[], Awaitable[int]]

VISITOR = {"X-Forwarded-For": "203.0.113.7"}
OTHER = {"X-Forwarded-For": "203.0.113.8"}


@pytest.fixture
def settings_toml() -> str:
    return (
        '[relay]\ntrusted_proxies = ["127.0.0.1"]\n[relay.limits]\n'
        "address_bytes_per_hour = 30000\nserver_bytes_per_day = 50000\nmax_unspent_tokens = 30\n"
        + SETTINGS.replace('servers = ["contactform"]', 'servers = ["contactform", "second"]')
        + """
[servers.second]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Second <second@example.gov>"
recipients = ["@example.gov"]
"""
    )


async def visit(
    post: Post, new_token: NewToken, headers: dict[str, str], server: str = "contactform"
) -> Any:
    content = {**FORM, "token_session": await new_token(), "message": "x" * 9000}
    path = f"/rest/email_session/{server}"
    return await post(path, content=content, key=PAGE_KEY, headers=headers)


@pytest.mark.gen_test
async def test_an_address_has_so_many_bytes_an_hour_and_others_go_on(
    post: Post, new_token: NewToken, outbox: Outbox
) -> None:
    statuses = [(await visit(post, new_token, VISITOR)).status for _ in range(3)]
    refused = await visit(post, new_token, VISITOR)
    assert (statuses, refused.status) == ([200, 200, 200], 429)
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    assert refused.words == "too many bytes from your address in an hour: try again later"
    assert len(outbox.rows()) == 3
    assert (await visit(post, new_token, OTHER)).status == 200


@pytest.mark.gen_test
async def test_a_servers_day_is_used_up_with_an_alert_and_other_servers_go_on(
    post: Post, new_token: NewToken, outbox: Outbox, site: Site
) -> None:
    for number in range(5):
        visitor = {"X-Forwarded-For": f"198.51.100.{number}"}
        assert (await visit(post, new_token, visitor)).status == 200
    refused = await visit(post, new_token, VISITOR)
    assert refused.status == 429
    assert 86_390 <= int(refused.headers["Retry-After"]) <= 86_400
    assert "as much as it may in a day" in refused.words
    assert len(outbox.rows()) == 5
    assert site.event_counts.take()[AlertKey("day_used", "contactform")].count == 1
    assert (await visit(post, new_token, VISITOR, "second")).status == 200
    own = await post("/rest/email/contactform", content=FORM, key=APPLICATION_KEY)
    assert own.status == 200


@pytest.mark.gen_test
async def test_a_reload_begins_no_new_day(post: Post, new_token: NewToken, site: Site) -> None:
    for number in range(5):
        await visit(post, new_token, {"X-Forwarded-For": f"198.51.100.{number}"})
    site.reload(site.settings)
    assert (await visit(post, new_token, VISITOR)).status == 429


@pytest.mark.gen_test
async def test_what_is_not_stored_does_not_count(post: Post, new_token: NewToken) -> None:
    content = json.dumps({**FORM, "token_session": 1, "message": "x" * 9000})
    for _ in range(8):
        refused = await post(
            "/rest/email_session/contactform",
            body=content.encode(),
            media="application/json",
            key=PAGE_KEY,
            headers=VISITOR,
        )
        assert refused.status == 403
    assert (await visit(post, new_token, VISITOR)).status == 200


@pytest.mark.gen_test
async def test_unspent_tokens_have_a_limit_except_for_secret_keys(post: Post, site: Site) -> None:
    answers = [await post("/rest/email_token/create", key=None) for _ in range(31)]
    assert [one.status for one in answers] == [200] * 30 + [429]
    assert answers[-1].headers["Retry-After"] == "10"
    assert "too many session tokens" in answers[-1].words
    assert (await post("/rest/token/create", key=PAGE_KEY)).status == 429
    assert (await post("/rest/email_token/create", key=APPLICATION_KEY)).status == 200
    limits = replace(site.settings.limits, max_unspent_tokens=0)
    settings = replace(site.settings, limits=limits)
    site.configuration = replace(site.configuration, settings=settings)
    assert (await post("/rest/email_token/create", key=None)).status == 200


@pytest.mark.gen_test
async def test_spent_tokens_make_room_for_others(site: Site) -> None:
    [first, *_] = [await site.tokens.make(1000.0, 60, 3) for _ in range(3)]
    with pytest.raises(TooManyRequests):
        await site.tokens.make(1001.0, 60, 3)
    await site.tokens.remove(first, 1002.0)
    await site.tokens.make(1011.0, 60, 3)
    with pytest.raises(TooManyRequests):
        await site.tokens.make(1012.0, 60, 3)
    await site.tokens.make(1075.0, 60, 3)  # the others have expired


def test_bytes_count_until_the_window_ends() -> None:
    clock = Clock()
    limiter = ByteLimiter(clock)
    visitor, here = Caller("203.0.113.7", local=False), Caller("127.0.0.1", local=True)
    limiter.add(visitor, "a", 60)
    clock.now += 1000
    with pytest.raises(TooManyRequests) as raised:
        limiter.check(visitor, "a", 41, 100, 1000)
    assert raised.value.retry_after == 2600
    limiter.check(visitor, "a", 40, 100, 1000)
    limiter.check(visitor, "a", 41, 0, 1000)
    limiter.check(here, "a", 41, 100, 1000)
    with pytest.raises(ServerDayUsed) as raised:
        limiter.check(here, "a", 41, 100, 100)
    assert raised.value.retry_after == 85_400
    limiter.check(here, "b", 100, 100, 100)
    clock.now += 2600
    limiter.check(visitor, "a", 100, 100, 1000)
    limiter.add(visitor, "a", -60)
    limiter.check(visitor, "a", 100, 100, 100)


@pytest.mark.parametrize(
    ("form", "count", "expected"),
    [
        ("2001:db8:0:0:{:x}::1", 100, 10),  # one network of 64 bits
        ("2001:db8:0:{:x}::1", 200, 40),  # one of 56
        ("2001:db8:0:{:x}00::1", 200, 160),  # one of 48
        ("2001:db8:{:x}::1", 200, 200),  # many of 48
        ("2001:db8:0:0:{:x}::1%eth0", 100, 10),
        ("fe80::{:x}", 50, 10),
        ("203.0.113.{}", 200, 200),
    ],
)
def test_an_ipv6_network_has_no_bucket_for_each_part_of_it(
    form: str, count: int, expected: int
) -> None:
    limiter = RateLimiter(10, Clock())
    passed = sum(taken(limiter, form.format(number), 1) for number in range(count))
    assert passed == expected
