"""Forms that break a plugin after they were let in: answered 500, kept, released in the end."""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from relay.core.errors import ConfigurationError, TemplateRenderError
from relay.core.states import State
from relay.operators.query import parse
from relay.site import Site
from relay.store.maintenance.audit import audit
from relay.store.outbox import operator_actions, screened
from relay.store.outbox.operator_actions import Order
from relay.store.queries import listing, word_search
from tests.conftest import FORM, Outbox, Post
from tests.support.keys import APPLICATION_KEY, key
from tests.support.stored import by
from tests.web.postmark.conftest import settled

# A form server whose plugin raises what `fails` says, where it says.
FRAGILE = """
from relay import EmailForm, hookimpl, plain_message

fails = {}

def _fail(where):
    if where in fails:
        raise fails[where]

class Fragile(EmailForm):
    def load(self, *args, **kwargs):
        _fail("schema")
        return super().load(*args, **kwargs)

@hookimpl
def screen(submission, server):
    _fail("screen")

@hookimpl
def schema(server):
    return Fragile()

@hookimpl
def compose(form, server):
    _fail("compose")
    return None if "nothing" in fails else plain_message(form, server)
"""

SETTINGS = (
    key("application", "fragile")
    + """
[servers.fragile]
plugins = ["bearer_token", "session_token", "fragile", "mailbox"]
sender = "Fragile <fragile@example.gov>"
recipients = ["@example.gov"]
session_key = "optional"
attachments = true
receipt = { per_hour = 3 }
return_to = { thanks = "https://www.example.gov/thanks" }
"""
)

PATH = "/rest/email/fragile"
SESSION = "/rest/email_session/fragile"
HTML = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "fragile.py").write_text(FRAGILE)
    return SETTINGS


@pytest.fixture
def fails(site: Site) -> dict[str, Exception]:
    found: dict[str, Exception] = sys.modules["relay_plugins.fragile"].fails
    return found


def rows(site: Site) -> list[dict[str, Any]]:
    query = text("SELECT * FROM messages JOIN contents USING (id) ORDER BY id")
    found = site.store.read_now(lambda connection: connection.execute(query).all())
    return [dict(row._mapping) for row in found]


def balanced(site: Site) -> bool:
    return site.store.read_now(audit).faults == []


@pytest.mark.parametrize("where", ["schema", "compose", "nothing"])
@pytest.mark.parametrize(
    "error",
    [KeyError("secret words"), RuntimeError("resident@")],
)
@pytest.mark.gen_test
async def test_what_a_plugin_fails_at_is_kept_and_released(
    site: Site,
    post: Post,
    fails: dict[str, Exception],
    outbox: Outbox,
    where: str,
    error: Exception,
) -> None:
    fails[where] = error
    reply = await post(PATH, FORM)
    assert (reply.status, reply.json["status"]) == (500, "error")
    [row] = rows(site)
    assert (row["state"], row["kind"], row["server"]) == ("quarantined", "form", "fragile")
    name = "NoMessage" if where == "nothing" else type(error).__name__
    assert row["words"].startswith(name)
    assert "secret" not in row["words"]
    assert "resident" not in row["words"]
    assert json.loads(row["document"])["fields"]["message"] == FORM["message"]
    assert balanced(site)
    fails.clear()
    assert await site.acceptance.release(row["id"], time.time(), by("somebody"))
    assert not await site.acceptance.release(row["id"], time.time(), by("somebody"))
    assert [one["id"] for one in rows(site)] == [row["id"]]
    await settled(site)
    assert outbox.states() == ["sent"]
    assert outbox.last()["document"]["text"].startswith(FORM["message"])
    assert balanced(site)


@pytest.mark.gen_test
async def test_a_template_that_does_not_take_the_model_loses_nothing(
    site: Site, post: Post, fails: dict[str, Exception]
) -> None:
    for number, error in enumerate(
        (TemplateRenderError("each of no list"), ConfigurationError("x"))
    ):
        fails["compose"] = error
        assert (await post(PATH, {**FORM, "subject": f"{number}"})).status == 500
        assert len(rows(site)) == number + 1


@pytest.mark.gen_test
async def test_what_raises_before_it_is_let_in_stores_nothing(
    site: Site, post: Post, fails: dict[str, Exception]
) -> None:
    fails["screen"] = KeyError("x")
    assert (await post(PATH, FORM)).status == 500
    fails["compose"] = fails.pop("screen")
    assert (await post(PATH, FORM, key="wrong" * 10)).status == 401
    assert (await post(PATH, {**FORM, "from_address": "nobody"})).status == 400
    assert (await post(SESSION, {**FORM, "token_session": "7"}, key=None)).status == 403
    assert rows(site) == []


@pytest.mark.gen_test
async def test_files_go_along(
    site: Site, post: Post, fails: dict[str, Exception], outbox: Outbox
) -> None:
    fails["compose"] = KeyError("x")
    content = base64.b64encode(b"the plan").decode()
    files = [{"Name": "plan.txt", "Content": content}]
    assert (await post(PATH, content={**FORM, "attachments": files})).status == 500
    [row] = rows(site)
    fails.clear()
    assert await site.acceptance.release(row["id"], time.time(), by("somebody"))
    assert outbox.last()["document"]["attachments"][0][0] == "plan.txt"


@pytest.mark.gen_test
async def test_the_token_is_spent_and_the_same_content_adds_nothing(
    site: Site,
    post: Post,
    new_token: Callable[[], Awaitable[int]],
    fails: dict[str, Exception],
) -> None:
    fails["compose"] = KeyError("x")
    form = {**FORM, "token_session": await new_token()}
    assert (await post(SESSION, form, key=None)).status == 500
    assert (await post(SESSION, form, key=None)).status == 403
    assert len(rows(site)) == 1
    again = {**FORM, "token_session": await new_token()}
    replies = await asyncio.gather(*(post(SESSION, again, key=None) for _ in range(3)))
    assert {reply.status for reply in replies} == {500}
    assert len(rows(site)) == 1
    # What keeps nothing spends nothing.
    fails.clear()
    assert (await post(SESSION, again, key=None)).status == 200
    other = {**FORM, "subject": "Another", "token_session": await new_token()}
    fails["schema"] = KeyError("x")
    assert (await post(SESSION, other, key=None)).status == 500
    assert len(rows(site)) == 3
    assert balanced(site)


@pytest.mark.gen_test
async def test_a_visitor_without_javascript_who_presses_send_twice_hears_the_same_twice(
    site: Site,
    post: Post,
    new_token: Callable[[], Awaitable[int]],
    fails: dict[str, Exception],
) -> None:
    fails["compose"] = KeyError("x")
    form = {**FORM, "token_session": await new_token(), "return_to": "thanks"}
    for _ in range(2):
        reply = await post(SESSION, form, key=None)
        assert reply.status == 303
        assert "relay=error" in reply.headers["Location"]
    assert len(rows(site)) == 1


@pytest.mark.gen_test
async def test_a_request_with_a_key_is_kept_once_and_never_becomes_two(
    site: Site, post: Post, fails: dict[str, Exception]
) -> None:
    fails["schema"] = KeyError("x")
    named = {"Idempotency-Key": "same"}
    replies = await asyncio.gather(*(post(PATH, FORM, headers=named) for _ in range(4)))
    assert {reply.status for reply in replies} <= {500, 409}
    assert (await post(PATH, FORM, headers=named)).status == 500
    fails.clear()
    assert (await post(PATH, FORM, headers=named)).status == 500  # it is kept, and not two
    [row] = rows(site)
    assert await site.acceptance.release(row["id"], time.time(), by("somebody"))
    assert (await post(PATH, FORM, headers=named)).status == 200
    assert len(rows(site)) == 1
    assert (await post(PATH, {**FORM, "subject": "y"}, headers=named)).status == 422


@pytest.mark.gen_test
async def test_operators_see_it_and_only_its_own_order_makes_a_message_of_it(
    site: Site, post: Post, fails: dict[str, Exception]
) -> None:
    fails["compose"] = KeyError("x")
    await post(PATH, FORM)
    [row] = rows(site)
    listed = site.store.read_now(listing.screened, None, 10)
    assert [one.id for one in listed.rows] == [row["id"]]
    found = site.store.read_now(word_search.find, parse("resident@example.com").wanted, None, 5)
    assert [one.id for one in found.rows] == [row["id"]]
    order = Order([row["id"]], 1.0, twice=True)
    for operation in (operator_actions.retry, operator_actions.release, operator_actions.found):
        [[verdict]] = site.store.write_now(operation, [order])
        assert "`run.py screened release` makes it one" in verdict.words
        assert not verdict.done
    assert rows(site)[0]["state"] == State.QUARANTINED
    [[verdict]] = site.store.write_now(screened.drop, [order])
    assert verdict.done
    assert rows(site)[0]["document"] == ""
    assert site.store.read_now(listing.screened, None, 10).rows == []
    assert balanced(site)


@pytest.mark.gen_test
async def test_it_is_told_by_the_alert_and_the_log_without_its_words(
    site: Site, post: Post, fails: dict[str, Exception], events: list[dict[str, Any]]
) -> None:
    fails["compose"] = KeyError("canary@example.com")
    await post(PATH, FORM, key=APPLICATION_KEY)
    [kept] = [event for event in events if event["event"] == "submission.kept"]
    assert kept["reason"] == "KeyError in fragile _fail"
    assert kept["id"] == rows(site)[0]["id"]
    [failed] = [event for event in events if event.get("status") == 500]
    assert failed["error"] == "KeyError"
    assert "canary" not in str(events)
    seen = site.event_counts.take()
    assert [(key.kind, key.server, one.count) for key, one in seen.items()] == [
        ("broken", "fragile", 1)
    ]
