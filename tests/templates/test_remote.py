"""The client of the Templates API, against a real HTTP server that can be told to fail."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from relay.core.errors import AccountError
from relay.core.secret import Secret
from relay.core.server import Account
from relay.templates.remote import RemoteTemplates
from relay.templates.rules import TemplateDraft

TOKEN = "token-of-an-account-elsewhere"

Answer = tuple[int, Any, dict[str, str]]


class FakeAccount:
    """Answers as `rows` say, or with the next of `answers`; `calls` is what was asked."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.tokens: set[str | None] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                fake.tokens.add(self.headers["X-Postmark-Server-Token"])
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                fake.calls.append((self.command, self.path, body))
                ordinary = not fake.answers
                status, content, headers = fake.page(self.path) if ordinary else fake.answers.pop(0)
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/base"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def page(self, path: str) -> Answer:
        parts = urlsplit(path)
        if parts.path != "/base/templates":
            number = int(parts.path.rpartition("/")[2])
            return 200, next(row for row in self.rows if row["TemplateId"] == number), {}
        query = parse_qs(parts.query)
        offset, count = int(query["Offset"][0]), int(query["Count"][0])
        page = self.rows[offset : offset + count]
        return 200, {"TotalCount": len(self.rows), "Templates": page}, {}

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def fake() -> Iterator[FakeAccount]:
    account = FakeAccount()
    yield account
    account.stop()


@pytest.fixture
def remote(fake: FakeAccount) -> Iterator[RemoteTemplates]:
    templates = RemoteTemplates(Account(f"{fake.url}/", Secret(TOKEN)))
    yield templates
    templates.close()


ROW = {
    "TemplateId": 7,
    "Name": "Welcome",
    "Alias": "welcome",
    "Subject": "Hello",
    "HtmlBody": "<p>Hello</p>",
    "TextBody": None,
    "Active": True,
    "TemplateType": "Standard",
    "LayoutTemplate": None,
    "AssociatedServerId": 2,
}
DRAFT = TemplateDraft(
    name="Welcome",
    alias="welcome",
    type="Standard",
    subject="Hello",
    html="<p>Hello</p>",
    text="",
    layout="",
    id=7,
)


def test_a_template_comes_whole(fake: FakeAccount, remote: RemoteTemplates) -> None:
    layout = {**ROW, "TemplateId": 8, "TemplateType": "Layout", "Subject": None, "Alias": None}
    fake.rows = [ROW, layout]
    assert remote.fetch(7) == DRAFT
    assert remote.fetch(8) == replace(
        DRAFT, alias=None, type="Layout", subject=None, layout=None, id=8
    )
    assert fake.tokens == {TOKEN}


def test_every_page_of_a_list_is_read(fake: FakeAccount, remote: RemoteTemplates) -> None:
    fake.rows = [{**ROW, "TemplateId": number} for number in range(1, 251)]
    assert [row.id for row in remote.listed()] == list(range(1, 251))
    assert [call[1].partition("?")[2] for call in fake.calls] == [
        "Count=100&Offset=0",
        "Count=100&Offset=100",
        "Count=100&Offset=200",
    ]


def test_a_list_that_promises_more_than_it_has_ends(
    fake: FakeAccount, remote: RemoteTemplates
) -> None:
    fake.answers = [
        (200, {"TotalCount": 9, "Templates": [ROW]}, {}),
        (200, {"TotalCount": 9, "Templates": []}, {}),
    ]
    assert len(remote.listed()) == 1


def test_create_and_edit_send_postmarks_fields(fake: FakeAccount, remote: RemoteTemplates) -> None:
    fake.answers = [(200, {"TemplateId": 9}, {})] * 4
    remote.create(replace(DRAFT, layout="basic"))
    remote.edit(7, DRAFT)
    layout = TemplateDraft(name="Basic", alias="basic", type="Layout", html="{{{@content}}}")
    remote.create(layout)
    remote.edit(8, layout)
    parts = {"Name": "Welcome", "Subject": "Hello", "HtmlBody": "<p>Hello</p>", "TextBody": ""}
    basic = {"Name": "Basic", "HtmlBody": "{{{@content}}}", "TextBody": ""}
    assert fake.calls == [
        (
            "POST",
            "/base/templates",
            {**parts, "LayoutTemplate": "basic", "Alias": "welcome", "TemplateType": "Standard"},
        ),
        ("PUT", "/base/templates/7", {**parts, "LayoutTemplate": ""}),
        ("POST", "/base/templates", {**basic, "Alias": "basic", "TemplateType": "Layout"}),
        ("PUT", "/base/templates/8", basic),
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_a_call_that_is_put_off_is_repeated(
    fake: FakeAccount, remote: RemoteTemplates, status: int
) -> None:
    fake.rows = [ROW]
    fake.answers = [(status, b"", {"Retry-After": "0"})] * 3
    assert remote.fetch(7) == DRAFT
    assert len(fake.calls) == 4


def test_a_call_is_put_off_four_times_at_most(fake: FakeAccount, remote: RemoteTemplates) -> None:
    fake.answers = [(503, {"ErrorCode": 100, "Message": "Maintenance."}, {"Retry-After": "0"})] * 5
    with pytest.raises(AccountError, match=r"503 \(ErrorCode 100\): Maintenance\."):
        remote.fetch(7)
    assert len(fake.calls) == 4


def test_an_account_that_asks_for_an_hour_is_left_alone(
    fake: FakeAccount, remote: RemoteTemplates
) -> None:
    fake.answers = [(429, b"", {"Retry-After": "3600"})]
    with pytest.raises(AccountError, match="answered 429"):
        remote.listed()
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (422, {"ErrorCode": 1122, "Message": "The alias\nis \x1b[2Jtaken."}, {}),
            "answered 422 (ErrorCode 1122): The alias is [2Jtaken.",
        ),
        ((401, {"ErrorCode": 10, "Message": "No."}, {}), "answered 401 (ErrorCode 10): No."),
        ((404, b"<html>", {}), "answered 404"),
        ((302, b"", {"Location": "http://127.0.0.1:9/"}), "answered 302"),
        ((200, b"<html>", {}), "is it the URL?"),
        ((200, {"Templates": [{"Name": "no number"}]}, {}), "is it the URL?"),
        ((200, {"Templates": [{"TemplateId": 1, "Name": 5}]}, {}), "is it the URL?"),
        ((200, [], {}), "is it the URL?"),
        ((200, b"[" * 100_000, {}), "is it the URL?"),
    ],
)
def test_an_error_is_one_line_with_the_accounts_words(
    fake: FakeAccount, remote: RemoteTemplates, answer: Answer, words: str
) -> None:
    fake.answers = [answer]
    with pytest.raises(AccountError) as caught:
        remote.listed()
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel-\u2603"])
def test_a_token_that_is_no_headers_value_is_not_shown(fake: FakeAccount, token: str) -> None:
    with pytest.raises(AccountError) as caught:
        RemoteTemplates(Account(fake.url, Secret(token))).listed()
    assert "no answer" in str(caught.value)
    assert not any(part in repr(caught.value) for part in token.split("\n"))
    assert fake.calls == []


def test_an_account_that_is_not_there_is_one_line(fake: FakeAccount) -> None:
    fake.stop()
    with pytest.raises(AccountError) as caught:
        RemoteTemplates(Account("http://user:password@127.0.0.1:1", Secret(TOKEN))).listed()
    assert str(caught.value) == "127.0.0.1:1: no answer: ConnectionError"


def test_half_a_character_is_replaced(fake: FakeAccount, remote: RemoteTemplates) -> None:
    fake.answers = [(200, b'{"TemplateId": 7, "Name": "a\\ud800b\\ud83d\\ude00"}', {})]
    assert remote.fetch(7).name == "a\ufffdb\U0001f600"
