"""The example page computes a proof of work in a real browser, under a strict policy."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.test_contact_page import fill, mails, reasons, send, write
from tests.support.contact_page import SETTINGS, copy_page, static_server
from tests.support.daemon import Daemon
from tests.support.keys import ENVIRONMENT

ALTCHA = """
altcha_key = { env = "ALTCHA_KEY" }
altcha_cost = 200
"""
POLICY = "default-src 'self'; connect-src {relay}; form-action {relay}"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    with static_server(tmp_path / "www") as origin:
        yield origin


@pytest.fixture
def daemon(tmp_path: Path, origin: str) -> Iterator[Daemon]:
    settings = SETTINGS.format(origin=origin).replace('"honeypot",', '"honeypot", "altcha",')
    environment = {**ENVIRONMENT, "ALTCHA_KEY": "what-challenges-are-signed-with-here"}
    with Daemon(tmp_path, settings + ALTCHA, environment) as daemon:
        copy_page(tmp_path / "www", daemon.url)
        yield daemon


@pytest.fixture
def url(tmp_path: Path, origin: str, daemon: Daemon) -> str:
    """The page, as its developer changes it for a server with `altcha`."""
    file = tmp_path / "www" / "contact-form.html"
    policy = POLICY.format(relay=daemon.url)
    html = file.read_text(encoding="utf-8")
    html = html.replace("<form ", '<form data-challenge="../challenge/contactform" ')
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    file.write_text(html.replace("<head>", f"<head>{meta}"), encoding="utf-8")
    return f"{origin}/contact-form.html"


def test_writers_compute_a_proof_for_each_message(page: Page, daemon: Daemon, url: str) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/rest/challenge/" in request.url:
            asked.append(parse_qs(urlsplit(request.url).query)["token_session"][0])

    page.on("request", note)
    page.goto(url)
    for _ in range(2):
        write(page)
        send(page)
        expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
        expect(page.get_by_label("Your message")).to_have_value("")
    assert len(mails(daemon)) == 2
    assert len(set(asked)) == 2
    assert reasons(daemon) == []


def test_a_typo_costs_no_proof(page: Page, daemon: Daemon, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda one: "/challenge/" in one.url and asked.append(one.url))
    fill(page, url, address="resident@localhost")
    send(page)
    expect(page.locator("#notice")).to_contain_text("Please check your message.")
    page.get_by_label("Your email address").fill("resident@example.com")
    send(page)
    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert len(asked) == 1
    assert reasons(daemon) == ["invalid"]


def test_a_proof_that_grew_too_old_is_computed_anew(page: Page, daemon: Daemon, url: str) -> None:
    def age(route: Route) -> None:
        answer = route.fetch()
        challenge = answer.json()
        challenge["parameters"]["expiresAt"] = 1
        route.fulfill(response=answer, body=json.dumps(challenge))
        page.unroute("**/rest/challenge/**")

    page.route("**/rest/challenge/**", age)
    fill(page, url)
    send(page)
    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert reasons(daemon) == ["not_verified"]


def test_a_challenge_that_does_not_come_is_said_and_asked_for_again(
    page: Page, daemon: Daemon, url: str
) -> None:
    page.route("**/rest/challenge/**", lambda route: route.abort())
    fill(page, url)
    send(page)
    expect(page.locator("#notice")).to_contain_text("We could not reach our mail service.")
    assert mails(daemon) == []
    page.unroute("**/rest/challenge/**")
    send(page)
    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert len(mails(daemon)) == 1
