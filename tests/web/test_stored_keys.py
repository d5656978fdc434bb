"""Keys that were made here, as callers bring them: let in at once, and at once no more."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.core import clock
from relay.intake.keys import DAY, AskedKey, making, revoking
from relay.site import Site
from relay.store import keys
from relay.store.acts import By
from tests.conftest import FORM, SETTINGS, Outbox, Post, Reply
from tests.support.keys import APPLICATION_KEY

BY = By("jo", "command")
FORMS = "/rest/email/default"
SESSION = "/rest/email_session/contactform"
OPEN = '\n[servers.open]\nplugins = ["bearer_token", "session_token", "default", "mailbox"]\n'

Make = Callable[..., Awaitable[str]]


@pytest.fixture
def settings_toml() -> str:
    """A server more, whose keys may mail anybody; and tokens are made for those with a key."""
    sender = 'sender = "a@example.gov"\n'
    return f'{SETTINGS}{OPEN}{sender}\n[tokens]\nkey = "required"\n'


@pytest.fixture
def make(site: Site) -> Make:
    async def make_key(kind: Any = "secret", *servers: str, **others: Any) -> str:
        asked = AskedKey("shop", kind, servers or ("default",), others.get("expires_at"))
        chains = others.get("chains", site.chains)
        key, order = making(asked, chains, site.configuration.keys.named_ids, BY)
        await site.keys.order(order)
        return key

    return make_key


async def revoke(site: Site) -> None:
    await site.keys.order(revoking("shop", site.configuration.keys.named_ids, BY))


def reasons(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["reason"], one.get("key", "")) for one in events if "reason" in one]


@pytest.mark.gen_test
async def test_a_key_opens_at_once_what_it_is_for_and_nothing_else(
    post: Post, make: Make, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    key = await make()
    assert (await post(FORMS, FORM, key=key)).status == 200
    assert outbox.last()["key"] == "shop"
    assert (await post("/rest/email/contactform", FORM, key=key)).status == 401
    assert (await post(FORMS, FORM, key=key[:-1])).status == 401
    assert (await post(FORMS, FORM)).status == 200  # the settings' go on
    assert reasons(events) == [("wrong_server", "shop"), ("unknown_key", "")]
    assert key not in str(events)


def bare(reply: Reply) -> tuple[int, bytes, list[str]]:
    """What a caller can tell answers by."""
    return reply.status, reply.body, sorted(reply.headers)


CALLS: list[tuple[str, str, tuple[str, ...]]] = [
    (FORMS, "secret", ("default",)),
    (SESSION, "publishable", ("contactform",)),
    ("/rest/email_token/create", "publishable", ("contactform",)),
    ("/rest/email_token/remove", "secret", ("*",)),
    ("/rest/email_cancel/default", "secret", ("default",)),
    ("/email", "secret", ("default",)),
    ("/templates", "account", ()),
]


async def called(post: Post, path: str, key: str) -> Reply:
    if path == "/email":
        content = {"From": "a@example.gov", "To": "b@example.gov", "TextBody": "x"}
        headers = {"X-Postmark-Server-Token": key}
        return await post(path, content=content, key=None, headers=headers)
    if path == "/templates":
        content = {"SourceServerID": 1, "DestinationServerID": 1, "PerformChanges": False}
        headers = {"X-Postmark-Account-Token": key}
        return await post(
            "/templates/push", content=content, key=None, headers=headers, method="PUT"
        )
    return await post(path, {**FORM, "id": "x"}, key=key)


@pytest.mark.parametrize(("path", "kind", "servers"), CALLS)
@pytest.mark.gen_test
async def test_a_key_revoked_a_second_ago_is_refused_as_an_unknown_one_and_named_in_the_log(
    site: Site,
    post: Post,
    make: Make,
    events: list[dict[str, Any]],
    path: str,
    kind: str,
    servers: tuple[str, ...],
) -> None:
    key = await make(kind, *servers)
    assert (await called(post, path, key)).status != 401
    await site.keys.note()
    [row] = await site.store.read(keys.listed)
    assert row.used_day == int(clock.now() // DAY)
    await revoke(site)
    events.clear()
    revoked = await called(post, path, key)
    assert revoked.status == 401
    assert bare(revoked) == bare(await called(post, path, "x" * len(key)))
    assert reasons(events) == [("key_revoked", "shop"), ("unknown_key", "")]
    assert key not in str(events)


@pytest.mark.gen_test
async def test_a_key_ends_on_its_day(
    post: Post, make: Make, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await make(expires_at=clock.now() + 600)
    assert (await post(FORMS, FORM, key=key)).status == 200
    monkeypatch.setattr(clock, "_ahead", 601.0)
    expired = await post(FORMS, FORM, key=key)
    assert bare(expired) == bare(await post(FORMS, FORM, key="x" * len(key)))
    assert expired.status == 401
    assert reasons(events) == [("key_expired", "shop"), ("unknown_key", "")]


@pytest.mark.gen_test
async def test_a_name_may_be_used_again_and_the_old_key_stays_dead(
    site: Site, post: Post, make: Make
) -> None:
    old = await make()
    await revoke(site)
    new = await make()
    assert (await post(FORMS, FORM, key=old)).status == 401
    assert (await post(FORMS, FORM, key=new)).status == 200


@pytest.mark.gen_test
async def test_a_publishable_key_opens_no_server_that_mails_anybody_even_if_it_was_made(
    site: Site, post: Post, make: Make, events: list[dict[str, Any]]
) -> None:
    key = await make("publishable", "*", chains={})  # elsewhere, where the settings are others
    token = (await post("/rest/email_token/create", key=APPLICATION_KEY)).json["token_session"]
    form = {**FORM, "token_session": str(token)}
    refused = await post("/rest/email_session/open", form, key=key)
    assert refused.status == 401
    assert reasons(events) == [("key_kind", "shop")]
    assert (await post(SESSION, form, key=key)).status == 200


@pytest.mark.gen_test
async def test_settings_read_again_keep_the_stores_keys(site: Site, post: Post, make: Make) -> None:
    key = await make()
    site.reload(site.settings)
    assert (await post(FORMS, FORM, key=key)).status == 200
    await revoke(site)
    assert (await post(FORMS, FORM, key=key)).status == 401
