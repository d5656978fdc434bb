"""The example page computes a proof of work in a real browser, under a strict policy."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.test_contact_page import fill, mails, reasons, send, write
from tests.support.contact_page import SETTINGS, copy_page, static_server
from tests.support.daemon import Daemon
from tests.support.docs import block
from tests.support.keys import ENVIRONMENT
from tests.support.node import installed

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


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of ALTCHA's own widget."""
    line = block("forms/captcha", "sh", "npm install altcha").splitlines()[0]
    return installed(tmp_path_factory.mktemp("altcha"), line.split()[-1])


@pytest.fixture
def with_widget(tmp_path: Path, origin: str, daemon: Daemon, package: Path) -> str:
    """The page, as its developer changes it for ALTCHA's own widget by what the docs show."""
    www, name = tmp_path / "www", "forms/captcha"
    for line in block(name, "sh", "npm install altcha").splitlines()[1:]:
        for file in line.split()[1:-1]:
            shutil.copy(package.parent / file, www)
    (www / "altcha-widget.js").write_text(block(name, "js", "import"), encoding="utf-8")
    widget = block(name, "html", "<altcha-widget").replace("https://relay.example.gov", daemon.url)
    policy = POLICY.format(relay=daemon.url)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    file = www / "contact-form.html"
    html = file.read_text(encoding="utf-8")
    html = html.replace("<head>", f"<head>{meta}").replace("<button", f"{widget}<button")
    head = block(name, "html", "<link")
    file.write_text(html.replace("</head>", f"{head}</head>"), encoding="utf-8")
    return f"{origin}/contact-form.html"


def test_altchas_own_widget(page: Page, daemon: Daemon, with_widget: str) -> None:
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))
    page.goto(with_widget)
    for _ in range(2):
        write(page)
        expect(page.locator("altcha-widget input[type=checkbox]")).to_be_checked()
        send(page)
        expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
        expect(page.get_by_label("Your message")).to_have_value("")
    assert len(mails(daemon)) == 2
    assert reasons(daemon) == []
    assert not [words for words in said if "Content Security Policy" in words]


def test_altchas_own_widget_solves_another_one_where_the_first_grew_too_old(
    page: Page, daemon: Daemon, with_widget: str
) -> None:
    def other(route: Route) -> None:
        url = route.request.url
        route.continue_(url=url.replace("token_session=", "token_session=1"))
        page.unroute("**/rest/challenge/**")

    page.route("**/rest/challenge/**", other)  # it is refused, as an old one is
    fill(page, with_widget)
    expect(page.locator("altcha-widget input[type=checkbox]")).to_be_checked()
    send(page)
    expect(page.locator("#notice")).to_have_text("Thank you. Your message was sent.")
    assert reasons(daemon) == ["not_verified"]


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
