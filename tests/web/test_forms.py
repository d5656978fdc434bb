"""Posting forms: replies, refusals, their order and their words, seen from outside."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from relay.site import Site
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.keys import ACCOUNT_KEY, APPLICATION_KEY, OTHER_KEY, PAGE_KEY

SENT = {"status": "success", "response": "Message sent"}

NewToken = Callable[[], Awaitable[int]]

SAMPLE = (
    b"email[useHtml]=1&email[to_address]=desk@example.gov&email[name]=Boston Resident"
    b"&email[from_address]=resident@example.com&email[subject]=I have a great idea."
    b"&email[message]=Why <b>are</b> the roads grey?%0AMake them green."
    b"&email[url]=https://www.example.gov/somepage&email[browser]=Mozilla/5.0&email[contact]="
)


def bracketed(fields: dict[str, Any]) -> dict[str, Any]:
    return {f"email[{name}]": value for name, value in fields.items()}


def multipart(fields: dict[str, str], files: dict[str, str] | None = None) -> tuple[bytes, str]:
    parts = [
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts += [
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"; filename="a.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\n{content}\r\n"
        for name, content in (files or {}).items()
    ]
    return ("".join(parts) + "--frontier--\r\n").encode(), "multipart/form-data; boundary=frontier"


@pytest.mark.gen_test
async def test_a_form_with_a_key_is_sent_and_stored(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/contactform", FORM)
    assert (reply.status, reply.json) == (200, SENT)
    assert outbox.states() == ["sent"]
    assert outbox.last()["id"] == reply.headers["X-Relay-Message-Id"]
    assert outbox.last()["key"] == "application"


@pytest.mark.gen_test
async def test_the_urlencoded_sample_becomes_the_contact_forms_mail(
    post: Post, outbox: Outbox
) -> None:
    media = "application/x-www-form-urlencoded"
    reply = await post("/rest/email/contactform", body=SAMPLE, media=media)
    assert (reply.status, reply.json) == (200, SENT)
    message = outbox.last()["document"]
    assert message["subject"] == "I have a great idea."
    assert message["tag"] == "Contact Form"
    assert message["sender"] == ["contactform@example.gov", "Contact form"]
    assert message["reply_to"] == [["resident@example.com", "Boston Resident"]]
    assert "Why <b>are</b> the roads grey?\nMake them green." in message["text"]
    assert "Why &lt;b&gt;are&lt;/b&gt; the roads grey?<br>" in message["html"]


@pytest.mark.gen_test
@pytest.mark.parametrize("shape", ["multipart", "flat", "brackets", "nested", "mixed"])
async def test_every_body_shape_makes_the_same_message(
    post: Post, outbox: Outbox, shape: str
) -> None:
    fields = {**FORM, "useHtml": "0"}
    await post("/rest/email/contactform", bracketed(fields))
    if shape == "multipart":
        body, media = multipart(bracketed(fields))
        reply = await post("/rest/email/contactform", body=body, media=media)
    elif shape == "mixed":
        mixed = {**fields, **bracketed({"subject": fields["subject"]})}
        reply = await post("/rest/email/contactform", mixed)
    else:
        content = {"flat": fields, "brackets": bracketed(fields), "nested": {"email": fields}}
        reply = await post("/rest/email/contactform", content=content[shape])
    assert (reply.status, reply.json) == (200, SENT)
    first, second = (row["document"] for row in outbox.rows())
    assert {**first, "metadata": None} == {**second, "metadata": None}


@pytest.mark.gen_test
async def test_a_session_post_spends_its_token(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    token = await new_token()
    form = bracketed({**FORM, "token_session": token})
    reply = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (reply.status, reply.json) == (200, SENT)
    again = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (again.status, again.words) == (403, "invalid token")
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_the_key_of_a_session_post_may_be_a_field(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    form = {**FORM, "token_session": await new_token(), "key": PAGE_KEY}
    reply = await post("/rest/email_session/contactform", form, key=None)
    assert reply.json == SENT
    assert PAGE_KEY not in json.dumps(outbox.last()["document"])


@pytest.mark.gen_test
async def test_of_two_racing_posts_with_one_token_one_wins(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    form = {**FORM, "token_session": await new_token()}
    replies = await asyncio.gather(
        *(post("/rest/email_session/contactform", form, key=PAGE_KEY) for _ in range(8))
    )
    assert sorted(reply.status for reply in replies) == [200] + [403] * 7
    assert outbox.states() == ["sent"]


@pytest.mark.gen_test
async def test_a_refused_form_leaves_its_token_usable(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    form = {**FORM, "token_session": await new_token()}
    for bad in ({"to_address": "nobody"}, {"to_address": "a@elsewhere.example.org"}):
        reply = await post("/rest/email_session/contactform", {**form, **bad}, key=PAGE_KEY)
        assert reply.status == 400
    assert outbox.rows() == []
    reply = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert reply.json == SENT


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "key", "form", "status", "words", "reason"),
    [
        ("/rest/email/nowhere", None, {}, 404, "unknown server", "unknown_server"),
        ("/rest/email/contactform", None, {}, 401, "could not authenticate", "no_header"),
        ("/rest/email/contactform", "x" * 40, {}, 401, "could not authenticate", "unknown_key"),
        ("/rest/email/contactform", OTHER_KEY, {}, 401, "could not authenticate", "wrong_server"),
        ("/rest/email/contactform", PAGE_KEY, {}, 401, "could not authenticate", "key_kind"),
        ("/rest/email/contactform", ACCOUNT_KEY, {}, 401, "could not authenticate", "key_kind"),
        ("/rest/email_session/contactform", None, {}, 401, "could not authenticate", "no_header"),
        ("/rest/email_session/contactform", PAGE_KEY, {}, 403, "invalid token", "token_missing"),
        (
            "/rest/email_session/contactform",
            PAGE_KEY,
            {"token_session": "4503599627370496"},
            403,
            "invalid token",
            "token_unknown",
        ),
        (
            "/rest/email_session/contactform",
            PAGE_KEY,
            {"token_session": "4_503_599_627_370"},
            403,
            "invalid token",
            "token_unknown",
        ),
        (
            "/rest/email_session/contactform",
            None,
            {"key": PAGE_KEY + "x", "token_session": "4503599627370496"},
            401,
            "could not authenticate",
            "unknown_key",
        ),
    ],
)
async def test_refusals_come_in_order_before_the_fields_are_looked_at(
    post: Post,
    outbox: Outbox,
    events: list[dict[str, Any]],
    path: str,
    key: str | None,
    form: dict[str, str],
    status: int,
    words: str,
    reason: str,
) -> None:
    reply = await post(path, {**form, "contact": "robot"}, key=key)
    assert (reply.status, reply.json) == (status, {"status": "error", "response": words})
    assert outbox.rows() == []
    [refused] = [event for event in events if event["event"] == "submission.refused"]
    assert (refused["reason"], refused["status"]) == (reason, status)
    assert refused["request"] == reply.headers["X-Request-Id"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"token {APPLICATION_KEY}", 200),
        (f"Token {APPLICATION_KEY}", 200),
        (f"BEARER   {APPLICATION_KEY}", 200),
        (f"Basic {APPLICATION_KEY}", 401),
        (APPLICATION_KEY, 401),
        (f"token {APPLICATION_KEY[:-1]}", 401),
        (f"token {APPLICATION_KEY}x", 401),
        (f"token {APPLICATION_KEY.upper()}", 401),
        (f"token {APPLICATION_KEY[16:]}{APPLICATION_KEY[:16]}", 401),
        ("token", 401),
        ("token ключ-ключ".encode().decode("latin-1"), 401),
        ("token \xff\xfe", 401),
    ],
)
async def test_the_whole_key_counts_under_either_scheme(
    post: Post, outbox: Outbox, header: str, status: int
) -> None:
    reply = await post("/rest/email/contactform", FORM, headers={"Authorization": header})
    assert reply.status == status
    assert len(outbox.rows()) == (status == 200)


@pytest.mark.gen_test
async def test_a_validation_error_names_every_field(post: Post, outbox: Outbox) -> None:
    reply = await post("/rest/email/default", {"from_address": "nobody", "cc": "a@b, c"})
    assert reply.status == 400
    for field in ("to_address", "from_address", "subject", "message", "cc"):
        assert f"{field}: " in reply.words
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_server_names_are_matched_without_regard_to_case(post: Post) -> None:
    assert (await post("/rest/email/ContactForm", FORM)).json == SENT


@pytest.mark.gen_test
@pytest.mark.parametrize("field", ["to_address", "cc", "bcc"])
@pytest.mark.parametrize(
    "address",
    [
        "stranger@example.com",
        "a@evil-example.gov",
        "a@example.gov.evil.com",
        "a@sub.example.gov",
        "a@example.gov, b@evil.com",
        '"desk@example.gov" <a@evil.com>',
        "desk@example.org.evil.com",
        "other@example.org",
        "a@example.gov@evil.com",
        "a%evil.com@example.org",
        "<a@evil.com> desk@example.gov",
        "a@\u0435\u0445ample.gov",
    ],
)
async def test_nobody_can_write_to_a_recipient_that_is_not_listed(
    post: Post, outbox: Outbox, field: str, address: str
) -> None:
    reply = await post("/rest/email/contactform", {**FORM, field: address})
    assert (reply.status, reply.words.startswith(f"{field}: ")) == (400, True)
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("address", ["desk@example.gov", "Desk@EXAMPLE.GOV", "desk@example.org"])
async def test_listed_recipients_are_written_to(post: Post, address: str) -> None:
    assert (await post("/rest/email/contactform", {**FORM, "to_address": address})).json == SENT


@pytest.mark.gen_test
async def test_the_writer_stands_in_from_only_where_senders_lists_them(
    post: Post, outbox: Outbox
) -> None:
    await post("/rest/email/default", {**FORM, "from_address": "Clerk <clerk@example.gov>"})
    await post("/rest/email/default", {**FORM, "sender": "City Desk"})
    listed, unlisted = (row["document"] for row in outbox.rows())
    assert listed["sender"] == ["clerk@example.gov", "Clerk"]
    assert unlisted["sender"] == ["relay@example.gov", "City Desk"]
    assert unlisted["reply_to"] == [["resident@example.com", ""]]


@pytest.mark.gen_test
async def test_only_the_servers_own_headers_may_be_set(post: Post, outbox: Outbox) -> None:
    fields = {"email[headers][0][Name]": "x-form", "email[headers][0][Value]": "7"}
    assert (await post("/rest/email/contactform", {**FORM, **fields})).json == SENT
    assert outbox.last()["document"]["headers"] == [["x-form", "7"]]
    fields["email[headers][0][Name]"] = "Sender"
    reply = await post("/rest/email/contactform", {**FORM, **fields})
    assert (reply.status, reply.words) == (400, "headers: Sender may not be set")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attachments", "a.pdf"),
    ],
)
async def test_what_is_not_offered_is_refused_and_not_ignored(
    post: Post, outbox: Outbox, field: str, value: str
) -> None:
    reply = await post("/rest/email/contactform", {**FORM, field: value})
    assert (reply.status, reply.words.startswith(f"{field}: ")) == (400, True)
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/rest/email_cancelled/contactform", "/rest/email/a/b/c/d"])
async def test_paths_that_do_not_exist_yet_are_404(post: Post, outbox: Outbox, path: str) -> None:
    reply = await post(path, {"id": "x"})
    assert (reply.status, reply.json) == (404, {"status": "error", "response": "not found"})
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_file_is_refused_by_its_fields_name(post: Post, outbox: Outbox) -> None:
    body, media = multipart(FORM, files={"email[photo]": "hello"})
    reply = await post("/rest/email/contactform", body=body, media=media)
    assert (reply.status, "photo" in reply.words) == (400, True)
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_the_old_path_is_the_same_and_says_that_it_is_old(post: Post, outbox: Outbox) -> None:
    reply = await post("/emails", FORM)
    assert reply.json == SENT
    assert outbox.last()["server"] == "contactform"
    refusal = await post("/emails", FORM, key=None)
    assert refusal.status == 401
    for answer in (reply, refusal):
        assert answer.headers["Deprecation"] == "@1609459200"
        link = '</rest/email/contactform>; rel="successor-version"'
        assert answer.headers["Link"] == link


@pytest.mark.gen_test
async def test_a_robot_is_told_what_everybody_is_told(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    clean = {**FORM, "token_session": await new_token(), "contact": ""}
    filled = {**FORM, "token_session": await new_token(), "contact": "http://spam.example"}
    genuine = await post("/rest/email_session/contactform", clean, key=PAGE_KEY)
    fooled = await post("/rest/email_session/contactform", filled, key=PAGE_KEY)
    assert fooled.body == genuine.body
    assert sorted(fooled.headers) == sorted(genuine.headers)
    assert outbox.states() == ["sent", "screened"]
    assert outbox.last()["words"] == "honeypot"
    assert outbox.last()["document"]["fields"]["contact"] == "http://spam.example"
    assert outbox.unspent_tokens() == 0
    again = await post("/rest/email_session/contactform", filled, key=PAGE_KEY)
    assert again.status == 403


@pytest.mark.gen_test
async def test_a_form_without_javascript_comes_back_to_its_page(
    post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    token = await new_token()
    form = {**FORM, "token_session": token, "key": PAGE_KEY, "return_to": "thanks"}
    reply = await post("/rest/email_session/contactform", form, key=None)
    assert reply.status == 303
    assert reply.headers["Location"] == "https://www.example.gov/thanks?lang=en&relay=sent"
    spent = await post("/rest/email_session/contactform", {**form, "name": "Other"}, key=None)
    assert spent.status == 303
    refused = "https://www.example.gov/thanks?lang=en&relay=error&relay_reason=token"
    assert spent.headers["Location"] == refused
    assert len(outbox.rows()) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("target", ["elsewhere", "https://evil.com", "//evil.com", "/\\evil.com"])
async def test_the_page_to_return_to_never_comes_from_the_request(
    post: Post, outbox: Outbox, target: str
) -> None:
    reply = await post("/rest/email/contactform", {**FORM, "return_to": target})
    assert (reply.status, reply.words) == (400, "return_to: no page of that name")
    assert "Location" not in reply.headers
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_json_post_is_answered_json_whatever_it_says_of_returning(post: Post) -> None:
    reply = await post("/rest/email/contactform", content={**FORM, "return_to": "thanks"})
    assert (reply.status, reply.json) == (200, SENT)


@pytest.mark.gen_test
async def test_every_reply_carries_its_headers(post: Post) -> None:
    for reply in (
        await post("/rest/email/contactform", FORM),
        await post("/rest/email/contactform", {}),
        await post("/nowhere", {}),
    ):
        assert reply.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert len(reply.headers["X-Request-Id"]) == 16


@pytest.mark.gen_test
async def test_nothing_private_stands_in_the_log(
    post: Post, events: list[dict[str, Any]], new_token: NewToken
) -> None:
    token = await new_token()
    canaries = {
        "subject": "canary-subject",
        "message": "canary-message",
        "from_address": "canary-writer@example.com",
        "to_address": "canary-desk@example.gov",
        "name": "canary-name",
    }
    form = {**canaries, "token_session": token}
    await post("/rest/email_session/contactform?canary=query", form, key=PAGE_KEY)
    await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    await post("/rest/email/contactform", {**canaries, "cc": "canary@x", "headers": "canary"})
    await post("/rest/email/contactform", canaries, key="canary-key-canary-key-canary-key")
    logged = json.dumps(events)
    assert "message.sent" in logged
    assert "submission.refused" in logged
    assert "canary" not in logged
    assert str(token) not in logged


@pytest.mark.gen_test
async def test_a_full_outbox_is_503_before_anything_is_stored(
    site: Site, post: Post, outbox: Outbox
) -> None:
    site.dispatcher._waiting = site.settings.limits.max_waiting
    reply = await post("/rest/email/contactform", FORM)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "120")
    assert reply.json["status"] == "error"
    assert outbox.rows() == []


class TestOpenDoor:
    """A server whose session posts need no key, and one that takes posts to unknown names."""

    @pytest.fixture
    def settings_toml(self) -> str:
        relay = '[relay]\nunknown_server = "default"\nlegacy_server = "default"\n'
        optional = 'origins = ["https://www.example.gov"]\nsession_key = "optional"'
        return relay + SETTINGS.replace('origins = ["https://www.example.gov"]', optional)

    @pytest.mark.gen_test
    async def test_a_session_post_without_a_key_needs_its_token_still(
        self, post: Post, outbox: Outbox, new_token: NewToken
    ) -> None:
        path = "/rest/email_session/contactform"
        without = await post(path, FORM, key=None)
        assert (without.status, without.words) == (403, "invalid token")
        form = {**FORM, "token_session": await new_token()}
        assert (await post(path, form, key="x" * 40)).status == 401
        assert (await post("/rest/email/contactform", form, key=None)).status == 401
        assert outbox.rows() == []
        assert (await post(path, form, key=None)).json == SENT
        assert outbox.last()["key"] == ""

    @pytest.mark.gen_test
    async def test_posts_to_unknown_names_go_to_the_server_that_takes_them(
        self, post: Post, outbox: Outbox
    ) -> None:
        assert (await post("/rest/email/nowhere", FORM)).json == SENT
        assert outbox.last()["server"] == "default"
        assert (await post("/rest/email/nowhere", FORM, key="x" * 40)).status == 401

    @pytest.mark.gen_test
    async def test_the_old_path_posts_to_the_server_of_the_settings(
        self, post: Post, outbox: Outbox
    ) -> None:
        reply = await post("/emails", FORM)
        assert outbox.last()["server"] == "default"
        assert "/rest/email/default" in reply.headers["Link"]


@pytest.mark.gen_test
async def test_a_database_that_cannot_be_read_or_written_is_503(
    site: Site, post: Post, outbox: Outbox, new_token: NewToken
) -> None:
    def drop(connection: Connection, batch: Sequence[str]) -> Sequence[None]:
        for table in batch:
            connection.exec_driver_sql(f"DROP TABLE {table}")
        return [None] * len(batch)

    form = {**FORM, "token_session": await new_token()}
    await site.store.write(drop, "tokens")
    read = await post("/rest/email_session/contactform", form, key=PAGE_KEY)
    assert (read.status, read.headers["Retry-After"]) == (503, "5")
    assert read.json == {"status": "error", "response": "cannot be stored now"}
    await site.store.write(drop, "contents")
    written = await post("/rest/email/contactform", FORM)
    assert (written.status, written.headers["Retry-After"]) == (503, "5")
    query = text("SELECT count(*) FROM messages")
    assert site.store.read_now(lambda connection: connection.execute(query).scalar()) == 0
