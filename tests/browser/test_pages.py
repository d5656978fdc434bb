"""The pages in a real browser: one click sends a form, and its mail is seen."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.daemon import Daemon

SUBJECT = "I have a great idea"


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
