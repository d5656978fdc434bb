"""The examples as they stand, against a real daemon; and the files of deploy/."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from tests.support.contact_page import (
    EXAMPLES,
    PHP,
    SETTINGS,
    copy_page,
    needs_php,
    php_server,
    serving,
    states,
)
from tests.support.daemon import ROOT, Daemon
from tests.support.keys import APPLICATION_KEY, ENVIRONMENT

PYTHON_CALLER = (
    *(sys.executable, str(EXAMPLES / "send.py"), "--name", "A Resident"),
    *("--to", "desk@example.gov", "--from", "resident@example.com"),
    *("--subject", "I have a great idea", "Make the roads green."),
)
PHP_CALLER = (str(PHP), str(EXAMPLES / "send.php"))

each_caller = pytest.mark.parametrize(
    "caller", [PYTHON_CALLER, pytest.param(PHP_CALLER, marks=needs_php)], ids=["python", "php"]
)


def call(
    caller: tuple[str, ...], url: str, key: str = APPLICATION_KEY
) -> subprocess.CompletedProcess:
    return subprocess.run(
        caller,
        env={**os.environ, "RELAY_URL": url, "RELAY_KEY": key},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    settings = SETTINGS.format(origin="http://127.0.0.1")
    with Daemon(tmp_path, settings, ENVIRONMENT) as daemon:
        yield daemon


@pytest.mark.slow
@each_caller
def test_an_application_sends_a_mail(daemon: Daemon, caller: tuple[str, ...]) -> None:
    done = call(caller, daemon.url)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Message sent\n", "")
    [line] = daemon.command("mailbox").stdout.splitlines()
    assert "desk@example.gov  I have a great idea" in line
    mail = daemon.command("mailbox", "show", line.split()[0]).stdout
    assert "Make the roads green." in mail
    assert "A Resident <resident@example.com>" in mail


@pytest.mark.slow
@each_caller
def test_an_application_with_a_wrong_key_is_refused(
    daemon: Daemon, caller: tuple[str, ...]
) -> None:
    done = call(caller, daemon.url, "wrong-key-wrong-key-wrong-key-wrong")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "refused with 401: could not authenticate\n"
    assert states(daemon) == []


@pytest.mark.slow
@each_caller
def test_an_application_says_when_no_relay_answers(daemon: Daemon, caller: tuple[str, ...]) -> None:
    daemon.stop()

    done = call(caller, daemon.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no answer from the relay")


class Busy(BaseHTTPRequestHandler):
    """A relay that is too busy for the first `refusals` posts."""

    refusals: int
    posts: list[bytes]

    def do_POST(self) -> None:
        self.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
        busy = len(self.posts) <= self.refusals
        words = "too many requests" if busy else "Message sent"
        answer = json.dumps({"status": "error" if busy else "success", "response": words}).encode()
        self.send_response(429 if busy else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("refusals", "posts", "code"), [(2, 3, 0), (9, 4, 1)])
def test_the_python_caller_comes_back_to_a_busy_relay_a_few_times(
    refusals: int, posts: int, code: int
) -> None:
    busy = type("", (Busy,), {"refusals": refusals, "posts": []})
    with serving(HTTPServer(("127.0.0.1", 0), busy)) as url:
        done = call(PYTHON_CALLER, url)

    assert done.returncode == code
    assert len(busy.posts) == posts
    assert len(set(busy.posts)) == 1


@pytest.mark.slow
def test_the_python_caller_does_not_wait_for_a_relay_that_is_full(tmp_path: Path) -> None:
    full = "[relay]\nenabled = false\nlimits = { max_waiting = 1 }\n"
    with Daemon(tmp_path, full + SETTINGS.format(origin="http://127.0.0.1"), ENVIRONMENT) as daemon:
        assert call(PYTHON_CALLER, daemon.url).stdout == "Message queued\n"

        done = call(PYTHON_CALLER, daemon.url)

        assert done.returncode == 1
        assert done.stderr == "refused with 503: cannot be stored now\n"
        assert states(daemon) == ["queued"]


class Form(HTMLParser):
    """The form of a page: where it posts to, and its fields with their values."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "form":
            self.action = values["action"] or ""
        elif values.get("name", "") not in ("", "viewport"):
            self.fields[values["name"]] = values.get("value") or ""


WRITTEN = {
    "email[name]": "A Resident",
    "email[from_address]": "resident@example.com",
    "email[subject]": "I have a great idea",
    "email[message]": "Make the roads green.",
}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[str, Daemon]]:
    """The address of the page that PHP renders, and the relay that it posts to."""
    folder = tmp_path / "www"
    folder.mkdir()
    with (
        php_server(folder, {"RELAY_KEY": APPLICATION_KEY}) as origin,
        Daemon(tmp_path, SETTINGS.format(origin=origin), ENVIRONMENT) as daemon,
    ):
        copy_page(folder, daemon.url)
        yield f"{origin}/contact-form.php", daemon


@pytest.mark.slow
@needs_php
def test_the_rendered_page_posts_without_javascript(page: tuple[str, Daemon]) -> None:
    url, daemon = page
    shown = requests.get(url, timeout=10)
    form = Form(shown.text)

    assert shown.headers["Cache-Control"] == "private, no-cache"
    assert re.fullmatch(r"[1-9][0-9]{15}", form.fields["email[token_session]"])
    assert APPLICATION_KEY not in shown.text
    back = post(form, WRITTEN, url)

    assert back.status_code == 303
    assert back.headers["Location"] == f"{url}?relay=sent"
    assert "Your message was sent." in requests.get(back.headers["Location"], timeout=10).text
    assert "I have a great idea" in daemon.command("mailbox").stdout


@pytest.mark.slow
@needs_php
def test_the_rendered_page_says_that_a_post_was_refused(page: tuple[str, Daemon]) -> None:
    url, daemon = page
    form = Form(requests.get(url, timeout=10).text)

    back = post(form, WRITTEN | {"email[from_address]": "nobody"}, url)

    assert back.headers["Location"] == f"{url}?relay=error&relay_reason=address"
    assert "Your message was not taken." in requests.get(back.headers["Location"], timeout=10).text
    assert states(daemon) == []
    # A refusal leaves the token usable: going back and mending the address is enough.
    assert post(form, WRITTEN, url).headers["Location"] == f"{url}?relay=sent"


@pytest.mark.slow
@needs_php
def test_the_rendered_page_without_a_relay_names_another_way(page: tuple[str, Daemon]) -> None:
    url, daemon = page
    daemon.stop()

    shown = requests.get(url, timeout=10)

    assert shown.status_code == 503
    assert "write to desk@example.gov" in shown.text
    assert "<form" not in shown.text


def post(form: Form, written: dict[str, str], url: str) -> requests.Response:
    """Post a form as a browser does that shows the page at this URL."""
    return requests.post(
        form.action,
        data=form.fields | written,
        headers={"Origin": url.removesuffix("/contact-form.php")},
        allow_redirects=False,
        timeout=10,
    )


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.mark.parametrize("name", ["contact-form.html", "contact-form.php"])
def test_every_field_of_the_page_has_a_label_and_says_what_it_is_for(name: str) -> None:
    page = Tags((EXAMPLES / name).read_text(encoding="utf-8"))
    fields = [one for one in page.of("input", "textarea") if one.get("type") != "hidden"]
    labelled = {label["for"] for label in page.of("label")}

    assert [one["lang"] for one in page.of("html")] == ["en"]
    assert len(fields) >= 6
    assert {one["id"] for one in [*fields, *page.of("progress")]} == labelled
    for one in fields:
        unseen = one["id"] == "contact"
        assert one.get("tabindex") == ("-1" if unseen else None)
        assert ("required" in one) == (one["id"] not in ("contact", "phone", "files"))
    hints = {one["id"]: one.get("autocomplete") for one in fields}
    assert (hints["name"], hints["from"], hints["phone"]) == ("name", "email", "tel")
    assert hints["contact"] == "off"


def luminance(colour: str) -> float:
    """How light a colour is, as WCAG 2 counts it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("selector", "colour", "behind", "least"),
    [
        ("body", "color", "#fff", 4.5),
        ("h1 + p", "color", "#fff", 4.5),
        ("label span", "color", "#fff", 4.5),
        ("button", "background", "#fff", 4.5),
        ("button:hover", "background", "#fff", 4.5),
        ("button:disabled", "background", "#fff", 4.5),
        (".success", "background", "#1c2733", 4.5),
        (".error", "background", "#1c2733", 4.5),
        ("input, textarea", "border", "#fff", 3),
        ('[aria-invalid="true"]', "border-color", "#fff", 3),
        (":focus-visible", "outline", "#fff", 3),
    ],
)
def test_the_pages_colours_can_be_told_apart(
    selector: str, colour: str, behind: str, least: float
) -> None:
    style = (EXAMPLES / "contact-form.css").read_text(encoding="utf-8")
    rules = re.findall(rf"^{re.escape(selector)} {{(.*?)}}", style, re.MULTILINE | re.DOTALL)
    [found] = re.findall(rf"\b{colour}: [^;]*?(#[0-9a-f]{{3,6}})\b", " ".join(rules))
    dark, light = sorted([luminance(found), luminance(behind)])
    assert (light + 0.05) / (dark + 0.05) >= least


PRODUCTION = {
    "RELAY_KEY_WEBSITE": "website-key-website-key-website-key",
    "RELAY_KEY_APPLICATIONS": "applications-key-applications-key-0",
    "POSTMARK_TOKEN": "postmark-server-token",
    "POSTMARK_TOKEN_ALERTS": "another-server-token",
    "RELAY_WEBHOOK_SECRET": "webhook-secret-webhook-secret-0000",
}


def check(environment: dict[str, str]) -> subprocess.CompletedProcess:
    settings = str(ROOT / "deploy" / "settings.example.toml")
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--settings", settings, "check"],
        env={name: os.environ[name] for name in os.environ if name not in PRODUCTION} | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_production_settings_are_in_order() -> None:
    done = check(PRODUCTION)

    assert (done.returncode, done.stderr) == (0, "")
    notes = [line for line in done.stdout.splitlines() if line.startswith("before production:")]
    # What is left to say is the reader's own: the example's name, and the machine's versions.
    assert [note for note in notes if "is an example" not in note and "[" in note] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PRODUCTION)
def test_the_production_settings_need_every_secret(name: str) -> None:
    done = check({other: value for other, value in PRODUCTION.items() if other != name})

    assert done.returncode == 2
    assert f"{name} is not set" in done.stderr


def instructions(name: str) -> list[str]:
    """What stands behind one of the Dockerfile's instructions, line by line."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with the files that the Dockerfile copies, and no others."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    folder = tmp_path / "image"
    folder.mkdir()
    for copied in instructions("COPY"):
        *sources, target = copied.split()
        for source in sources:
            assert f"!{source.rstrip('/')}" in ignored
            if source.endswith("/"):
                leave = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, folder / target, ignore=leave)
            else:
                shutil.copy(ROOT / source, folder / target)
    return folder


@pytest.mark.slow
def test_the_container_starts_is_healthy_and_writes_to_its_volume_alone(
    image: Path, tmp_path: Path
) -> None:
    [variables] = instructions("ENV")
    environment = dict(word.split("=", 1) for word in shlex.split(variables))
    here = {"RELAY_HOST": "127.0.0.1", "RELAY_PORT": "0", "RELAY_DATA": str(tmp_path / "volume")}
    before = {file: file.read_bytes() for file in image.rglob("*") if file.is_file()}
    [command] = [json.loads(command) for command in instructions("CMD")]
    [health] = [json.loads(line.partition("CMD ")[2]) for line in instructions("HEALTHCHECK")]

    with subprocess.Popen(
        [sys.executable, *command[1:]],
        cwd=image,
        env=environment | here,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        [url] = re.findall(r"listens on http://(\S+)", process.stdout.readline())
        probe = [sys.executable, *(part.replace("127.0.0.1:8025", url) for part in health[1:])]
        well = subprocess.run(probe, timeout=30, check=False).returncode
        process.terminate()
        ended = process.wait(timeout=50)

    assert (well, ended) == (0, 0)
    assert subprocess.run(probe, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode != 0
    assert {file: file.read_bytes() for file in image.rglob("*") if file.is_file()} == before
    assert (tmp_path / "volume" / "relay.db").exists()
