"""The pages in a real browser: one click sends a form, and its mail is seen."""

import base64
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.daemon import Daemon

SUBJECT = "I have a great idea"

DOT = "R0lGODdhAQABAPAAAP8AAAAAACwAAAAAAQABAAACAkQBADs="
DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
MAIL = {
    "From": "contactform@example.gov",
    "To": "desk@example.gov",
    "Subject": "A plan",
    "HtmlBody": '<p>See <img src="cid:dot.gif"></p>',
    "TextBody": "See the plan.",
    "Attachments": [
        {
            "Name": "Übersicht.svg",
            "ContentType": "image/svg+xml",
            "Content": base64.b64encode(DRAWING).decode(),
        },
        {"Name": "dot.gif", "ContentType": "image/gif", "Content": DOT, "ContentID": "cid:dot.gif"},
    ],
}
LAYOUT = {
    "Name": "Town",
    "Alias": "town",
    "TemplateType": "Layout",
    "HtmlBody": "<style>b { color: green }</style><main>{{{ @content }}}</main><p>{{foot}}</p>",
    "TextBody": "{{{ @content }}}\n{{foot}}",
}
TEMPLATE = {
    "Name": "Order confirmed",
    "Alias": "order-confirmed",
    "Subject": "Order {{number}}",
    "HtmlBody": "<p>Dear <b>{{name}}</b></p>{{#each rows}}<p>{{title}}</p>{{/each}}",
    "TextBody": "Dear {{name}},\n" + "a line that is long enough to be wrapped on a phone " * 3,
    "LayoutTemplate": "town",
}


@pytest.fixture
def console(page: Page) -> list[str]:
    """What the browser complains of: errors, and what a policy forbade."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def fits(page: Page) -> bool:
    """Tell whether the page can be read without scrolling sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def send(page: Page, daemon: Daemon) -> None:
    page.goto(f"{daemon.pages}/try")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/messages/*")


def test_one_click_sends_the_form_and_shows_its_mail(
    page: Page, daemon: Daemon, console: list[str]
) -> None:
    page.goto(f"{daemon.pages}/try")
    assert fits(page)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SUBJECT)
    expect(page.locator("pre.text")).to_contain_text("Make the roads green.")
    expect(page.locator("pre.text")).to_contain_text("They would be <b>so</b> much nicer")
    frame = page.frame_locator("iframe")
    expect(frame.locator("blockquote")).to_contain_text("Make the roads green.")
    expect(frame.locator("blockquote")).to_contain_text("<b>so</b>")
    assert fits(page)
    assert console == []


def test_the_mailbox_shows_finds_and_opens_the_mail(
    page: Page, daemon: Daemon, console: list[str]
) -> None:
    page.goto(daemon.pages)
    assert fits(page)
    page.get_by_role("main").get_by_role("link", name="Try a form").click()
    page.get_by_label("Subject").fill("Another one")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/messages/*")
    send(page, daemon)
    page.get_by_role("link", name="Mailbox").click()
    expect(page.locator(".subject")).to_have_text([SUBJECT, "Another one"])
    assert fits(page)
    page.get_by_label("Search recipients and subjects").fill("another")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".subject")).to_have_text(["Another one"])
    assert fits(page)
    page.get_by_role("link", name="Another one").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another one")
    assert console == []


def call(daemon: Daemon, path: str, content: dict[str, Any]) -> dict[str, Any]:
    """Call Postmark's API as the server `contactform`."""
    token = daemon.made_keys()["contactform"]
    answer = daemon.post(path, headers={"X-Postmark-Server-Token": token}, json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_mails_attachments_are_saved_and_its_images_are_seen(
    page: Page, daemon: Daemon, console: list[str]
) -> None:
    path = f"/messages/{call(daemon, '/email', MAIL)['MessageID']}"
    # The call was answered when the mail was stored; its delivery takes a moment.
    while page.goto(daemon.pages + path).status == 404:
        pass
    page.goto(daemon.pages)
    page.get_by_role("link", name="A plan").click()
    page.wait_for_url(f"**{path}")
    expect(page.locator(".files li")).to_have_count(2)
    assert fits(page)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Übersicht.svg").click()
    assert saved.value.suggested_filename == "Übersicht.svg"
    assert saved.value.path().read_bytes() == DRAWING
    image = page.frame_locator("iframe").locator("img")
    expect(image).to_have_js_property("naturalWidth", 1)
    assert page.url.endswith(path)
    assert [words for words in console if "404" not in words] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_templates_are_listed_and_seen_as_they_look(
    page: Page, daemon: Daemon, console: list[str], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for template in (LAYOUT, TEMPLATE):
        call(daemon, "/templates", template)
    page.goto(daemon.pages)
    page.get_by_role("link", name="Templates").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Templates")
    expect(page.locator(".subject")).to_have_text(["Order confirmed", "Town"])
    assert fits(page)
    page.get_by_role("link", name="Order confirmed").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Order confirmed")
    frame = page.frame_locator("iframe")
    expect(frame.locator("main b")).to_have_text("name_Value")
    expect(frame.locator("main b")).to_have_css("color", "rgb(0, 128, 0)")
    expect(page.locator("pre.text")).to_contain_text("Dear name_Value")
    page.get_by_text("HTML", exact=True).last.click()
    assert fits(page)
    page.get_by_role("link", name="Templates").click()
    page.locator(".subject", has_text="Town").click()
    expect(page.frame_locator("iframe").locator("main")).to_have_text(
        "The content of a template stands here."
    )
    assert fits(page)
    assert console == []


def test_a_refusal_keeps_what_was_typed_and_mending_it_sends(page: Page, daemon: Daemon) -> None:
    page.goto(f"{daemon.pages}/try")
    page.get_by_label("To to_address").fill("nobody")
    page.get_by_label("With an HTML part").uncheck()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("to_address: not a mail address")
    expect(page.get_by_label("With an HTML part")).not_to_be_checked()
    assert fits(page)
    page.get_by_label("To to_address").fill("desk@example.gov")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SUBJECT)
    expect(page.locator("iframe")).to_have_count(0)


def test_a_page_of_another_site_cannot_post_the_form(page: Page, daemon: Daemon) -> None:
    page.route("http://elsewhere.example/", lambda route: route.fulfill(body=FOREIGN))
    page.goto("http://elsewhere.example/")
    page.evaluate("url => document.forms[0].action = url", f"{daemon.pages}/try")
    page.evaluate("document.forms[0].submit()")
    expect(page.get_by_role("main")).to_contain_text("from its own page only")
    page.goto(daemon.pages)
    expect(page.get_by_role("main")).to_contain_text("No mail yet")


def test_a_mails_html_fetches_nothing_from_elsewhere(
    page: Page, daemon: Daemon, console: list[str]
) -> None:
    fetched: list[str] = []

    def note(route: Route) -> None:
        fetched.append(route.request.url)
        route.abort()

    page.route("http://elsewhere.example/**", note)
    logo = 'logo_url = "http://elsewhere.example/logo.png"\nform_name ='
    shipped = daemon.settings.read_text(encoding="utf-8")
    daemon.settings.write_text(shipped.replace("form_name =", logo), encoding="utf-8")
    assert daemon.command("reload").returncode == 0
    send(page, daemon)
    expect(page.frame_locator("iframe").locator("img")).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert fetched == []
    assert len(console) == 1
    assert "Content Security Policy" in console[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_follow_the_visitors_colours(page: Page, daemon: Daemon, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    for path in ("/", "/try", "/nowhere"):
        page.goto(daemon.pages + path)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", ground)))
        assert (brightness > 384) == (scheme == "light")
        assert fits(page)


FOREIGN = """<!doctype html><title>Elsewhere</title>
<form method="post"><input name="to_address" value="desk@example.gov">
<input name="from_address" value="a@example.com"><input name="subject" value="Forged">
<input name="message" value="Forged"></form>"""
