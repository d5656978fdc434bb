"""A form that is broken for everybody is told: posts that break something, or are refused alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.cli.serve import read_again
from relay.notifications.alerts.recent_posts import LEAST, MOST, SECONDS, RecentPosts
from relay.site import Site
from tests.conftest import FORM, Post
from tests.notifications.alerts.conftest import HOUR, MINUTE, Mail, script
from tests.support.keys import key

Mails = Callable[[], list[Mail]]

# A plugin that raises in one of its hooks, with what a visitor wrote.
FRAGILE = """
from marshmallow import pre_load
from relay import EmailForm, base_message, hookimpl

breaks = ""

def step(name, words):
    if name == breaks:
        raise LookupError(words)

class Form(EmailForm):
    @pre_load
    def prepare(self, data, **more):
        step("prepare", data["message"])
        return data

@hookimpl
def schema(server):
    return Form()

@hookimpl(tryfirst=True)
def authenticate(submission, server):
    step("authenticate", submission.fields["message"])

@hookimpl(tryfirst=True)
def check_token(submission, identity, server):
    step("check_token", submission.fields["message"])

@hookimpl
def screen(submission, server):
    step("screen", submission.fields["message"])

@hookimpl
def compose(form, server):
    step("compose", form["message"])
    return None if breaks == "nothing" else base_message(form, server)
"""

FORMS = """
[servers.fragile]
plugins = ["bearer_token", "session_token", "fragile", "provider"]
sender = "fragile@example.gov"
recipients = ["desk@example.gov"]
origins = ["https://www.example.gov"]
scheduling = false
"""
PATH = "/rest/email/fragile"


@pytest.fixture
def settings_toml(settings_toml: str, tmp_path: Path) -> str:
    (tmp_path / "plugins" / "fragile.py").write_text(FRAGILE, encoding="utf-8")
    old, new = key("application", "registry", "quiet"), key("application", "registry", "fragile")
    return settings_toml.replace(old, new) + FORMS


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        ("authenticate", "LookupError in fragile step"),
        ("check_token", "LookupError in fragile step"),
        ("screen", "LookupError in fragile step"),
        ("prepare", "LookupError in fragile step"),
        ("compose", "LookupError in fragile step"),
        ("nothing", "NoMessage"),
    ],
)
@pytest.mark.gen_test
async def test_a_post_that_breaks_something_is_told_at_once_without_what_was_posted(
    site: Site, post: Post, mails: Mails, now: float, breaks: str, reason: str
) -> None:
    path = PATH if breaks != "check_token" else PATH.replace("email/", "email_session/")
    script("fragile").breaks = breaks
    assert (await post(path, FORM)).status == 500
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] fragile: 1 post broke a plugin or Relay"
    assert f"Reasons:  {reason} 1\n" in mail.text
    assert FORM["message"] not in mail.text
    await post(path, FORM)
    assert [await site.alerts.look(now + after) for after in (15, 899, 900)] == [0, 0, 1]


STRANGE = {"headers": {"Origin": "https://www.example.com"}}
MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("reason", "request_"),
    [
        ("origin", {"form": FORM, **STRANGE}),
        ("origin", {"method": "OPTIONS", **STRANGE}),
        ("recipient", {"form": FORM | {"to_address": "mayor@example.gov"}}),
        ("invalid", {"form": FORM | {"from_address": "mayor"}}),
        ("invalid", {"form": {"message": "Hello"}}),
        ("malformed", {"body": b"{", "media": "application/json"}),
        ("malformed", {"body": b"--y", "media": MULTIPART}),
        ("media_type", {"body": b"<a/>", "media": "text/xml"}),
        ("too_large", {"form": FORM | {"message": "x" * 1_100_000}}),
        ("scheduling", {"form": FORM | {"senddatetime": "tomorrow 09:30"}}),
    ],
)
@pytest.mark.gen_test
async def test_a_form_whose_posts_are_refused_for_the_same_reason_is_told(
    site: Site, post: Post, mails: Mails, now: float, reason: str, request_: dict[str, Any]
) -> None:
    for _ in range(LEAST - 1):
        assert 400 <= (await post(PATH, **request_)).status < 500
    assert await site.alerts.look(now) == 0
    await post(PATH, **request_)
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    words = f"fragile: {LEAST} posts refused for the same reason: {reason}"
    assert mail.subject == f"[Relay] {words}"
    assert "mayor" not in mail.text


@pytest.mark.gen_test
async def test_what_is_taken_counts_for_the_share(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    for _ in range(LEAST + 1):
        assert (await post(PATH, FORM)).status == 200
    for _ in range(LEAST):
        assert (await post(PATH, FORM, **STRANGE)).status == 403
    assert await site.alerts.look(now) == 0
    await post(PATH, FORM, **STRANGE)
    assert await site.alerts.look(now) == 1
    assert mails()[0].subject.endswith("11 posts refused for the same reason: origin")


@pytest.mark.gen_test
async def test_pages_that_may_not_ask_for_a_token_are_told(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    create = "/rest/email_token/create"
    for _ in range(LEAST + 1):
        assert (await post(create)).status == 200
    for _ in range(LEAST):
        assert (await post(create, **STRANGE)).status == 403
    assert await site.alerts.look(now) == 0
    await post(create, **STRANGE)
    assert await site.alerts.look(now) == 1
    assert mails()[0].subject.startswith("[Relay] Relay: 11 posts refused")


@pytest.mark.gen_test
async def test_bad_keys_and_unknown_servers_are_no_broken_form(
    site: Site, post: Post, mails: Mails, now: float
) -> None:
    for _ in range(LEAST):
        assert (await post(PATH, FORM, key="wrong")).status == 401
        assert (await post("/rest/email/nowhere", FORM)).status == 404
    await site.alerts.look(now)
    assert [mail.subject for mail in mails()] == ["[Relay] fragile: 10 calls with a wrong key"]


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_settings_that_are_not_taken_are_told(
    site: Site,
    mails: Mails,
    now: float,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = site.settings.path
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace("scheduling", "schedulling"), encoding="utf-8")
    problem = read_again(site)
    assert problem is not None
    assert await site.alerts.look(now) == 1
    [mail] = mails()
    assert mail.subject == "[Relay] Relay: broken settings were not taken"
    assert "schedulling" in mail.text
    path.write_text(good, encoding="utf-8")
    assert read_again(site) is None
    assert await site.alerts.look(now + HOUR) == 0


@pytest.mark.parametrize(
    ("posts", "told"),
    [
        ([("origin", 0)] * 9, 0),
        ([("origin", 0)] * 10, 10),
        ([("origin", 0)] * 12, 12),
        ([("", 0)] * 5 + [("origin", 0)] * 5, 5),
        ([("", 0)] * 6 + [("origin", 0)] * 5, 0),
        ([("invalid", 0)] * 5 + [("origin", 0)] * 4 + [("", 0)] * 2, 0),
        ([("origin", 0)] * 9 + [("origin", SECONDS + 1)], 0),
        ([("", 0)] * 50 + [("origin", SECONDS + 1)] * 10, 10),
        ([("", 0)] * 500 + [("origin", 0)] * (MOST // 2), MOST // 2),
        ([("origin", minute * 2 * MINUTE) for minute in range(99)], 0),
    ],
)
def test_the_share_is_that_of_some_minutes(posts: list[tuple[str, float]], told: int) -> None:
    recent = RecentPosts()
    assert sum(recent.add(reason, at) for reason, at in posts) == told
