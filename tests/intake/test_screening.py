"""What was kept back as a robot's: answered as success, listed, released, dropped."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tornado.testing import bind_unused_port
from tornado.web import Application

from relay.operators.acting import system_user
from relay.site import Site
from relay.store import tokens
from relay.store.maintenance import audit as audits
from relay.store.outbox import retention, screened
from relay.store.outbox.operator_actions import Order
from relay.store.queries import listing
from relay.web.control import make_control
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.forms.test_attachments import CONTENTS, multipart
from tests.support.daemon import WITHOUT_REGISTRY, Daemon
from tests.support.keys import PAGE_KEY
from tests.support.stored import by

NewToken = Callable[[], Awaitable[int]]
Tell = Callable[..., Awaitable[list[list[str]]]]

ROBOT = {**FORM, "contact": "http://spam.example"}

PLUGINS = {
    "nonsense": """
from relay import hookimpl

@hookimpl
def compose(form, server):
    if form["subject"] == "break":
        raise KeyError("secret")
""",
}


@pytest.fixture
def settings_toml(tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    for name, source in PLUGINS.items():
        (tmp_path / "plugins" / f"{name}.py").write_text(source)
    toml = SETTINGS.replace(
        '"honeypot", "contactform"', '"fill_time", "honeypot", "nonsense", "contactform"'
    )
    return toml.replace("[servers.contactform]\n", "[servers.contactform]\nattachments = true\n")


@pytest.fixture
def tell(site: Site, http_client: Any) -> Iterator[Tell]:
    """Order something of the daemon, as its commands do: id, state before and after, and words."""
    from tornado.httpserver import HTTPServer

    app: Application = make_control(site, lambda site: None)
    socket, port = bind_unused_port()
    server = HTTPServer(app)
    server.add_socket(socket)

    async def order(name: str, *ids: str) -> list[list[str]]:
        url = f"http://127.0.0.1:{port}/screened/{name}"
        answer = await http_client.fetch(url, method="POST", body=json.dumps({"ids": ids}))
        return [verdict[:4] for verdict in json.loads(answer.body)["verdicts"]]

    yield order
    server.stop()


def listed(site: Site) -> list[str]:
    return [row.id for row in site.store.read_now(listing.screened, None, 50).rows]


def audited(site: Site) -> audits.Audit:
    return site.store.read_now(audits.audit)


async def idle(site: Site) -> None:
    """Wait until nothing waits any more."""
    while site.dispatcher.waiting:
        await site.store.read(listing.count_unsent)


async def caught(post: Post, **fields: Any) -> str:
    reply = await post("/rest/email/contactform", content={**ROBOT, **fields})
    assert (reply.status, reply.words) == (200, "Message sent")
    return reply.headers["X-Relay-Message-Id"]


@pytest.mark.gen_test
async def test_a_released_submission_becomes_its_message_under_its_own_id(
    post: Post, tell: Tell, site: Site, outbox: Outbox, events: list[dict[str, Any]]
) -> None:
    clean = {**FORM, "contact": "", "headers": [{"Name": "X-Form", "Value": "7"}], "useHtml": 1}
    await post("/rest/email/contactform", content=clean)
    id = await caught(post, headers=clean["headers"], useHtml=1)
    assert listed(site) == [id]
    assert await tell("release", id) == [[id, "screened", "queued", "released"]]
    await idle(site)
    assert outbox.states() == ["sent", "sent"]
    ordinary, released = outbox.rows()
    assert released["id"] == id
    assert released["key"] == ordinary["key"] == "application"
    metadata = {site.outbox.metadata_key: id}
    assert released["document"] == {**ordinary["document"], "metadata": metadata}
    assert listed(site) == []
    assert audited(site).faults == []
    found = site.store.read_now(listing.find, id)
    assert any(event.kind == "released" and "honeypot" in event.words for event in found.events)
    assert {"submission.released", "message.accepted"} <= {event["event"] for event in events}


@pytest.mark.gen_test
async def test_released_twice_at_once_it_is_sent_once(
    post: Post, tell: Tell, site: Site, outbox: Outbox
) -> None:
    id = await caught(post)
    verdicts = await asyncio.gather(*(tell("release", id, id) for _ in range(4)))
    words = sorted(verdict[3] for answer in verdicts for verdict in answer)
    assert words == ["released"] + ["there is no such submission"] * 7
    await idle(site)
    assert outbox.states() == ["sent"]
    assert len(outbox.attempts()) == 1
    assert audited(site).faults == []
    [rate] = site.store.read_now(screened.rates)
    assert rate == ("contactform", 1, 1)
    assert site.dispatcher.waiting == 0


@pytest.mark.gen_test
async def test_of_racing_releases_one_wins(post: Post, site: Site, outbox: Outbox) -> None:
    id = await caught(post)
    now = time.time()
    await site.dispatcher.stop(5)  # so that it stays as it was released
    won = await asyncio.gather(
        *(site.acceptance.release(id, now, by("somebody")) for _ in range(4))
    )
    assert sorted(won) == [False, False, False, True]
    assert outbox.states() == ["queued"]
    assert audited(site).faults == []


@pytest.mark.gen_test
async def test_the_files_of_a_screened_submission_are_kept_and_sent(
    post: Post, tell: Tell, site: Site, outbox: Outbox
) -> None:
    sent = multipart(ROBOT, [("photo", "../a.png", CONTENTS["png"])])
    reply = await post("/rest/email/contactform", **sent)
    id = reply.headers["X-Relay-Message-Id"]
    assert outbox.last()["state"] == "screened"
    assert (await tell("release", id))[0][2] == "queued"
    [[name, media, content, _]] = outbox.last()["document"]["attachments"]
    assert (name, media) == ("a.png", "image/png")
    assert base64.b64decode(content) == CONTENTS["png"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to_address": "stranger@example.com"}, "to_address: not a recipient"),
        ({"from_address": "nobody", "cc": "x"}, "cc: not a mail address"),
        ({"headers": {"Sender": "x"}}, "headers: Sender may not be set"),
        ({"attachments": [{"Name": "a.exe", "Content": "eA=="}]}, "attachments: file 1 is none"),
        ({"senddatetime": "yesterday"}, "senddatetime: "),
        ({"subject": "break"}, "a plugin fails at it: KeyError"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_what_cannot_be_accepted_stays_screened_and_the_operator_is_told_why(
    post: Post,
    tell: Tell,
    site: Site,
    outbox: Outbox,
    events: list[dict[str, Any]],
    fields: dict[str, Any],
    words: str,
) -> None:
    bad, good = await caught(post, **fields), await caught(post)
    before = outbox.rows()[0]
    [refused, released] = await tell("release", bad, good)
    assert refused[:3] == [bad, "screened", ""]
    assert words in refused[3]
    assert "secret" not in str(events) + str(refused)
    assert released[2] == "queued"
    await idle(site)
    assert outbox.rows()[0] == before
    assert outbox.states() == ["screened", "sent"]
    assert audited(site).faults == []


@pytest.mark.gen_test
async def test_only_what_is_screened_can_be_released_or_dropped(
    post: Post, tell: Tell, site: Site
) -> None:
    reply = await post("/rest/email/contactform", FORM)
    id = reply.headers["X-Relay-Message-Id"]
    dropped = await caught(post)
    assert (await tell("drop", dropped))[0][2] == "dropped"
    for order in ("release", "drop"):
        for verdict in await tell(order, id, "nobody", "", dropped):
            assert verdict[2:] == ["", "there is no such submission"]
    found = [site.store.read_now(listing.find, one) for one in (id, dropped)]
    assert [one.row.state for one in found] == ["sent", "screened"]
    assert [event.kind for one in found for event in one.events] == ["dropped"]


@pytest.mark.gen_test
async def test_a_dropped_submission_says_nothing_any_more_and_is_listed_no_longer(
    post: Post, tell: Tell, site: Site
) -> None:
    id = await caught(post)
    assert await tell("drop", id, id) == [
        [id, "screened", "dropped", "dropped"],
        [id, "", "", "there is no such submission"],
    ]
    assert listed(site) == []
    found = site.store.read_now(listing.find, id)
    assert (found.row.state, found.content.document) == ("screened", "")
    assert [event.kind for event in found.events] == ["dropped"]
    assert audited(site).faults == []
    assert site.store.read_now(screened.rates) == [("contactform", 1, 0)]


@pytest.mark.gen_test
async def test_what_was_kept_long_enough_is_cleared_and_cannot_be_released(
    post: Post, tell: Tell, site: Site
) -> None:
    id = await caught(post)
    later = time.time() + 31 * 86_400
    servers = [chain.server for chain in site.chains.values()]
    assert await retention.clear_old(site.store, servers, later) == 1
    assert (await tell("release", id))[0][2] == ""
    assert listed(site) == []


@pytest.mark.gen_test
async def test_its_age_counts_from_its_release(
    post: Post, tell: Tell, site: Site, outbox: Outbox
) -> None:
    id = await caught(post)
    a_month = 30 * 86_400
    site.store.write_now(
        lambda connection, batch: connection.execute(
            text(
                "UPDATE messages SET created_at = created_at - :past, since = since - :past,"
                " due_at = due_at - :past"
            ),
            {"past": a_month},
        ),
        [None],
    )
    before = time.time()
    assert await site.acceptance.release(id, before, by("somebody"))
    row = outbox.last()
    assert (row["since"], row["due_at"]) == (before, before)
    await idle(site)
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_what_wanted_to_be_sent_later_is_while_its_time_lies_ahead(
    post: Post, site: Site, outbox: Outbox
) -> None:
    ids = []
    for _ in range(2):
        reply = await post("/rest/email/contactform", content={**ROBOT, "senddatetime": "+1 hour"})
        assert reply.words == "Message scheduled"
        ids.append(reply.headers["X-Relay-Message-Id"])
    due = outbox.rows()[0]["due_at"]
    assert await site.acceptance.release(ids[0], time.time(), by("somebody"))
    assert await site.acceptance.release(ids[1], due + 1, by("somebody"))
    first, second = outbox.rows()
    assert (first["state"], first["due_at"]) == ("scheduled", due)
    assert (second["state"], second["due_at"]) == ("queued", due + 1)
    assert "send_at" not in second["document"]


@pytest.mark.gen_test
async def test_a_spent_token_stays_spent_when_its_submission_is_released(
    post: Post, tell: Tell, outbox: Outbox, new_token: NewToken, site: Site
) -> None:
    await site.store.write(tokens.create, tokens.NewToken(b"other", time.time() + 60))
    token = await new_token()
    _make_older(site, 60)
    form = {**ROBOT, "token_session": token}
    reply = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    await tell("release", reply.headers["X-Relay-Message-Id"])
    again = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (again.status, len(outbox.rows())) == (403, 1)
    assert audited(site).faults == []


@pytest.mark.gen_test
async def test_a_repeated_request_is_answered_as_before_its_release(
    post: Post, tell: Tell, outbox: Outbox
) -> None:
    key = {"Idempotency-Key": "a"}
    first = await post("/rest/email/contactform", ROBOT, headers=key)
    id = first.headers["X-Relay-Message-Id"]
    await tell("release", id)
    again = await post("/rest/email/contactform", ROBOT, headers=key)
    assert (again.body, again.headers["X-Relay-Message-Id"]) == (first.body, id)
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
async def test_a_server_that_is_gone_releases_nothing(
    post: Post, tell: Tell, site: Site, outbox: Outbox
) -> None:
    id = await caught(post)
    del site.chains["contactform"]
    assert await tell("release", id) == [[id, "screened", "", "unknown server"]]
    assert outbox.states() == ["screened"]


def _make_older(site: Site, seconds: float) -> None:
    """Make every token older, as if it had been made so many seconds before."""
    site.store.write_now(
        lambda connection, batch: connection.execute(
            text("UPDATE tokens SET made_at = made_at - :past"), {"past": seconds}
        ),
        [None],
    )


@pytest.mark.gen_test
async def test_a_form_that_comes_too_soon_after_its_token_is_a_robots(
    post: Post, outbox: Outbox, new_token: NewToken, site: Site
) -> None:
    slow, soon = await new_token(), None
    _make_older(site, 60)
    soon = await new_token()
    replies = [
        await post(
            "/rest/email_session/contactform", {**FORM, "token_session": token}, key=PAGE_KEY
        )
        for token in (slow, soon)
    ]
    assert replies[0].body == replies[1].body
    assert sorted(replies[0].headers) == sorted(replies[1].headers)
    assert outbox.states() == ["sent", "screened"]
    assert outbox.last()["words"] == "fill_time"
    assert outbox.unspent_tokens() == 0
    # An application brings no token, however fast it is.
    assert (await post("/rest/email/contactform", FORM)).status == 200
    assert outbox.states() == ["sent", "screened", "sent"]


@pytest.mark.gen_test
async def test_a_token_of_an_older_relay_is_of_no_known_age(
    post: Post, outbox: Outbox, new_token: NewToken, site: Site
) -> None:
    token = await new_token()
    site.store.write_now(
        lambda connection, batch: connection.execute(text("UPDATE tokens SET made_at = NULL")),
        [None],
    )
    form = {**FORM, "token_session": token}
    assert (await post("/rest/email_session/contactform", form, key=PAGE_KEY)).status == 200
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_two_orders_to_drop_one_submission_drop_it_once(post: Post, site: Site) -> None:
    id = await caught(post)
    order = Order([id], time.time())
    verdicts = await asyncio.gather(*(site.store.write(screened.drop, order) for _ in range(3)))
    assert sorted(verdict.after for [verdict] in verdicts) == ["", "", "dropped"]


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, WITHOUT_REGISTRY)


@pytest.mark.slow
def test_an_operator_lists_releases_and_drops_by_command(daemon: Daemon) -> None:
    with daemon:
        key = daemon.made_keys()["application"]
        ids = [
            daemon.post("/emails", key, data={**ROBOT, "subject": f"s{number}"}).headers[
                "X-Relay-Message-Id"
            ]
            for number in range(3)
        ]
        released = daemon.command("screened", "release", ids[0])
        assert (released.returncode, released.stdout) == (0, f"{ids[0]}  released\n")
        again = daemon.command("screened", "release", ids[0], "x\x1by")
        assert (again.returncode, again.stdout) == (1, "")
        assert "left alone: there is no such submission" in again.stderr
        assert "\x1b" not in again.stderr
        assert daemon.command("screened", "drop", ids[1]).stdout == f"{ids[1]}  dropped\n"
        shown = daemon.command("screened")
        assert [line[:36] for line in shown.stdout.splitlines()] == [ids[2]]
        assert shown.stderr == "contactform: 1 of 3 screened were released (33%)\n"
        assert "s0" in daemon.command("mailbox").stdout
        history = daemon.command("queue", "show", ids[0]).stdout
        who = system_user().who
        assert f"by {who}; it was screened: honeypot" in history
        audit = daemon.command("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
    stopped = daemon.command("screened", "release", ids[2])
    assert stopped.returncode == 1
    assert "no daemon runs" in stopped.stderr
