"""Forms without JavaScript: the visitor comes back to a page, which is told what became of it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from relay.intake.idempotency import HEADER
from relay.site import Site
from relay.web import return_page
from tests.conftest import FORM, SETTINGS, Outbox, Post, Reply
from tests.support.docs import section
from tests.support.keys import PAGE_KEY, key
from tests.support.stored import by

FILES = """
[servers.files]
plugins = ["bearer_token", "session_token", "honeypot", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov"]
origins = ["https://www.example.gov"]
receipt = true
attachments = { max_bytes = 100000 }

[servers.files.return_to]
thanks = "https://www.example.gov/thanks?lang=en"
"my page" = "https://www.example.gov/my"
"""
LIMITS = "[relay.limits]\nform_bytes = 20000\nposts_per_minute = {posts}\n"
PATH = "/rest/email/files"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=frontier"
PAGE = {"return_to": "thanks", **FORM}

NewToken = Callable[[], Awaitable[int]]


@pytest.fixture
def settings_toml() -> str:
    keys = key("application", "files", "contactform", "default")
    keys += key("page", "files", "contactform", kind="publishable")
    servers = SETTINGS[SETTINGS.index("[servers.contactform]") :]
    return LIMITS.format(posts=0) + keys + servers + FILES


def part(name: str, content: str, more: str = "") -> str:
    return f'--frontier\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{content}\r\n'


def multipart(
    fields: dict[str, str], file: bytes | None = None, end: str = "--frontier--"
) -> bytes:
    texts = "".join(part(name, value) for name, value in fields.items()).encode()
    if file is not None:
        texts += part("plan", "", '; filename="plan.pdf"').encode().removesuffix(b"\r\n")
        texts += file + b"\r\n"
    return texts + f"{end}\r\n".encode()


def told(reply: Reply) -> dict[str, str]:
    """What a page is told, in the query of its own URL."""
    assert (reply.status, reply.body) == (303, b"")
    url = urlsplit(reply.headers["Location"])
    assert url.netloc == "www.example.gov"
    query = {name: value for name, [value] in parse_qs(url.query).items()}
    if url.path == "/thanks":
        assert query.pop("lang") == "en"
    return query


TWICE = urlencode(PAGE) + "&subject=another"


@pytest.mark.gen_test(timeout=30)
async def test_every_error_goes_back_to_the_page_with_its_reason(
    post: Post, outbox: Outbox
) -> None:
    for name, media, body, reason in [
        ("no address", URLENCODED, urlencode({**PAGE, "from_address": "nobody"}), "address"),
        ("no field", URLENCODED, urlencode({**PAGE, "useHtml": "perhaps"}), "field"),
        ("given twice", URLENCODED, TWICE, "field"),
        ("an office not listed", URLENCODED, urlencode({**PAGE, "to_address": "a@b.org"}), "form"),
        ("charset", f"{URLENCODED}; charset=utf-16", urlencode(PAGE), "form"),
        ("bytes", URLENCODED, urlencode(PAGE).encode() + b"&x=%ff%fe", "form"),
        ("too many", URLENCODED, urlencode(PAGE) + "&x" * 300, "form"),
        ("too large", URLENCODED, urlencode({**PAGE, "message": "x" * 30000}), "too_large"),
        ("far too large", URLENCODED, urlencode({**PAGE, "message": "x" * 900000}), "too_large"),
        ("another file", MULTIPART, multipart(PAGE, b"no pdf at all"), "file"),
        ("file too large", MULTIPART, multipart(PAGE, b"%PDF-1.4" + b"x" * 110000), "file"),
        ("body too large", MULTIPART, multipart(PAGE, b"%PDF-1.4" + b"x" * 900000), "too_large"),
        ("cut off", MULTIPART, multipart(PAGE, b"%PDF-1.4", end=""), "form"),
        ("wrapped", URLENCODED, TWICE.replace("return_to", "email%5Breturn_to%5D"), "field"),
        ("a name with a blank", URLENCODED, TWICE.replace("=thanks", "=my+page"), "field"),
        ("the page first", MULTIPART, multipart({"return_to": "thanks"}), "address"),
    ]:
        content = body if isinstance(body, bytes) else body.encode()
        reply = await post(PATH, body=content, media=media)
        assert told(reply) == {"relay": "error", "relay_reason": reason}, name
    wrong = await post(PATH, PAGE, key="wrong-key-wrong-key-wrong-key-wrong")
    assert told(wrong) == {"relay": "error", "relay_reason": "key"}
    session = "/rest/email_session/contactform"
    for token in ("", "6755399441055744"):
        form = {**PAGE, "token_session": token, "key": PAGE_KEY}
        assert told(await post(session, form, key=None))["relay_reason"] == "token"
    for origin in ("https://evil.example", "null"):
        reply = await post(PATH, PAGE, headers={"Origin": origin})
        assert told(reply) == {"relay": "error", "relay_reason": "origin"}
        assert "Access-Control-Allow-Origin" not in reply.headers
        assert (await post(PATH, FORM, headers={"Origin": origin})).status == 403
        assert (await post(PATH, content=PAGE, headers={"Origin": origin})).status == 403
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_without_a_known_page_errors_are_json_as_ever(post: Post, outbox: Outbox) -> None:
    large = "x" * 30000
    for body, status in [
        (urlencode({**FORM, "return_to": "elsewhere"}), 400),
        (urlencode({**FORM, "return_to": "elsewhere", "message": large}), 413),
        (urlencode({**FORM, "return_to": "https://evil.example/", "message": large}), 413),
        (urlencode(FORM) + "&subject=another", 400),
        (urlencode({**FORM, "message": "&return_to=thanks"}) + "&subject=another", 400),
        (urlencode({**FORM, "do_not_return_to": "thanks", "message": large}), 413),
    ]:
        reply = await post(PATH, body=body.encode(), media=URLENCODED)
        assert (reply.status, "Location" in reply.headers) == (status, False), body[-100:]
        assert reply.json["status"] == "error"
    reply = await post(PATH, content={**PAGE, "from_address": "nobody"})
    assert (reply.status, "Location" in reply.headers) == (400, False)
    # Only where the server has a table of pages.
    reply = await post("/rest/email/default", body=TWICE.encode(), media=URLENCODED)
    assert reply.status == 400
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_page_and_a_script_learn_the_reference(post: Post, outbox: Outbox) -> None:
    page = await post(PATH, PAGE)
    reference = page.headers["X-Relay-Reference"]
    assert told(page) == {"relay": "sent", "relay_reference": reference}
    headers = dict(outbox.last()["document"]["headers"])
    assert headers["X-Relay-Reference"] == reference
    origin = {"Origin": "https://www.example.gov"}
    again = await post(PATH, FORM, headers={**origin, HEADER: "one"})
    assert again.headers["X-Relay-Reference"] not in ("", reference)
    assert "X-Relay-Reference" in again.headers["Access-Control-Expose-Headers"]
    assert again.json == {"status": "success", "response": "Message sent"}
    repeated = await post(PATH, FORM, headers={**origin, HEADER: "one"})
    assert repeated.headers["X-Relay-Reference"] == again.headers["X-Relay-Reference"]
    # Where writers are told nothing there is none.
    plain = await post("/rest/email/contactform", PAGE)
    assert told(plain) == {"relay": "sent"}
    assert "X-Relay-Reference" not in plain.headers


@pytest.mark.gen_test
async def test_a_robot_is_told_a_reference_too_and_it_stays(
    post: Post, site: Site, outbox: Outbox
) -> None:
    clean = await post(PATH, FORM)
    robot = await post(PATH, {**FORM, "contact": "https://spam.example"})
    assert sorted(robot.headers) == sorted(clean.headers)
    id = robot.headers["X-Relay-Message-Id"]
    assert await site.acceptance.release(id, 1.0, by("somebody"))
    headers = dict(outbox.last()["document"]["headers"])
    assert headers["X-Relay-Reference"] == robot.headers["X-Relay-Reference"]


SESSION = "/rest/email_session/files"


@pytest.mark.gen_test(timeout=30)
async def test_send_pressed_twice_is_sent_once_and_no_error(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    for name, more, state in [
        ("plain", {}, "sent"),
        ("a robot", {"contact": "https://spam.example"}, "screened"),
        ("HTML", {"useHtml": "1", "message": "<b>a</b>"}, "sent"),
        ("later", {"senddatetime": "+1 day"}, "scheduled"),
        ("other letters", {"name": "Zoë"}, "sent"),
    ]:
        form = {**PAGE, "token_session": await new_token(), "key": PAGE_KEY, **more}
        first, second = [await post(SESSION, form, key=None) for _ in range(2)]
        assert told(second) == told(first), name
        assert told(first)["relay_reference"], name
        assert second.headers["X-Relay-Message-Id"] == first.headers["X-Relay-Message-Id"]
        assert outbox.states()[-1] == state
        # Other content, another server, another way of asking: refused as ever.
        other = {**form, "subject": "Another"}
        assert told(await post(SESSION, other, key=None))["relay_reason"] == "token"
        elsewhere = await post("/rest/email_session/contactform", form, key=None)
        assert told(elsewhere)["relay_reason"] == "token"
        bare = {name: value for name, value in form.items() if name != "return_to"}
        for asked in ({"form": bare}, {"content": form}):
            reply = await post(SESSION, key=None, **asked)
            assert (reply.status, reply.words) == (403, "invalid token")
    assert len(outbox.rows()) == 5


@pytest.mark.gen_test
async def test_a_token_spent_by_a_script_is_refused_to_a_page(
    post: Post, new_token: NewToken
) -> None:
    form = {**FORM, "token_session": await new_token()}
    assert (await post(SESSION, form, key=PAGE_KEY)).status == 200
    reply = await post(SESSION, {**form, "return_to": "thanks"}, key=PAGE_KEY)
    assert told(reply)["relay_reason"] == "token"


@pytest.mark.gen_test
async def test_two_racing_posts_are_one_mail_and_two_pages_that_say_so(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    form = {**PAGE, "token_session": await new_token(), "key": PAGE_KEY}
    replies = await asyncio.gather(*(post(SESSION, form, key=None) for _ in range(4)))
    results = [told(reply) for reply in replies]
    assert {one["relay"] for one in results} <= {"sent", "queued"}
    assert len({one["relay_reference"] for one in results}) == 1
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_a_file_is_part_of_the_content(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    form = {**PAGE, "token_session": str(await new_token()), "key": PAGE_KEY}
    same, other = multipart(form, b"%PDF-1.4 one"), multipart(form, b"%PDF-1.4 two")
    first, second = [await post(SESSION, body=same, media=MULTIPART, key=None) for _ in range(2)]
    assert told(first) == told(second)
    third = await post(SESSION, body=other, media=MULTIPART, key=None)
    assert told(third)["relay_reason"] == "token"
    assert len(outbox.rows()) == 1


class TestWithLimits:
    @pytest.fixture
    def settings_toml(self) -> str:
        proxies = '[relay]\ntrusted_proxies = ["127.0.0.1", "::1"]\n'
        return proxies + LIMITS.format(posts=1) + SETTINGS

    @pytest.mark.gen_test
    async def test_who_posts_too_much_goes_back_to_the_page(
        self, post: Post, outbox: Outbox
    ) -> None:
        away = {"X-Forwarded-For": "203.0.113.7"}
        replies = [await post("/rest/email/contactform", PAGE, headers=away) for _ in range(2)]
        assert [told(reply).get("relay_reason") for reply in replies] == [None, "too_many"]
        assert outbox.states() == ["sent"]


class TestWhileTheOutboxIsFull:
    @pytest.fixture
    def settings_toml(self) -> str:
        return "[relay]\nenabled = false\nlimits = { max_waiting = 1 }\n" + SETTINGS

    @pytest.mark.gen_test
    async def test_what_cannot_be_stored_now_goes_back_to_the_page(
        self, post: Post, outbox: Outbox
    ) -> None:
        replies = [await post("/rest/email/contactform", PAGE) for _ in range(2)]
        assert [told(reply) for reply in replies] == [
            {"relay": "queued"},
            {"relay": "error", "relay_reason": "unavailable"},
        ]
        assert outbox.states() == ["queued"]


def test_every_reason_is_explained() -> None:
    words = {*return_page.REASONS.values(), *return_page.KINDS.values()}
    explained = section("forms/web-page", "### What the page is told")
    rows = re.findall(r"^\| (`.+?`) \|", explained, re.MULTILINE)
    told = {word.strip("`") for row in rows[1:] for word in row.split(", ")}
    assert told == words | {"address", "field", "form", "broken"}
