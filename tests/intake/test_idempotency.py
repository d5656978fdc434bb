"""Requests with an Idempotency-Key: repeated, they are answered again and not done again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from relay.core.errors import IdempotencyKeyInvalid, Unavailable
from relay.core.rate_limit import RateLimiter
from relay.intake.idempotency import fingerprint_of, parse
from relay.site import Site
from relay.store import idempotency
from relay.store.outbox.enqueue import NewMessage
from relay.store.tokens import TokenUse
from tests.conftest import FORM, POSTMARK_SETTINGS, SETTINGS, Outbox, Post, Reply
from tests.support.daemon import REGISTRY, Daemon
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import APPLICATION_KEY, OTHER_KEY, PAGE_KEY

NewToken = Callable[[], Awaitable[int]]

PATH = "/rest/email/contactform"
KEYED = {"Idempotency-Key": "a-1"}
OTHER = {**FORM, "message": "Make the roads blue."}
LATER = {**FORM, "senddatetime": "+5 minutes"}
CONFLICT = "idempotency key was used for another submission"


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    registry = POSTMARK_SETTINGS.replace("{postmark_url}", postmark.url)
    return SETTINGS.replace(
        '"contactform", "default"]', '"contactform", "default", "registry"]'
    ) + (registry)


def kept(site: Site) -> list[dict[str, Any]]:
    rows = site.store.read_now(
        lambda connection: connection.execute(text("SELECT * FROM idempotency")).all()
    )
    return [dict(row._mapping) for row in rows]


async def change(site: Site, *statements: str, **values: Any) -> None:
    """Change the store as the world outside would: by SQL, in the thread that writes."""

    def run(connection: Any, batch: Any) -> Any:
        for statement in statements:
            connection.execute(text(statement), values)
        return batch

    await site.store.write(run, None)


async def ended(site: Site) -> None:
    """Wait until what was answered is written down too."""
    await change(site)


def told(reply: Reply) -> tuple[int, bytes, str]:
    return reply.status, reply.body, reply.headers["X-Relay-Message-Id"]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a", "a"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        (r'"with \"quotes\", \\ and blanks"', r'with "quotes", \ and blanks'),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
        ("a,b;c=1", "a,b;c=1"),
    ],
)
def test_a_key_is_a_quoted_string_or_bare_characters(key: str, name: str) -> None:
    assert parse(key) == name


@pytest.mark.parametrize(
    "key",
    ["", '""', '"', '"a', '"a"b', '"a";p=1', '"a\\n"', "a b", "ä", "a\x7f", '"é"', "x" * 256],
)
def test_anything_else_is_no_key(key: str) -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        parse(key)


def test_a_fingerprint_is_of_what_is_said_and_not_of_how() -> None:
    assert fingerprint_of({"a": 1, "b": [2]}) == fingerprint_of({"b": (2,), "a": 1})
    different = [{"a": 1}, {"a": "1"}, {"a": 1.0}, [{"a": 1}, {"a": 1}], [[{"a": 1}]], {}, []]
    assert len({fingerprint_of(content) for content in different}) == len(different)


@pytest.mark.gen_test
@pytest.mark.parametrize("form", [FORM, LATER, {**FORM, "contact": "robot"}])
async def test_a_repeated_post_gets_the_same_answer_and_sends_nothing(
    post: Post, outbox: Outbox, site: Site, form: dict[str, str]
) -> None:
    first = await post(PATH, form, headers=KEYED)
    assert first.status == 200
    await ended(site)
    shuffled = dict(reversed(form.items()))
    for _ in range(2):
        assert told(await post(PATH, shuffled, headers=KEYED)) == told(first)
    assert told(
        await post(
            PATH.upper().replace("/REST/EMAIL", "/rest/email") + "/",
            form,
            headers={"Idempotency-Key": '"a-1"'},
        )
    ) == told(first)
    assert len(outbox.rows()) == 1
    assert site.dispatcher.waiting == (form is LATER)


@pytest.mark.gen_test
async def test_a_scheduled_message_is_replayed_with_its_id(post: Post, site: Site) -> None:
    first = await post(PATH, LATER, headers=KEYED)
    again = await post(PATH, LATER, headers=KEYED)
    assert (
        again.json
        == first.json
        == {
            "status": "success",
            "response": "Message scheduled",
            "id": first.headers["X-Relay-Message-Id"],
        }
    )


@pytest.mark.gen_test
async def test_another_content_under_the_same_key_is_refused(post: Post, outbox: Outbox) -> None:
    await post(PATH, FORM, headers=KEYED)
    reply = await post(PATH, OTHER, headers=KEYED)
    assert (reply.status, reply.words) == (422, CONFLICT)
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_posts_without_a_key_are_never_taken_for_repeated(
    post: Post, outbox: Outbox, site: Site
) -> None:
    for _ in range(2):
        assert (await post(PATH, FORM)).status == 200
    assert (len(outbox.rows()), kept(site)) == (2, [])


@pytest.mark.gen_test
@pytest.mark.parametrize("key", ["a b", '"a', "x" * 256])
async def test_a_key_that_is_none_is_refused_after_authentication(
    post: Post, outbox: Outbox, site: Site, key: str
) -> None:
    headers = {"Idempotency-Key": key}
    assert (await post(PATH, FORM, key=None, headers=headers)).status == 401
    reply = await post(PATH, FORM, headers=headers)
    words = "Idempotency-Key: must be 1 to 255 visible ASCII characters"
    assert (reply.status, reply.words) == (400, words)
    assert (outbox.rows(), kept(site)) == ([], [])


@pytest.mark.gen_test
async def test_the_same_key_is_another_one_elsewhere(post: Post, outbox: Outbox) -> None:
    content = {**FORM, "from_address": "resident@example.gov"}
    for path, key in (
        (PATH, APPLICATION_KEY),
        ("/emails", APPLICATION_KEY),
        ("/rest/email/default", APPLICATION_KEY),
        ("/rest/email/default", OTHER_KEY),
    ):
        assert (await post(path, content, key=key, headers=KEYED)).status == 200
    assert len(outbox.rows()) == 4


@pytest.mark.gen_test
async def test_a_spent_token_is_replayed_under_its_key_and_refused_without(
    post: Post, outbox: Outbox, new_token: NewToken, site: Site
) -> None:
    path = "/rest/email_session/contactform"
    form = {**FORM, "token_session": await new_token()}
    first = await post(path, form, key=PAGE_KEY, headers=KEYED)
    assert first.status == 200
    await ended(site)
    assert told(await post(path, form, key=PAGE_KEY, headers=KEYED)) == told(first)
    assert (await post(path, form, key=PAGE_KEY)).status == 403
    assert (await post(path, form, key=PAGE_KEY, headers={"Idempotency-Key": "b"})).status == 403
    fresh = {**FORM, "token_session": await new_token()}
    assert told(await post(path, fresh, key=PAGE_KEY, headers=KEYED)) == told(first)
    changed = await post(path, {**OTHER, **form, "message": "x"}, key=PAGE_KEY, headers=KEYED)
    assert changed.status == 422
    assert (len(outbox.rows()), outbox.unspent_tokens()) == (1, 1)


@pytest.mark.gen_test
async def test_what_is_refused_is_not_kept(post: Post, outbox: Outbox, site: Site) -> None:
    assert (await post(PATH, {**FORM, "subject": ""}, headers=KEYED)).status == 400
    assert (outbox.rows(), kept(site)) == ([], [])
    assert (await post(PATH, FORM, headers=KEYED)).status == 200
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_what_the_provider_refuses_may_be_mended_under_the_same_key(
    post: Post, outbox: Outbox, postmark: FakePostmark, site: Site
) -> None:
    postmark.answers = [(422, {"ErrorCode": 300, "Message": "Invalid 'To' address."})]
    assert (await post("/rest/email/registry", FORM, headers=KEYED)).status == 400
    assert (outbox.states(), kept(site)) == (["failed"], [])
    assert (await post("/rest/email/registry", OTHER, headers=KEYED)).words == "Message sent"
    assert outbox.states() == ["failed", "sent"]


@pytest.mark.gen_test
async def test_a_post_that_still_runs_is_not_done_twice(
    post: Post, outbox: Outbox, postmark: FakePostmark, site: Site
) -> None:
    postmark.answers = ["hang"]
    first = asyncio.ensure_future(post("/rest/email/registry", FORM, headers=KEYED))
    await postmark.hung.acquire()
    second = await post("/rest/email/registry", FORM, headers=KEYED)
    assert (second.status, second.headers["Retry-After"]) == (409, "1")
    assert second.words == "a submission with this idempotency key is still running"
    assert (await post("/rest/email/registry", OTHER, headers=KEYED)).status == 422
    postmark.release()
    answer = await first
    assert told(await post("/rest/email/registry", FORM, headers=KEYED)) == told(answer)
    assert (len(outbox.rows()), len(postmark.calls)) == (1, 1)


@pytest.mark.gen_test
async def test_of_many_at_once_one_is_sent(post: Post, outbox: Outbox, site: Site) -> None:
    site.configuration = replace(site.configuration, post_limiter=RateLimiter(0))
    replies = await asyncio.gather(*(post(PATH, FORM, headers=KEYED) for _ in range(20)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert len({told(reply) for reply in replies if reply.status == 200}) == 1
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_the_store_itself_takes_a_digest_once(site: Site) -> None:
    entry = idempotency.IdempotencyEntry(b"d" * 32, b"f" * 32, 200.0, 100.0, ())
    results = await asyncio.gather(
        *(site.store.write(idempotency.add, entry) for _ in range(3)), return_exceptions=True
    )
    assert [type(result).__name__ for result in results] == [
        *("NoneType", "IdempotencyRunning", "IdempotencyRunning")
    ]
    assert await site.store.write(idempotency.add, entry._replace(now=200.0)) is None
    assert len(kept(site)) == 1


@pytest.mark.gen_test
async def test_a_token_that_is_gone_at_the_commit_takes_the_request_with_it(
    site: Site, outbox: Outbox
) -> None:
    message = NewMessage("id", "default", "queued", 100.0, "key", "{}", token=TokenUse(b"unknown"))
    entries = [
        idempotency.IdempotencyEntry(b"d" * 32, b"f" * 32, 200.0, 100.0, [message]),
        idempotency.IdempotencyEntry(
            b"e" * 32, b"f" * 32, 200.0, 100.0, [message._replace(token=None)]
        ),
    ]
    results = await asyncio.gather(
        *(site.store.write(idempotency.add, entry) for entry in entries), return_exceptions=True
    )
    assert [type(result).__name__ for result in results] == ["TokenRefused", "NoneType"]
    assert [row["digest"] for row in kept(site)] == [b"e" * 32]
    assert [row["id"] for row in outbox.rows()] == ["id"]


@pytest.mark.gen_test
async def test_a_key_is_forgotten_after_a_day(post: Post, outbox: Outbox, site: Site) -> None:
    await post(PATH, FORM, headers=KEYED)
    await ended(site)
    [row] = kept(site)
    assert abs(row["expires_at"] - time.time() - 86400) < 5
    await change(site, "UPDATE idempotency SET expires_at = :past", past=time.time() - 1)
    assert (await post(PATH, OTHER, headers=KEYED)).status == 200
    assert (len(outbox.rows()), len(kept(site))) == (2, 1)
    assert await site.store.write(idempotency.forget, time.time()) == 0
    assert await site.store.write(idempotency.forget, time.time() + 86401) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        ("sent", 200, "Message sent"),
        ("queued", 200, "Message queued"),
        ("in_doubt", 200, "Message queued"),
        ("expired", 200, "Message queued"),
        ("failed", 400, "Mend it."),
    ],
)
async def test_an_answer_that_was_never_written_is_told_from_the_message(
    post: Post, site: Site, outbox: Outbox, state: str, status: int, words: str
) -> None:
    first = await post(PATH, FORM, headers=KEYED)
    await ended(site)
    await change(
        site,
        "UPDATE idempotency SET status = NULL, answer = NULL",
        "UPDATE messages SET state = :state, words = 'Mend it.'",
        state=state,
    )
    again = await post(PATH, FORM, headers=KEYED)
    assert (again.status, again.words) == (status, words)
    if status == 200:
        assert again.headers["X-Relay-Message-Id"] == first.headers["X-Relay-Message-Id"]
    assert (await post(PATH, OTHER, headers=KEYED)).status == 422
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("form", [LATER, {**LATER, "contact": "robot"}, {**FORM, "contact": "x"}])
async def test_an_unwritten_answer_of_later_or_of_a_robot_is_told_the_same(
    post: Post, site: Site, form: dict[str, str]
) -> None:
    first = await post(PATH, form, headers=KEYED)
    await ended(site)
    await change(site, "UPDATE idempotency SET status = NULL, answer = NULL")
    assert told(await post(PATH, form, headers=KEYED)) == told(first)


@pytest.mark.gen_test
async def test_the_reply_is_given_though_the_answer_cannot_be_written(
    post: Post, outbox: Outbox, postmark: FakePostmark, site: Site, events: list[dict[str, Any]]
) -> None:
    postmark.answers = ["hang"]
    first = asyncio.ensure_future(post("/rest/email/registry", FORM, headers=KEYED))
    await postmark.hung.acquire()
    await change(site, "ALTER TABLE idempotency RENAME TO gone")
    postmark.release()
    answer = await first
    with suppress(Unavailable):
        await ended(site)
    await change(site, "ALTER TABLE gone RENAME TO idempotency")
    assert [event["event"] for event in events].count("answer.unstored") == 1
    assert kept(site)[0]["answer"] is None
    again = await post("/rest/email/registry", FORM, headers=KEYED)
    assert (answer.status, again.status, len(outbox.rows())) == (200, 200, 1)


@pytest.mark.gen_test
async def test_a_visitor_who_comes_back_to_a_page_comes_back_again(post: Post, site: Site) -> None:
    form = {**FORM, "return_to": "thanks"}
    first = await post(PATH, form, headers=KEYED)
    await ended(site)
    again = await post(PATH, form, headers=KEYED)
    assert (again.status, again.headers["Location"]) == (303, first.headers["Location"])


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_daemon_that_died_before_it_answered_knows_of_the_post(tmp_path: Path) -> None:
    settings = (
        '[relay]\nwait = 60\n[keys.a]\nsecret = { env = "KEY" }\nservers = ["registry"]\n'
        + REGISTRY.format(url="http://127.0.0.1:9").replace("retry = [1]", "retry = [3600]")
    )
    # A plugin that never answers: the daemon is killed in the middle of its attempt.
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hanging.py").write_text(HANGING, encoding="utf-8")
    settings = settings.replace('"default", "postmark"', '"default", "hanging"')
    settings = "\n".join(line for line in settings.splitlines() if "postmark_" not in line)
    daemon = Daemon(tmp_path, settings, {"KEY": APPLICATION_KEY})
    with daemon:
        with pytest.raises(requests.Timeout):
            requests.post(
                f"{daemon.url}/rest/email/registry",
                headers={"authorization": f"token {APPLICATION_KEY}", **KEYED},
                data=FORM,
                timeout=2,
            )
        assert (tmp_path / "hanging").exists()
        daemon.stop(9)
        daemon.start()
        again = daemon.post("/rest/email/registry", APPLICATION_KEY, data=FORM, headers=KEYED)
        assert again.json() == {"status": "success", "response": "Message queued"}
        other = daemon.post("/rest/email/registry", APPLICATION_KEY, data=OTHER, headers=KEYED)
        assert other.status_code == 422
        accepted = [one["id"] for one in daemon.events() if one["event"] == "message.accepted"]
        assert accepted == [again.headers["X-Relay-Message-Id"]]


HANGING = '''
"""Begins, and never ends."""

import threading
from pathlib import Path

from relay import hookimpl


@hookimpl
def deliver(messages, server):
    Path("hanging").touch()
    threading.Event().wait()
'''
