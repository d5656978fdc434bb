"""The example contact page in a real browser, on another origin than the relay's."""

import json
import os
import re
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.contact_page import (
    SETTINGS,
    copy_page,
    needs_php,
    php_server,
    states,
    static_server,
)
from tests.support.daemon import Daemon
from tests.support.keys import ENVIRONMENT

SUBJECT = "I have a great idea"


@contextmanager
def relay(folder: Path, origin: str, more: str = "") -> Iterator[Daemon]:
    """A relay for the page at an origin, and the page's files in their folder."""
    settings = more + SETTINGS.format(origin=origin)
    with Daemon(folder, settings, ENVIRONMENT) as daemon:
        copy_page(folder / "www", daemon.url)
        yield daemon


@pytest.fixture
def www(tmp_path: Path) -> Path:
    folder = tmp_path / "www"
    folder.mkdir()
    return folder


@pytest.fixture
def origin(www: Path) -> Iterator[str]:
    with static_server(www) as origin:
        yield origin


@pytest.fixture
def daemon(tmp_path: Path, origin: str) -> Iterator[Daemon]:
    with relay(tmp_path, origin) as daemon:
        yield daemon


def fill(page: Page, url: str, address: str = "resident@example.com") -> None:
    """Open the page and fill in its form."""
    page.goto(url)
    write(page, address)


def write(page: Page, address: str = "resident@example.com") -> None:
    page.get_by_label("Your name").fill("A Resident")
    page.get_by_label("Your email address").fill(address)
    page.get_by_label("Subject").fill(SUBJECT)
    page.get_by_label("Your message").fill("Make the roads green.\nif x<y then call me")


def send(page: Page) -> None:
    page.get_by_role("button", name="Send").click()


def mails(daemon: Daemon) -> list[str]:
    return daemon.command("mailbox").stdout.splitlines()


def reasons(daemon: Daemon) -> list[str]:
    """Why the relay refused what it refused."""
    return [event["reason"] for event in daemon.events() if event["event"] == "submission.refused"]


def take_picture(page: Page, name: str) -> None:
    """Keep a picture where somebody asks for them, to be looked at."""
    if folder := os.environ.get("SCREENSHOTS"):
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)


def test_a_visitor_writes_and_the_mail_arrives(page: Page, daemon: Daemon, origin: str) -> None:
    fill(page, f"{origin}/contact-form.html")
    take_picture(page, "filled")
    send(page)

    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    expect(page.locator("#notice")).to_be_focused()
    expect(page.get_by_label("Your message")).to_have_value("")
    take_picture(page, "sent")
    [line] = mails(daemon)
    assert f"desk@example.gov  {SUBJECT}" in line
    mail = daemon.command("mailbox", "show", line.split()[0]).stdout
    assert "if x<y then call me" in mail
    assert f"Page: {origin}/contact-form.html" in mail
    assert reasons(daemon) == []


def test_a_visitor_writes_twice(page: Page, daemon: Daemon, origin: str) -> None:
    page.goto(f"{origin}/contact-form.html")
    for _ in range(2):
        write(page)
        send(page)
        expect(page.get_by_label("Your message")).to_have_value("")

    assert len(mails(daemon)) == 2
    assert reasons(daemon) == []


def test_two_clicks_are_one_mail(page: Page, daemon: Daemon, origin: str) -> None:
    fill(page, f"{origin}/contact-form.html")
    page.evaluate(
        """() => {
            const button = document.querySelector("button");
            button.click();
            button.click();
        }"""
    )

    expect(page.locator("#notice")).to_have_class("notice success")
    assert len(mails(daemon)) == 1
    assert reasons(daemon) == []


def test_a_message_that_waits_is_called_so(page: Page, tmp_path: Path, origin: str) -> None:
    with relay(tmp_path, origin, "[relay]\nenabled = false\n"):
        fill(page, f"{origin}/contact-form.html")
        send(page)

        expect(page.locator("#notice")).to_have_text("Thank you. Your message will be sent soon.")


def test_a_refused_address_is_shown_in_the_relays_words(
    page: Page, daemon: Daemon, origin: str
) -> None:
    fill(page, f"{origin}/contact-form.html", address="resident@localhost")
    send(page)

    words = r"Please check your message\. Your email address: .+"
    expect(page.locator("#notice")).to_have_text(re.compile(words))
    expect(page.get_by_label("Your email address")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Your message")).to_have_value(re.compile("Make the roads green"))
    take_picture(page, "refused")
    assert states(daemon) == []

    page.get_by_label("Your email address").fill("resident@example.com")
    send(page)
    expect(page.locator("#notice")).to_have_class("notice success")
    assert len(mails(daemon)) == 1


def test_a_token_that_became_invalid_is_replaced_once(
    page: Page, daemon: Daemon, origin: str
) -> None:
    fill(page, f"{origin}/contact-form.html")
    page.wait_for_function("() => token")  # or the right one would come later
    page.evaluate("() => { token = 1234567890123456; }")
    send(page)

    expect(page.locator("#notice")).to_have_class("notice success")
    assert len(mails(daemon)) == 1
    assert reasons(daemon) == ["token_unknown"]


def test_after_a_lost_answer_the_visitor_decides(page: Page, daemon: Daemon, origin: str) -> None:
    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    fill(page, f"{origin}/contact-form.html")
    page.route("**/email_session/*", lose_the_answer)
    send(page)
    expect(page.locator("#notice")).to_contain_text("check your connection")
    page.unroute("**/email_session/*")
    send(page)

    expect(page.locator("#notice")).to_contain_text("has probably arrived")
    assert len(mails(daemon)) == 1
    send(page)
    expect(page.locator("#notice")).to_have_class("notice success")
    assert len(mails(daemon)) == 2


def test_a_full_relay_says_when_to_come_back(page: Page, tmp_path: Path, origin: str) -> None:
    full = "[relay]\nenabled = false\nlimits = { max_waiting = 1 }\n"
    with relay(tmp_path, origin, full) as daemon:
        for _ in range(2):
            fill(page, f"{origin}/contact-form.html")
            send(page)
            expect(page.locator("#notice")).to_be_visible()

        words = "We cannot take your message right now. Please try again in 120 seconds."
        expect(page.locator("#notice")).to_have_text(words)
        assert reasons(daemon) == ["outbox_full"]


def test_a_page_of_another_origin_is_refused(page: Page, tmp_path: Path, origin: str) -> None:
    with relay(tmp_path, "https://www.example.gov") as daemon:
        fill(page, f"{origin}/contact-form.html")
        send(page)

        expect(page.locator("#notice")).to_have_class("notice error")
        assert set(reasons(daemon)) == {"origin"}
        assert states(daemon) == []


def test_a_robot_is_told_that_all_went_well(page: Page, daemon: Daemon, origin: str) -> None:
    fill(page, f"{origin}/contact-form.html")
    page.evaluate("() => { document.getElementById('contact').value = 'https://spam.example'; }")
    send(page)

    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert mails(daemon) == []
    assert states(daemon) == ["screened"]


def test_the_robots_field_is_out_of_reach_for_people(
    page: Page, daemon: Daemon, origin: str
) -> None:
    page.goto(f"{origin}/contact-form.html")

    expect(page.locator("#contact")).not_to_be_in_viewport()
    expect(page.get_by_role("textbox", name="Leave this empty")).to_have_count(0)
    seen = []
    for _ in range(7):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
    assert seen == [
        *("email[name]", "email[from_address]", "email[phone]", "email[subject]"),
        *("email[message]", "email[attachments]", "submit"),
    ]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == page.viewport_size["width"]  # nothing hangs over a phone's edge


def test_the_static_page_without_javascript_names_another_way(
    browser: Browser, daemon: Daemon, origin: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{origin}/contact-form.html")

    expect(page.get_by_text("This form needs JavaScript.")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    take_picture(page, "without-javascript")
    context.close()


def stored_files(daemon: Daemon) -> list[tuple[str, bytes]]:
    """The files of the only message, as they are stored."""
    with closing(sqlite3.connect(daemon.folder / "var" / "relay.db")) as connection:
        [(document,)] = connection.execute("SELECT document FROM contents").fetchall()
    found = json.loads(document).get("attachments", [])
    return [(name, b64decode(content)) for name, _, content, *_ in found]


# Bytes that a text would not survive.
PLAN = b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\r\n\n\r%%EOF\n"
NOTES = "Caf\u00e9 \u2014 notes\r\n".encode()


def choose(page: Page, *files: tuple[str, str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, kind, content in files]
    )


def test_files_arrive_byte_by_byte_and_their_way_is_shown(
    page: Page, daemon: Daemon, origin: str
) -> None:
    fill(page, f"{origin}/contact-form.html")
    choose(page, ("plan.pdf", "application/pdf", PLAN), ("notes \u00e9.txt", "text/plain", NOTES))
    page.evaluate(
        """() => {
            window.seen = [];
            const bar = document.getElementById("progress");
            const note = () => seen.push([document.getElementById("sending").hidden, bar.value]);
            new MutationObserver(note).observe(document.getElementById("sending"), {
                attributes: true, subtree: true,
            });
        }"""
    )
    take_picture(page, "with-files")
    send(page)

    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    expect(page.locator("#sending")).to_be_hidden()
    seen = page.evaluate("window.seen")
    assert seen[0] == [False, 0]
    assert [False, 1] in seen
    assert seen[-1][0] is True
    assert stored_files(daemon) == [("plan.pdf", PLAN), ("notes \u00e9.txt", NOTES)]
    assert page.locator("#files").input_value() == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("virus.exe", b"MZ", "Files: file 1 is none of the kinds that are taken here"),
        ("plan.pdf", b"no pdf", "Files: file 1 is not what its name says"),
        ("large.txt", b"x" * 9_000_000, "Files: more than 7000000 bytes of files in all"),
        ("huge.txt", b"x" * 12_000_000, "too large. Please shorten it, or choose smaller files."),
    ],
)
def test_the_page_says_why_a_file_is_not_taken(
    page: Page, daemon: Daemon, origin: str, name: str, content: bytes, words: str
) -> None:
    fill(page, f"{origin}/contact-form.html")
    choose(page, (name, "application/octet-stream", content))
    send(page)
    expect(page.locator("#notice")).to_have_class("notice error", timeout=30_000)
    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.get_by_label("Your message")).to_have_value(re.compile("Make the roads green"))
    assert states(daemon) == []
    choose(page)
    send(page)
    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert stored_files(daemon) == []


def test_where_no_files_are_taken_the_page_says_so(page: Page, tmp_path: Path, origin: str) -> None:
    with relay(tmp_path, origin) as daemon:
        settings = daemon.settings.read_text().replace("attachments = true\n", "")
        daemon.settings.write_text(settings)
        daemon.command("reload")
        fill(page, f"{origin}/contact-form.html")
        choose(page, ("plan.pdf", "application/pdf", PLAN))
        send(page)
        expect(page.locator("#notice")).to_have_class("notice error")
        assert states(daemon) == []


@needs_php
@pytest.mark.parametrize("javascript", [False, True])
def test_the_rendered_page_uploads_files_with_and_without_javascript(
    browser: Browser, www: Path, tmp_path: Path, javascript: bool
) -> None:
    context = browser.new_context(java_script_enabled=javascript)
    page = context.new_page()
    with php_server(www) as origin, relay(tmp_path, origin) as daemon:
        fill(page, f"{origin}/contact-form.php")
        choose(page, ("virus.exe", "application/octet-stream", b"MZ"))
        send(page)
        wrong = "none of the kinds" if javascript else "Please go back and choose another file."
        expect(page.get_by_text(wrong)).to_be_visible()
        assert states(daemon) == []
        fill(page, f"{origin}/contact-form.php")
        choose(page, ("plan.pdf", "application/pdf", PLAN))
        send(page)
        expect(page.get_by_text("Thank you. Your message was sent.")).to_be_visible()
        assert stored_files(daemon) == [("plan.pdf", PLAN)]
    context.close()


@needs_php
@pytest.mark.parametrize("javascript", [False, True])
def test_the_rendered_page_works_with_and_without_javascript(
    browser: Browser, www: Path, tmp_path: Path, javascript: bool
) -> None:
    context = browser.new_context(
        java_script_enabled=javascript, viewport={"width": 390, "height": 844}
    )
    page = context.new_page()
    with php_server(www) as origin, relay(tmp_path, origin) as daemon:
        address = f"{origin}/contact-form.php"
        fill(page, address)
        send(page)

        expect(page.get_by_text("Thank you. Your message was sent.")).to_be_visible()
        assert page.url == (address if javascript else f"{address}?relay=sent")
        take_picture(page, f"rendered-{javascript}")
        assert len(mails(daemon)) == 1

        fill(page, address, address="resident@localhost")
        send(page)
        wrong = "Please check your message." if javascript else "Your message was not taken."
        expect(page.get_by_text(wrong)).to_be_visible()
        take_picture(page, f"rendered-refused-{javascript}")
        assert len(mails(daemon)) == 1

        if not javascript:
            page.go_back()
        expect(page.get_by_label("Your message")).to_have_value(re.compile("Make the roads green"))
        page.get_by_label("Your email address").fill("resident@example.com")
        send(page)
        expect(page.get_by_text("Thank you. Your message was sent.")).to_be_visible()
        assert len(mails(daemon)) == 2
    context.close()
