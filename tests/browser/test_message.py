"""A message's page in a real browser: it is read at every width, and orders are given by keys."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.daemon import Daemon

FORM = {
    "to_address": "desk@example.gov",
    "from_address": "jo@example.com",
    "name": "Jo",
    "subject": "An idea" + " for the roads" * 20,
    "message": "Make the roads green." * 30,
    "useHtml": "1",
    "HtmlBody": "<p>Make the <b>roads</b> green.</p><script>alert(1)</script>",
    "a_name_as_long_as_they_are_in_forms_" * 2: "x",
}


@pytest.mark.slow
def test_a_messages_page_is_read_at_every_width_and_a_robots_form_is_sent(
    daemon: Daemon, page: Page
) -> None:
    key = daemon.made_keys()["application"]
    reply = daemon.post("/rest/email/contactform", key, json=FORM)
    assert reply.status_code == 200, reply.text
    sent = reply.headers["X-Relay-Message-Id"]
    caught = {**FORM, "contact": "x"}
    robot = daemon.post("/rest/email/contactform", key, json=caught).headers["X-Relay-Message-Id"]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(daemon.console)
    page.wait_for_url("**/")
    base = page.url.rstrip("/")
    for scheme in ("light", "dark"):
        for width in (320, 1600):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{base}/messages/{sent}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            expect(page.get_by_text("The embedded mailbox took it")).to_be_visible()
    part = page.frame_locator("iframe[title='HTML part']")
    expect(part.get_by_text("roads", exact=True)).to_be_visible()
    assert page.get_by_label("Link").input_value() == f"{base}/messages/{sent}"
    page.goto(f"{base}/messages/{robot}")
    expect(page.get_by_text("a field was filled in that people do not see")).to_be_visible()
    expect(page.locator("#fields + dl")).to_contain_text("jo@example.com")
    page.get_by_role("button", name="Send it").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Released")
    page.goto(f"{base}/messages/{robot}")
    expect(page.locator(".timeline")).to_contain_text("by admin; it was screened: honeypot")
    expect(page.locator(".timeline")).to_contain_text("console from 127.0.0.1")
    assert complaints == []
