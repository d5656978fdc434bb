"""The console in a real browser: each screen in both themes and widths, by keyboard, and safe."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.daemon import ROOT, Daemon
from tests.support.node import installed

SETTINGS = """
[relay]
data = "var"

[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["*"]

[servers.default]
plugins = ["bearer_token", "session_token", "default", "postmark"]
sender = "City of Example <noreply@example.gov>"
recipients = ["@example.gov"]
postmark_token = { env = "POSTMARK_TOKEN" }
postmark_url = "http://127.0.0.1:9"
retry = [3600]

[servers.broken]
plugins = ["bearer_token", "breaks", "mailbox"]
sender = "broken@example.gov"
recipients = ["*"]
"""
BREAKS = """
from relay import EmailForm, hookimpl

@hookimpl
def schema(server):
    return EmailForm()

@hookimpl
def compose(form, server):
    raise RuntimeError("it breaks")
"""
HOSTILE = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "'><svg/onload=document.title='ran'>",
    "javascript:document.title='ran'",
    "{{ document }}{% raw x %}${7*7}",
    "</textarea><script>document.title='ran'</script>",
    "</title><script>document.title='ran'</script>",
    '" autofocus onfocus="document.title=\'ran\'" x="',
    "<iframe srcdoc='<script>parent.document.title=1</script>'></iframe>",
    "<a href=javascript:document.title=1>x</a>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input name=csrf></form>",
    "<style>*{display:none}</style>",
    "\u202e<b>gnihton</b>",
)
# The same in other clothes: 300 values in all.
CLOTHES = (
    "{}",
    "{}{}",
    "Green {} roads",
    '"{}"',
    "'{}'",
    "-->{}<!--",
    "]]>{}",
    "</pre>{}",
    "</td></tr></table>{}",
    '" aria-label="{}',
    "' title='{}",
    "</option></select>{}",
    "</summary>{}",
    "</code>{}",
    "</a>{}",
    "</style>{}",
    "</noscript>{}",
    "</template>{}",
    "\u2028{}",
    "&lt;{}&gt;",
)
VALUES = [clothes.replace("{}", one) for clothes in CLOTHES for one in HOSTILE]

# What is wider than the page.
WIDE = """[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll, nav'))
    .slice(0, 5).map(one => one.outerHTML.slice(0, 150))"""
ORDINARY = (
    "The street lamp at Main and 3rd",
    "When is the library open on Sunday?",
    "Birth certificate: which papers?",
    "Green roads",
    "The playground needs a new swing",
    "Snow on the bridge",
    "A bench in the park",
)
# Each theme at each width; and where pictures for the docs are wanted, a folder for them.
LOOKS = [("light", 360), ("light", 1440), ("dark", 360), ("dark", 1440)]
PICTURES = os.environ.get("RELAY_PICTURES")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with mail in many states, which a provider that is down has made interesting."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "breaks.py").write_text(BREAKS)
    environment = {"POSTMARK_TOKEN": "00000000-0000-0000-0000-000000000000"}
    with Daemon(folder, SETTINGS, environment) as daemon:
        fill(daemon)
        yield daemon


def fill(daemon: Daemon) -> None:
    """Post forms that are sent, wait, are kept back, and break a plugin."""
    key = daemon.made_keys()["application"]
    form = {"to_address": "desk@example.gov", "from_address": "jane@example.com", "name": "Jane"}
    names = ("subject", "message", "url", "name", "phone")
    for start in range(0, len(VALUES), len(names)):
        values = VALUES[start : start + len(names)]
        said = dict(zip(names, values, strict=True))
        posted = daemon.post("/rest/email/contactform", key, data=form | said)
        assert posted.status_code in (200, 400), posted.text
        daemon.post("/rest/email/default", key, data=form | said | {f"x{values[0]}": values[1]})
    for words in ORDINARY:
        said = {"subject": words, "message": words, "url": "https://www.example.gov/contact"}
        for server in ("contactform", "default"):
            assert daemon.post(f"/rest/email/{server}", key, data=form | said).ok
    robot = form | {"subject": "Buy", "message": "Buy", "contact": "I am a robot"}
    assert daemon.post("/rest/email/contactform", key, data=robot).status_code == 200
    broken = daemon.post("/rest/email/broken", key, data=form | {"subject": "x", "message": "y"})
    assert broken.status_code == 500
    add = ("suppressions", "add", "contactform")
    assert daemon.command(*add, "old@example.com", "--words", HOSTILE[1]).returncode == 0
    template = {"Name": HOSTILE[0], "Subject": HOSTILE[1], "HtmlBody": HOSTILE[2]}
    token = {"X-Postmark-Server-Token": daemon.made_keys()["contactform"]}
    made = daemon.post("/templates", json=template | {"TextBody": HOSTILE[5]}, headers=token)
    assert made.status_code == 200, made.text
    assert daemon.command("operators", "invite", "jo", "--role", "operator").returncode == 0


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which finds what keeps people with disabilities out."""
    modules = installed(tmp_path_factory.mktemp("axe"), "axe-core@4")
    return (modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def session(browser: Browser, relay: Daemon) -> dict[str, Any]:
    """The cookies of the first admin, who came by the printed link."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(relay.console)
    page.wait_for_url(re.compile(r":\d+/$"))
    expect(page.locator(".who")).to_contain_text("admin")
    state = context.storage_state()
    context.close()
    return state


def base(relay: Daemon) -> str:
    parts = urlsplit(relay.console)
    return f"{parts.scheme}://{parts.netloc}"


def screens(relay: Daemon, page: Page) -> dict[str, str]:
    """Every screen, by the name of its picture."""
    page.goto(f"{base(relay)}/messages?q=state:queued")
    waiting = page.locator("tbody a").first.get_attribute("href")
    page.goto(f"{base(relay)}/messages?q=state:sent")
    sent = page.locator("tbody a").first.get_attribute("href")
    page.goto(f"{base(relay)}/screened")
    kept = page.locator("tbody a").first.get_attribute("href")
    return {
        "overview": "/",
        "messages": "/messages",
        "search": "/messages?q=jane+state:sent",
        "message-waiting": str(waiting),
        "message-sent": str(sent),
        "message-kept": str(kept),
        "to-do": "/to-do",
        "screened": "/screened",
        "suppressions": "/suppressions",
        "servers": "/servers",
        "server": "/servers/contactform",
        "try": "/servers/contactform/try",
        "templates": "/templates",
        "person": "/person",
        "acts": "/acts",
        "operators": "/operators",
        "you": "/you",
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_every_screen_can_be_read_by_everybody(
    browser: Browser, relay: Daemon, session: Any, axe: str, theme: Any, width: int
) -> None:
    context = browser.new_context(
        storage_state=session,
        color_scheme=theme,
        viewport={"width": width, "height": 900},
        bypass_csp=True,  # for axe alone: what the policy says is another test's
    )
    page, faults = context.new_page(), []
    for name, path in screens(relay, page).items():
        answer = page.goto(base(relay) + path)
        assert answer is not None
        assert (name, answer.status) == (name, 200)
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wide = page.evaluate(WIDE)
            faults.append(f"{name}: scrolls sideways at {width}: {wide}")
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for one in found["violations"]:
            where = [node["target"] for node in one["nodes"]][:3]
            faults.append(f"{name}: {one['id']} {one['help']} {where}")
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{theme}-{width}.png")
    context.close()
    assert faults == []


def test_the_docs_show_these_screens() -> None:
    told = (ROOT / "docs/operate/console.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(pictures/([a-z-]+)-light-1440\.png\)", told)
    tour = Path(__file__).read_text(encoding="utf-8")
    assert len(shown) >= 4
    for name in shown:
        assert f'"{name}": ' in tour
        assert (ROOT / f"docs/operate/pictures/{name}-light-1440.png").stat().st_size > 10_000


@pytest.mark.timeout(240)
def test_nothing_that_was_written_runs(browser: Browser, relay: Daemon, session: Any) -> None:
    context = browser.new_context(storage_state=session)
    page, complaints, hosts = context.new_page(), [], set()
    page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    links = set(screens(relay, page).values())
    page.goto(f"{base(relay)}/templates")
    links |= {str(page.locator(".mails a").get_attribute("href"))}
    older = "/messages?q=server:contactform,default"
    while older:
        page.goto(base(relay) + older)
        links |= {str(link.get_attribute("href")) for link in page.locator("tbody a").all()}
        more = page.locator("a[rel=next]")
        older = str(more.get_attribute("href")) if more.count() else ""
    assert len(links) >= 2 * len(VALUES) // 5
    for path in sorted(links):
        page.goto(base(relay) + path)
        assert "ran" not in page.title().split()
    for hostile in HOSTILE:
        for path in ("/messages?q=", "/acts?q=", "/sign-in?next=", "/suppressions?group="):
            page.goto(base(relay) + path + quote(hostile))
            assert "ran" not in page.title().split()
    context.close()
    # A frame that forbids what a template brings along says so.
    harmless = ("404", "400", "Blocked script execution")
    assert [one for one in complaints if not any(word in one for word in harmless)] == []
    assert hosts - {""} == {urlsplit(base(relay)).netloc}


def test_the_console_works_without_javascript(
    browser: Browser, relay: Daemon, session: Any
) -> None:
    context = browser.new_context(storage_state=session, java_script_enabled=False)
    page = context.new_page()
    page.goto(base(relay))
    page.get_by_role("button", name="Pause default").click()
    expect(page.get_by_role("status")).to_contain_text("default is paused")
    page.get_by_role("button", name="Resume default").click()
    page.get_by_role("link", name="Messages", exact=True).click()
    page.get_by_label("Search messages").fill("bench")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr").first).to_contain_text("A bench in the park")
    context.close()


def test_a_message_is_found_and_sent_again_by_keyboard_alone(
    browser: Browser, relay: Daemon, session: Any
) -> None:
    context = browser.new_context(storage_state=session)
    page = context.new_page()
    page.goto(base(relay))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    press_until(page, "Messages")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages")
    press_until(page, "q")
    page.keyboard.type("state:sent bench")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages?q=*")
    press_until(page, "A bench in the park")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("A bench in the park")
    press_until(page, "address")
    page.keyboard.type("other@example.gov")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Sent again")
    context.close()


def press_until(page: Page, wanted: str) -> None:
    """Press Tab until what has the focus is called so: by its words, or its name."""
    for _ in range(300):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "(document.activeElement.innerText || '') + '\\n' + (document.activeElement.name || '')"
        )
        if any(line.strip().startswith(wanted) for line in str(said).split("\n")):
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")
