"""The pages, seen by a browser without its user: what they show, to whom, and what they refuse."""

import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from email import message_from_bytes
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

from relay.core.addresses import Address
from relay.core.immutable import freeze
from relay.core.message import Attachment, Message
from relay.core.urls import http_url
from relay.intake.outbox import identified
from relay.site import Site
from relay.store.outbox import enqueue as outbox_rows
from relay.store.queries import listing
from relay.templates.rules import TemplateDraft
from relay.web.pages import make_pages
from relay.web.pages.handler import own_hosts
from relay.web.pages.trial import PREFILLED
from tests.conftest import FORM, POSTMARK_SETTINGS, SETTINGS, Outbox, Post, Reply
from tests.support.fake_postmark import FakePostmark
from tests.support.stored import by

# As it comes: no keys, so that they are made at the first start.
SHIPPED = """
[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["*"]

[servers.default]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["*"]
headers = ["X-Form"]
attachments = true
"""

Deliver = Callable[..., Awaitable[str]]
Keep = Callable[..., Awaitable[str]]
StoreTemplate = Callable[..., Awaitable[int]]

PDF = Attachment("plan.pdf", "application/pdf", base64.b64encode(b"%PDF-1.7").decode())


class Page(Reply):
    """An answer of the pages: its `text`, and where its links lead by their words."""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def links(self) -> dict[str, str]:
        found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>([^<]*)</a>', self.text)
        return {words.strip(): url.replace("&amp;", "&") for url, words in found}

    @property
    def subjects(self) -> list[str]:
        return re.findall(r'class="subject"[^>]*>([^<]*)<', self.text)


class Pages:
    """The pages of a site, on a port of their own."""

    def __init__(self, client: AsyncHTTPClient, port: int) -> None:
        self._client = client
        self.origin = f"http://127.0.0.1:{port}"
        self.port = port

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Page:
        return await self._fetch(path, headers=headers)

    async def post(
        self, path: str, form: dict[str, str], headers: dict[str, str] | None = None
    ) -> Page:
        """Post a form as this listener's own page would, unless the headers say otherwise."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} if headers is None else {}
        media = {"Content-Type": "application/x-www-form-urlencoded"}
        sent = {**media, **own, **(headers or {})}
        return await self._fetch(path, method="POST", body=urlencode(form), headers=sent)

    async def _fetch(self, path: str, **options: Any) -> Page:
        return Page(
            await self._client.fetch(
                self.origin + path,
                follow_redirects=False,
                raise_error=False,
                allow_nonstandard_methods=True,
                **options,
            )
        )


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SHIPPED + POSTMARK_SETTINGS.replace("{postmark_url}", postmark.url)


@pytest.fixture
def pages(
    site: Site,
    http_server: HTTPServer,
    http_port: int,
    http_client: AsyncHTTPClient,
    io_loop: IOLoop,
) -> Iterator[Pages]:
    """The pages beside the API, each on its own port."""
    server = HTTPServer(make_pages(site))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    site.listening, site.pages = ("127.0.0.1", http_port), ("127.0.0.1", port)
    yield Pages(http_client, port)
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def deliver(site: Site, post: Post) -> Deliver:
    """Post a form to a server, with changes to FORM; give the id of what was delivered."""

    async def deliver_form(server: str = "default", **changes: str) -> str:
        key = site.made_keys["application"].secret.reveal()
        reply = await post(f"/rest/email/{server}", {**FORM, **changes}, key=key)
        assert (reply.status, reply.words) == (200, "Message sent")
        return reply.headers["X-Relay-Message-Id"]

    return deliver_form


@pytest.fixture
def keep(site: Site) -> Keep:
    """Store a message of the server `default` and deliver it to the mailbox; give its id."""

    async def keep_message(warnings: tuple[str, ...] = (), **values: Any) -> str:
        addresses = {"sender": Address("relay@example.gov"), "to": (Address("desk@example.gov"),)}
        message = identified(Message(**(addresses | values)), site.outbox.metadata_key)
        row = outbox_rows.new_message(
            message, site.chains["default"].server, "application", warnings
        )
        await site.store.write(outbox_rows.add, row)
        await site.dispatcher.deliver_waiting()
        return message.id

    return keep_message


@pytest.fixture
def store_template(site: Site) -> StoreTemplate:
    """Store a template of a server; give its number."""

    async def store(server: str = "default", **values: Any) -> int:
        draft = TemplateDraft(**{"name": "Welcome", "type": "Standard", **values})
        return (await site.library.create(server, draft, by("application"))).id

    return store


@pytest.mark.gen_test
async def test_an_empty_mailbox_says_what_to_do(pages: Pages) -> None:
    page = await pages.get("/")
    assert page.status == 200
    assert "No mail yet" in page.text
    assert page.links["Try a form"] == "/try"


@pytest.mark.gen_test
async def test_the_mailbox_lists_what_was_delivered_newest_first(
    pages: Pages, deliver: Deliver
) -> None:
    first = await deliver(subject="First", to_address="desk@example.gov, b@example.gov")
    second = await deliver("contactform", subject="Second")
    page = await pages.get("/")
    assert page.subjects == ["Second", "First"]
    assert page.text.index(f"/messages/{second}") < page.text.index(f"/messages/{first}")
    for shown in ("desk@example.gov, b@example.gov", "contactform", "default"):
        assert shown in page.text
    assert re.search(r"<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ</time>", page.text)


@pytest.mark.gen_test
async def test_a_row_names_a_few_recipients_and_counts_the_others(
    pages: Pages, deliver: Deliver
) -> None:
    await deliver(to_address=", ".join(f"{name}@example.gov" for name in "abcde"))
    page = await pages.get("/")
    assert "a@example.gov, b@example.gov, c@example.gov and 2 more" in page.text


@pytest.mark.gen_test
async def test_pages_turn_by_key_and_show_each_message_once(pages: Pages, deliver: Deliver) -> None:
    for number in range(52):
        await deliver(subject=f"number {number}")
    newest = await pages.get("/")
    await deliver(subject="came in between")
    older = await pages.get(newest.links["Older"])
    oldest = await pages.get(older.links["Older"])
    seen = [*newest.subjects, *older.subjects, *oldest.subjects]
    assert seen == [f"number {number}" for number in reversed(range(52))]
    assert len(newest.subjects) == 25
    assert "Older" not in oldest.links
    assert oldest.links["Newest"] == "/"


@pytest.mark.gen_test
async def test_below_the_oldest_message_there_is_an_end(pages: Pages, deliver: Deliver) -> None:
    page = await pages.get(f"/?below={await deliver()}")
    assert "There are no older messages." in page.text


@pytest.mark.gen_test
async def test_a_search_finds_recipients_and_subjects(pages: Pages, deliver: Deliver) -> None:
    await deliver(subject="Potholes & puddles")
    await deliver(subject="Other", to_address="puddles@example.gov")
    await deliver(subject="Neither")
    page = await pages.get("/?q=PUDDLES")
    assert page.subjects == ["Other", "Potholes &amp; puddles"]
    assert 'value="PUDDLES"' in page.text
    nothing = await pages.get("/?q=%25")
    assert nothing.subjects == []
    assert "Nothing found." in nothing.text


@pytest.mark.gen_test
async def test_a_search_that_stops_short_says_so_and_goes_on(
    pages: Pages, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SEARCH_SPAN", 3)
    await deliver(subject="wanted & found")
    for _ in range(5):
        await deliver(subject="another")
    page = await pages.get("/?q=wanted+%26")
    assert page.subjects == []
    assert "Nothing so far" in page.text
    assert "there is more" in page.text
    older = await pages.get(page.links["Search older"])
    assert older.subjects == ["wanted &amp; found"]
    assert "Search older" not in older.links


@pytest.mark.gen_test
async def test_a_message_is_shown_with_headers_text_and_history(
    pages: Pages, deliver: Deliver
) -> None:
    id = await deliver(
        subject="Streets",
        cc="c@example.gov",
        bcc="b@example.gov",
        reply_to="r@example.com",
        tag="Roads",
        message="x<y\nsecond line",
        **{"headers[0][Name]": "X-Form", "headers[0][Value]": "streets"},
    )
    page = await pages.get(f"/messages/{id}")
    assert page.status == 200
    assert "<title>Streets · Relay</title>" in page.text
    rows = dict(re.findall(r"<dt>(.*?)</dt><dd[^>]*>(?:<code>)?(.*?)(?:</code>)?</dd>", page.text))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", rows.pop("Time"))
    assert rows == {
        "From": "Relay &lt;relay@example.gov&gt;",
        "To": "desk@example.gov",
        "Cc": "c@example.gov",
        "Bcc": "b@example.gov",
        "Reply-To": "r@example.com",
        "Tag": "Roads",
        "X-Form": "streets",
        "Server": "default",
        "Message id": id,
    }
    assert "x&lt;y\nsecond line</pre>" in page.text
    assert "accepted with key application" in page.text
    assert re.search(r"sent by mailbox after \d+\.\d\d s: kept in the embedded mailbox", page.text)
    assert "<iframe" not in page.text


@pytest.mark.gen_test
async def test_what_others_wrote_is_escaped_everywhere(pages: Pages, deliver: Deliver) -> None:
    script = "<script>alert(1)</script>"
    id = await deliver(subject=script, message=script, name=script, tag=script)
    for path in ("/", f"/messages/{id}", f"/?q={script}"):
        page = await pages.get(path)
        assert "<script" not in page.text
        assert "&lt;script&gt;alert(1)" in page.text


@pytest.mark.gen_test
async def test_the_html_part_stands_in_a_frame_in_which_nothing_can_happen(
    pages: Pages, deliver: Deliver
) -> None:
    id = await deliver(HtmlBody="<p>Hello <b>desk</b></p><script>alert(1)</script>")
    page = await pages.get(f"/messages/{id}")
    assert f'<iframe sandbox src="/messages/{id}/html"' in page.text
    part = await pages.get(f"/messages/{id}/html")
    assert part.text == "<p>Hello <b>desk</b></p>"
    assert part.headers["Content-Type"] == "text/html; charset=UTF-8"
    policy = part.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy)
    assert "script" not in part.headers["Content-Security-Policy"]


@pytest.mark.gen_test
async def test_a_message_without_html_has_no_html_part(pages: Pages, deliver: Deliver) -> None:
    assert (await pages.get(f"/messages/{await deliver()}/html")).status == 404


@pytest.mark.gen_test
async def test_the_source_is_the_message_as_it_would_be_mailed(
    pages: Pages, deliver: Deliver
) -> None:
    id = await deliver(subject="Grüße", bcc="hidden@example.gov")
    source = await pages.get(f"/messages/{id}/raw")
    assert source.headers["Content-Type"] == "text/plain; charset=UTF-8"
    mail = message_from_bytes(source.body)
    assert mail["Message-ID"] == f"<{id}@relay>"
    assert mail["To"] == "desk@example.gov"
    assert "Bcc" not in mail
    assert mail.get_payload(decode=True) == b"Make the roads green."


@pytest.mark.gen_test
async def test_a_message_with_a_template_shows_its_reference_and_model(
    pages: Pages, deliver: Deliver
) -> None:
    id = await deliver(subject="Confirmation", template_id="confirm-1", order="<17>")
    page = await pages.get(f"/messages/{id}")
    assert "<title>Confirmation · Relay</title>" in page.text
    assert "<code>confirm-1</code>" in page.text
    assert "template not in store" in page.text
    assert "  &quot;order&quot;: &quot;&lt;17&gt;&quot;," in page.text
    assert "<h2>Text</h2>" not in page.text


@pytest.mark.gen_test
async def test_a_message_whose_template_was_rendered_shows_parts_reference_and_model(
    pages: Pages, keep: Keep
) -> None:
    id = await keep(
        subject="Order 17",
        text="Hello Ann",
        html="<p>Hello <b>Ann</b></p>",
        template=7,
        model=freeze({"name": "Ann"}),
    )
    page = await pages.get(f"/messages/{id}")
    assert '<h1 dir="auto">Order 17</h1>' in page.text
    assert "Hello Ann</pre>" in page.text
    assert "<code>7</code>" in page.text
    assert "&quot;name&quot;: &quot;Ann&quot;" in page.text
    assert "template not in store" not in page.text
    assert (await pages.get(f"/messages/{id}/html")).text == "<p>Hello <b>Ann</b></p>"
    source = message_from_bytes((await pages.get(f"/messages/{id}/raw")).body)
    assert source["Subject"] == "Order 17"


@pytest.mark.gen_test
async def test_what_a_callers_labels_say_is_shown_without_the_relays_own(
    pages: Pages, keep: Keep, site: Site
) -> None:
    id = await keep(subject="Hi", text="t", metadata={"order": "17", "<b>": "x"}, stream="news")
    page = await pages.get(f"/messages/{id}")
    assert '<dt>Metadata</dt><dd dir="auto">order: 17; &lt;b&gt;: x</dd>' in page.text
    assert '<dt>Stream</dt><dd dir="auto">news</dd>' in page.text
    assert site.outbox.metadata_key not in page.text


@pytest.mark.gen_test
async def test_a_messages_history_has_its_warnings_in_order_of_time(
    pages: Pages, keep: Keep
) -> None:
    id = await keep(("the model has no `name`",), subject="Hi", text="t")
    page = await pages.get(f"/messages/{id}")
    told = re.findall(r"<li><time>.*?</time> <span>(.*?)</span></li>", page.text)
    assert told[:2] == ["accepted with key application", "warning: the model has no `name`"]
    assert told[2].startswith("sent by mailbox after")
    assert len(told) == 3


@pytest.mark.gen_test
async def test_attachments_are_listed_and_can_be_saved(pages: Pages, keep: Keep) -> None:
    drawing = Attachment("a/Größe <b>.svg", "image/svg+xml", base64.b64encode(b"x" * 1536).decode())
    id = await keep(subject="Hi", text="t", attachments=(PDF, drawing))
    page = await pages.get(f"/messages/{id}")
    links = {words: url for words, url in page.links.items() if "/attachments/" in url}
    assert links == {
        "plan.pdf": f"/messages/{id}/attachments/1",
        "Größe _b_.svg": f"/messages/{id}/attachments/2",
    }
    assert "<span>8 bytes</span>" in page.text
    assert "<span>1.5 kB</span>" in page.text
    saved = await pages.get(links["plan.pdf"])
    assert (saved.status, saved.body) == (200, b"%PDF-1.7")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="plan.pdf"'
    other = await pages.get(links["Größe _b_.svg"])
    disposition = "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%20_b_.svg"
    assert other.headers["Content-Disposition"] == disposition
    for answer in (saved, other):
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.gen_test
async def test_images_that_come_with_a_mail_are_shown_in_its_html(pages: Pages, keep: Keep) -> None:
    picture = base64.b64encode(b"\x89PNG").decode()
    files = (
        Attachment("l.png", "image/png", picture, "cid:logo é.png"),
        Attachment("x.html", "text/html", picture, "cid:page"),
        Attachment("b.png", 'image/png"><script>', picture, "cid:bad"),
        PDF,
    )
    html = """<img src="cid:logo%20%C3%A9.png"><img src='cid:none'><a href="cid:page">cid:bad</a>"""
    id = await keep(subject="Hi", html=html, attachments=files)
    assert (await pages.get(f"/messages/{id}/html")).text == html.replace(
        "cid:logo%20%C3%A9.png", f"data:image/png;base64,{picture}"
    )


@pytest.mark.gen_test
async def test_only_attachments_that_are_there_can_be_saved(
    pages: Pages, keep: Keep, deliver: Deliver
) -> None:
    id = await keep(subject="Hi", text="t", attachments=(PDF,))
    elsewhere = await deliver("registry")
    for path in (f"{id}/attachments/0", f"{id}/attachments/2", f"{id}/attachments/x"):
        assert (await pages.get(f"/messages/{path}")).status == 404
    assert (await pages.get(f"/messages/{elsewhere}/attachments/1")).status == 404


@pytest.mark.gen_test
async def test_the_templates_of_every_server_are_listed(
    pages: Pages, store_template: StoreTemplate
) -> None:
    empty = await pages.get("/templates")
    assert empty.status == 200
    assert "No templates yet" in empty.text
    assert empty.links["Templates"] == "/templates"
    frame = await store_template(
        name="Frame", type="Layout", alias="frame", html="<main>{{{ @content }}}</main>"
    )
    name = "Größe & <b>"
    first = await store_template(name=name, alias="size", subject="s", text="t", layout="frame")
    other = await store_template("contactform", name="Thanks", subject="s", text="t")
    page = await pages.get("/templates")
    assert set(page.subjects) == {"Frame", "Größe &amp; &lt;b&gt;", "Thanks"}
    for path in (f"default/{frame}", f"default/{first}", f"contactform/{other}"):
        assert f'href="/templates/{path}"' in page.text
    assert page.text.index("<h2>contactform</h2>") < page.text.index("<h2>default</h2>")
    assert f"size, number {first}, in the layout frame" in page.text
    assert "registry" not in page.text


@pytest.mark.gen_test
async def test_a_template_is_shown_with_the_model_that_it_suggests(
    pages: Pages, store_template: StoreTemplate
) -> None:
    number = await store_template(
        alias="welcome",
        subject="Hello {{name}}",
        text="Dear {{name}},\n{{#each rows}}{{title}}{{/each}}",
        html="<p>Dear <b>{{name}}</b></p><script>alert(1)</script>",
    )
    page = await pages.get(f"/templates/default/{number}")
    assert page.status == 200
    assert "<title>Welcome · Relay</title>" in page.text
    assert '<p class="sheet" dir="auto">Hello name_Value</p>' in page.text
    assert "Dear name_Value,\ntitle_Value</pre>" in page.text
    assert "&quot;name&quot;: &quot;name_Value&quot;" in page.text
    assert "Dear &lt;b&gt;{{name}}&lt;/b&gt;" in page.text
    assert f'<iframe sandbox src="/templates/default/{number}/html"' in page.text
    assert "<script" not in page.text
    part = await pages.get(f"/templates/default/{number}/html")
    assert "<b>name_Value</b>" in part.text
    assert part.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert {"default-src 'none'", "sandbox"} <= set(
        part.headers["Content-Security-Policy"].split("; ")
    )


@pytest.mark.gen_test
async def test_a_layout_is_shown_around_a_line_of_content(
    pages: Pages, store_template: StoreTemplate
) -> None:
    number = await store_template(
        name="Frame",
        type="Layout",
        alias="frame",
        html="<main>{{{ @content }}}</main><p>{{foot}}</p>",
        text="above {{{ @content }}} below",
    )
    page = await pages.get(f"/templates/default/{number}")
    assert "above The content of a template stands here. below</pre>" in page.text
    assert "&quot;foot&quot;: &quot;foot_Value&quot;" in page.text
    part = (await pages.get(f"/templates/default/{number}/html")).text
    assert "<main><p>The content of a template stands here.</p></main>" in part
    assert "<p>foot_Value</p>" in part


@pytest.mark.gen_test
async def test_a_template_without_html_has_no_html_part(
    pages: Pages, store_template: StoreTemplate
) -> None:
    number = await store_template(subject="s", text="t")
    page = await pages.get(f"/templates/default/{number}")
    assert "<iframe" not in page.text
    assert (await pages.get(f"/templates/default/{number}/html")).status == 404


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("text = hex(zeroblob(3000000))", "TextBody"),
        ("layout = 'gone'", "There is no layout gone."),
    ],
)
async def test_a_template_that_cannot_be_rendered_says_why_in_words(
    pages: Pages, store_template: StoreTemplate, site: Site, change: str, words: str
) -> None:
    number = await store_template(subject="s", text="t", html="<p>h</p>")
    statement = text(f"UPDATE templates SET {change}")  # noqa: S608 - of this file
    site.store.write_now(lambda connection, batch: [connection.execute(statement)], [None])
    page = await pages.get(f"/templates/default/{number}")
    assert page.status == 200
    [alert] = re.findall(r'<div class="answer bad" role="alert">(.*?)</div>', page.text, re.DOTALL)
    assert words in alert
    assert "<h2>Text</h2>" not in page.text
    assert "&lt;p&gt;h&lt;/p&gt;" in page.text


@pytest.mark.gen_test
async def test_a_template_that_fits_no_suggestion_is_shown_without_one(
    pages: Pages, store_template: StoreTemplate
) -> None:
    # Every list that is suggested has three elements: five million in all.
    lists = "".join(f"{{{{#each {'../' * (2 * level)}list{level}}}}}" for level in range(14))
    number = await store_template(subject="s {{a}}", text=lists + "{{.}}" + "{{/each}}" * 14)
    page = await pages.get(f"/templates/default/{number}")
    assert page.status == 200
    assert "s a_Value</p>" in page.text
    assert "{{#each list0}}" in page.text


@pytest.mark.gen_test
async def test_a_template_that_does_not_parse_any_more_says_where(
    pages: Pages, store_template: StoreTemplate, site: Site
) -> None:
    number = await store_template(subject="s", text="t", html="<p>h</p>")
    statement = text("UPDATE templates SET html = '<p>\n{{a b}}</p>'")
    site.store.write_now(lambda connection, batch: [connection.execute(statement)], [None])
    page = await pages.get(f"/templates/default/{number}")
    assert page.status == 200
    assert "HTML: line 2, character 1: " in page.text
    assert "<iframe" not in page.text
    assert (await pages.get(f"/templates/default/{number}/html")).status == 404


@pytest.mark.gen_test
async def test_a_deleted_template_can_still_be_looked_at(
    pages: Pages, store_template: StoreTemplate, site: Site
) -> None:
    kinds = (
        {"name": "Frame", "type": "Layout", "alias": "frame", "text": "a {{{ @content }}} b"},
        {"subject": "s", "text": "Dear {{name}}"},
    )
    for values in kinds:
        number = await store_template(**values)
        await site.library.delete("default", number, by("application"))
        assert (await pages.get("/templates")).subjects == []
        page = await pages.get(f"/templates/default/{number}")
        assert page.status == 200
        assert '<span class="state wanting">deleted</span>' in page.text
        assert values["text"] in page.text
        assert 'role="alert"' not in page.text
        assert re.search(r"<h2>Text</h2>\s*<pre[^>]*>\n(a  b|Dear name_Value)</pre>", page.text)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "path", ["default/1", "nowhere/1", "default/x", "default/999999999999999", "default", "../x"]
)
async def test_a_template_that_is_not_there_is_not_found(pages: Pages, path: str) -> None:
    assert (await pages.get(f"/templates/{path}")).status == 404
    assert (await pages.get(f"/templates/{path}/html")).status == 404


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/nowhere", "/messages/1", f"/messages/{'0' * 36}", "/try/x"])
async def test_what_is_not_there_is_a_page_that_says_so(pages: Pages, path: str) -> None:
    page = await pages.get(path)
    assert page.status == 404
    assert "<h1>Not found</h1>" in page.text
    assert page.headers["Content-Security-Policy"]


@pytest.mark.gen_test
async def test_mail_that_went_to_a_provider_is_not_shown(pages: Pages, deliver: Deliver) -> None:
    id = await deliver("registry")
    assert (await pages.get("/")).subjects == []
    for path in (f"/messages/{id}", f"/messages/{id}/html", f"/messages/{id}/raw"):
        assert (await pages.get(path)).status == 404


@pytest.mark.gen_test
async def test_every_answer_carries_the_headers_that_keep_it_safe(
    pages: Pages, deliver: Deliver
) -> None:
    id = await deliver(HtmlBody="<p>Hello</p>")
    paths = ["/", "/try", "/nowhere", "/templates", "/static/pages.css", "/static/relay.svg"]
    for path in [*paths, f"/messages/{id}", f"/messages/{id}/raw", f"/messages/{id}/html"]:
        headers = (await pages.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in headers
        if not path.endswith("/html"):
            assert headers["Content-Security-Policy"] == (
                "default-src 'none'; style-src 'self'; frame-src 'self'; img-src 'self' data:; "
                "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )


@pytest.mark.gen_test
async def test_no_page_has_a_script_or_a_style_of_its_own(pages: Pages, deliver: Deliver) -> None:
    id = await deliver(HtmlBody="<p>Hello</p>")
    for path in ("/", "/try", "/templates", f"/messages/{id}", "/nowhere"):
        page = (await pages.get(path)).text
        assert not re.search(r"<script|<style| style=| on\w+=|https?://", page)


@pytest.mark.gen_test
async def test_the_pages_answer_under_their_own_names_only(pages: Pages) -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
        page = await pages.get("/", {"Host": f"{host}:{pages.port}"})
        assert page.status == 200
    others = ["evil.example", f"evil.example:{pages.port}", "localhost", f"127.0.0.1:{pages.port}0"]
    for host in [*others, f"localhost.:{pages.port}"]:
        for path in ("/", "/try", "/static/pages.css", "/nowhere"):
            page = await pages.get(path, {"Host": host})
            assert page.status == 403
            assert "under their own address" in page.text


def test_the_configured_host_is_one_of_their_names() -> None:
    assert "mail.example.gov:8026" in own_hosts("Mail.example.gov", 8026)
    assert "[fd00::1]:8026" in own_hosts("fd00::1", 8026)
    assert {"localhost", "localhost:80"} <= own_hosts("127.0.0.1", 80)
    assert "localhost" not in own_hosts("127.0.0.1", 8026)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-proto", "X-Real-IP"],
)
async def test_a_request_through_a_proxy_is_refused(
    pages: Pages, events: list[dict[str, Any]], header: str
) -> None:
    for path in ("/", "/static/pages.css", "/nowhere"):
        page = await pages.get(path, {header: "for=192.0.2.1"})
        assert page.status == 403
        assert "through a proxy" in page.text
    refused = {"event": "page.refused", "log_level": "info", "reason": "forwarded", "status": 403}
    assert events[0] == {**refused, "path": "/"}


@pytest.mark.gen_test
async def test_another_method_is_refused_and_told_which_are_taken(pages: Pages) -> None:
    own = {"Origin": pages.origin}
    assert (await pages.post("/", {}, own)).status == 405
    for path in ("/messages/" + "0" * 36, "/templates", "/templates/default/1"):
        page = await pages.post(path, {}, own)
        assert (page.status, page.headers["Allow"]) == (405, "GET")


@pytest.mark.gen_test
async def test_one_click_sends_the_form_through_the_relay_itself(
    pages: Pages, outbox: Outbox
) -> None:
    form = await pages.get("/try")
    assert form.status == 200
    for name in PREFILLED:
        assert f'<label for="{name}">' in form.text
        assert re.search(f'<(input|textarea) id="{name}" name="{name}"', form.text)
    reply = await pages.post("/try", PREFILLED)
    row = outbox.last()
    assert (reply.status, reply.headers["Location"]) == (303, f"/messages/{row['id']}")
    assert (row["server"], row["key"], row["state"]) == ("contactform", "page", "sent")
    assert outbox.unspent_tokens() == 0
    page = await pages.get(reply.headers["Location"])
    assert '<h1 dir="auto">I have a great idea</h1>' in page.text
    assert "They would be &lt;b&gt;so&lt;/b&gt; much nicer" in page.text
    assert f"Page: {pages.origin}/try" in page.text
    assert "<iframe sandbox" in page.text


@pytest.mark.gen_test
async def test_a_box_that_is_not_ticked_sends_no_html(pages: Pages, outbox: Outbox) -> None:
    form = {name: value for name, value in PREFILLED.items() if name != "useHtml"}
    assert (await pages.post("/try", form)).status == 303
    assert "html" not in outbox.last()["document"]


@pytest.mark.gen_test
async def test_a_refusal_shows_the_relays_words_and_what_was_typed(
    pages: Pages, outbox: Outbox
) -> None:
    typed = {**PREFILLED, "to_address": "nobody", "subject": 'A "new" <idea>', "message": "\nHi"}
    page = await pages.post("/try", typed)
    assert page.status == 400
    assert "The relay answered 400:</strong> to_address: not a mail address" in page.text
    assert 'value="nobody"' in page.text
    assert 'value="A &quot;new&quot; &lt;idea&gt;"' in page.text
    assert "\n\nHi</textarea>" in page.text
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_what_the_relay_cannot_send_now_is_told_as_queued(
    pages: Pages, site: Site, load: Callable[..., Any], settings_toml: str
) -> None:
    site.reload(load(f"[relay]\nenabled = false\n{settings_toml}"))
    page = await pages.post("/try", PREFILLED)
    assert page.status == 200
    assert "The relay answered 200: Message queued" in page.text
    assert "1 waiting" in page.text
    assert (await pages.get(page.links["look for it here"])).status == 404


@pytest.mark.gen_test
async def test_a_relay_that_does_not_answer_is_told(pages: Pages, site: Site) -> None:
    socket, port = bind_unused_port()
    socket.close()
    site.listening = ("127.0.0.1", port)
    page = await pages.post("/try", PREFILLED)
    assert page.status == 502
    assert f"there is no answer from http://127.0.0.1:{port}" in page.text


@pytest.mark.gen_test
async def test_a_post_from_anywhere_else_is_refused_and_nothing_is_stored(
    pages: Pages, outbox: Outbox
) -> None:
    own = pages.origin
    foreign = [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": f"http://127.0.0.1:{pages.port + 1}", "Sec-Fetch-Site": "same-site"},
        {"Origin": f"http://localhost:{pages.port}"},
        {"Origin": own, "Sec-Fetch-Site": "cross-site"},
        {"Origin": own, "Sec-Fetch-Site": "same-site"},
        {"Origin": own, "Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ]
    for headers in foreign:
        page = await pages.post("/try", PREFILLED, headers)
        assert page.status == 403
        assert "from its own page only" in page.text
    assert outbox.rows() == []
    assert outbox.unspent_tokens() == 0


@pytest.mark.gen_test
async def test_a_form_that_is_too_large_is_refused(pages: Pages, outbox: Outbox) -> None:
    page = await pages.post("/try", {**PREFILLED, "message": "x" * 300_000})
    assert page.status == 413
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_toml", [SETTINGS])
async def test_with_keys_of_its_own_the_page_explains_how_to_post(
    pages: Pages, outbox: Outbox, http_port: int
) -> None:
    page = await pages.get("/try")
    assert page.status == 200
    assert "keys of its own" in page.text
    assert f"http://127.0.0.1:{http_port}/rest/email/contactform" in page.text
    assert "<form" not in page.text
    assert "keys of its own" in (await pages.post("/try", PREFILLED)).text
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_keys_that_are_given_later_end_the_form(
    pages: Pages, load: Callable[..., Any], site: Site, outbox: Outbox
) -> None:
    site.reload(load(SETTINGS))
    assert "keys of its own" in (await pages.get("/try")).text
    assert (await pages.post("/try", PREFILLED)).status == 200
    assert outbox.rows() == []


@pytest.mark.gen_test
@pytest.mark.parametrize("settings_toml", [SHIPPED.replace("servers.contactform", "servers.a")])
async def test_without_a_contact_form_the_page_explains_how_to_post(pages: Pages) -> None:
    page = await pages.get("/try")
    assert "no server <code>contactform</code>" in page.text
    assert "/rest/email_session/a " in page.text


@pytest.mark.gen_test
async def test_one_click_never_mails_a_stranger(
    pages: Pages, load: Callable[..., Any], site: Site, settings_toml: str, outbox: Outbox
) -> None:
    registry = settings_toml.partition("[servers.registry]")[2]
    contact = registry.replace('"default", "postmark"', '"contactform", "postmark"')
    site.reload(load("[servers.contactform]" + contact))
    assert "really sent" in (await pages.get("/try")).text
    assert "really sent" in (await pages.post("/try", PREFILLED)).text
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_the_form_is_prefilled_with_a_recipient_that_the_server_allows(
    pages: Pages, load: Callable[..., Any], site: Site
) -> None:
    for recipients, expected in (
        ('["@roads.example"]', "desk@roads.example"),
        ('["office@roads.example"]', "office@roads.example"),
        ('["@a.example", "desk@example.gov"]', "desk@example.gov"),
    ):
        site.reload(load(SHIPPED.replace('["*"]', recipients, 1)))
        assert f'value="{expected}"' in (await pages.get("/try")).text
        form = {**PREFILLED, "to_address": expected}
        assert (await pages.post("/try", form)).status == 303


def test_the_api_is_reached_wherever_it_listens() -> None:
    assert http_url("0.0.0.0", 8025) == "http://127.0.0.1:8025"
    assert http_url("::", 8025) == "http://[::1]:8025"
    assert http_url("192.0.2.7", 8025) == "http://192.0.2.7:8025"


@pytest.mark.gen_test
async def test_a_fault_is_a_page_that_says_nothing_of_it(
    pages: Pages, deliver: Deliver, site: Site, events: list[dict[str, Any]]
) -> None:
    id = await deliver()
    statement = text("UPDATE contents SET document = '{\"secret\"'")
    site.store.write_now(lambda connection, batch: [connection.execute(statement)], [None])
    page = await pages.get(f"/messages/{id}")
    assert page.status == 500
    assert "<h1>Something went wrong</h1>" in page.text
    assert "secret" not in page.text
    [failure] = [event for event in events if event["event"] == "page.failed"]
    assert (failure["error"], failure["status"]) == ("JSONDecodeError", 500)


@pytest.mark.gen_test
async def test_no_log_line_holds_what_was_searched_typed_or_shown(
    pages: Pages, deliver: Deliver, events: list[dict[str, Any]]
) -> None:
    id = await deliver(subject="canary", message="canary", to_address="canary@example.gov")
    typed = {name: f"canary {value}" for name, value in PREFILLED.items()}
    await pages.post("/try", typed)
    paths = ("/?q=canary", f"/messages/{id}", "/nowhere?q=canary")
    for path in (*paths, f"/messages/{id}/html?canary"):
        await pages.get(path)
    await pages.get("/?q=canary", {"X-Real-IP": "canary"})
    assert {"page.refused", "submission.refused"} <= {event["event"] for event in events}
    assert "canary" not in json.dumps(events)


TYPED = {
    "to_address": "desk@example.gov",
    "from_address": "ann@example.com",
    "name": "Ann",
    "subject": "An <b>idea</b>",
    "message": "Green <script>roads</script>",
}


@pytest.mark.gen_test
async def test_a_form_of_ones_own_is_tried_and_nothing_is_stored_or_sent(
    pages: Pages, site: Site, outbox: Outbox
) -> None:
    assert (await pages.get("/try")).links["default"] == "/try/default"
    form = await pages.get("/try/Default")
    for name in ("to_address", "from_address", "subject", "message", "cc"):
        assert f'name="{name}"' in form.text
    assert 'type="file" multiple accept=".csv,' in form.text
    assert 'type="file"' not in (await pages.get("/try/contactform")).text
    page = await pages.post("/try/default", {**TYPED, "shoe_size": "44"})
    assert page.status == 200
    for words in (
        "It would become this message.",
        "Subject</dt><dd>An &lt;b&gt;idea&lt;/b&gt;",
        "Green &lt;script&gt;roads&lt;/script&gt;",
        "<code>shoe_size</code>",
        "ann@example.com",
    ):
        assert words in page.text
    assert "<script>" not in page.text
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_files_are_tried_with_it(pages: Pages, outbox: Outbox) -> None:
    def multipart(name: str, content: bytes) -> tuple[str, bytes]:
        fields = [("message", b"Hello"), ("subject", b"s"), ("to_address", b"desk@example.gov")]
        fields.append(("from_address", b"ann@example.com"))
        begins = 'Content-Disposition: form-data; name="{}"'
        parts = [
            b"--b\r\n" + begins.format(one).encode() + b"\r\n\r\n" + value + b"\r\n"
            for one, value in fields
        ]
        head = f'form-data; name="attachments"; filename="{name}"'.encode()
        parts.append(b"--b\r\nContent-Disposition: %s\r\n\r\n%s\r\n--b--\r\n" % (head, content))
        return "multipart/form-data; boundary=b", b"".join(parts)

    for name, content, words in (
        ("notes.txt", b"the notes", "notes.txt (text/plain)"),
        ("virus.exe", b"MZ", "It would be refused: "),
        ("large.txt", b"x" * 4_000_000, "large.txt (text/plain)"),
    ):
        media, body = multipart(name, content)
        own = {"Origin": pages.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": media}
        page = await pages._fetch("/try/default", method="POST", body=body, headers=own)
        assert (page.status, words in page.text) == (200, True), page.text
    assert outbox.rows() == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"subject": ""}, "It would be refused: subject"),
        ({"from_address": "nobody"}, "It would be refused: from_address"),
        ({"to_address": "a@b@c"}, "It would be refused: to_address"),
        ({"contact": "a robot"}, "As a robot's it would be kept back: honeypot"),
        ({"senddatetime": "yesterday at noon or so"}, "It would be refused: senddatetime"),
    ],
)
@pytest.mark.gen_test
async def test_what_is_wrong_with_a_tried_form_is_said(
    pages: Pages, outbox: Outbox, fields: dict[str, str], words: str
) -> None:
    page = await pages.post("/try/contactform", {**TYPED, **fields})
    assert (page.status, words in page.text) == (200, True), page.text
    assert 'value="ann@example.com"' in page.text or "from_address" in fields
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_a_form_is_tried_from_its_own_page_only(pages: Pages) -> None:
    page = await pages.post("/try/default", TYPED, {"Origin": "https://evil.example"})
    assert page.status == 403
    assert (await pages.get("/try/metrolist")).status == 404
    assert (await pages.get("/try/nowhere")).status == 404
    assert (await pages.post("/try/nowhere", TYPED)).status == 404
