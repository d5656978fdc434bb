"""What is stored about a person is found, exported and erased in a real browser, by keys alone."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.support.daemon import Daemon
from tests.support.person import files_naming

ADDRESS = "jo@example.com"
FORM = {
    "to_address": "desk@example.gov",
    "from_address": ADDRESS,
    "name": "Jo",
    "subject": "An idea",
    "message": "Make the roads green.",
}


@pytest.mark.slow
def test_an_admin_finds_exports_and_erases(daemon: Daemon, page: Page) -> None:
    key = daemon.made_keys()["application"]
    for _ in range(2):
        assert daemon.post("/rest/email/contactform", key, json=FORM).status_code == 200
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(daemon.console)
    page.wait_for_url("**/")
    for scheme in ("light", "dark"):
        for width in (320, 1600):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(page.url.split("/person")[0].rstrip("/") + "/person")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Address", exact=True).fill(ADDRESS)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"What is stored about {ADDRESS}")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export as JSON").press("Enter")
    assert len(json.loads(downloading.value.path().read_text())["messages"]) == 2
    page.get_by_label("Type the address again").fill("jo@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    page.get_by_label("Type the address again").fill(ADDRESS)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("2 messages cleared")
    assert ADDRESS not in page.url
    assert files_naming(daemon.folder, ADDRESS) == []
    assert [one for one in complaints if "400" not in one] == []
