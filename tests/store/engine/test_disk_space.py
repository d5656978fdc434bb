"""When there is no room: refused before anything is lost, and taken again when there is."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Connection, text
from tornado.httpserver import HTTPServer

from relay.config.settings import Settings
from relay.core.rate_limit import RateLimiter
from relay.site import Site
from relay.store.engine.disk_space import Space, floor
from tests.conftest import FORM, SETTINGS, Outbox, Post
from tests.support.daemon import ROOT, Daemon
from tests.support.keys import APPLICATION_KEY

MB, GB = 2**20, 2**30
LATER = {**FORM, "senddatetime": "+5 minutes"}
MAIL = {
    "From": "relay@example.gov",
    "To": "desk@example.gov",
    "Subject": "Fair",
    "TextBody": "Once a year.",
}


@pytest.fixture
def settings_toml() -> str:
    return SETTINGS + '[keys.api]\nsecret = { env = "API_KEY" }\nservers = ["default"]\n'


API_KEY = "api-key-api-key-api-key-api-key-api"


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "API_KEY": API_KEY}


def seen(free: float, size: float = 100 * GB, files: int = 1000, free_files: int = 900) -> Any:
    """What the system says of a file system: sizes in bytes."""
    blocks, left = int(size // 4096), int(free // 4096)
    return os.statvfs_result(
        (4096, 4096, blocks, left, left, files, free_files, free_files, 0, 255)
    )


def space(**given: Any) -> Space:
    return Space(Path("/"), look=lambda folder: seen(**given))


@pytest.mark.parametrize(
    ("size", "least"),
    [
        (4000 * GB, 2 * GB),
        (20 * GB, 1 * GB),
        (5 * GB, 256 * MB),
        (2 * GB, 256 * MB),
        (100 * MB, 25 * MB),
    ],
)
def test_the_least_free_space_grows_with_the_disk_within_bounds(size: int, least: int) -> None:
    assert floor(size) == least


@pytest.mark.parametrize(
    ("given", "low", "nearly"),
    [
        ({"free": 50 * GB}, False, False),
        ({"free": 2.4 * GB}, False, True),
        ({"free": 1.9 * GB}, True, True),
        ({"free": 0}, True, True),
        ({"free": 0, "size": 0}, True, True),
        ({"free": 50 * GB, "free_files": 60}, False, True),
        ({"free": 50 * GB, "free_files": 49}, True, True),
        ({"free": 50 * GB, "files": 0, "free_files": 0}, False, False),
        ({"free": 50 * GB, "files": 10**9, "free_files": 20_000}, False, False),
    ],
)
def test_a_disk_is_low_in_bytes_or_in_files(
    given: dict[str, Any], *, low: bool, nearly: bool
) -> None:
    measured = space(**given)
    assert (measured.is_low, measured.is_nearly_low) == (low, nearly)


def test_the_disk_is_looked_at_once_a_second_at_most() -> None:
    looks: list[Path] = []
    now = [100.0]

    def look(folder: Path) -> Any:
        looks.append(folder)
        return seen(50 * GB)

    measured = Space(Path("/data"), clock=lambda: now[0], look=look)
    for moment in (100.0, 100.0, 100.9, 101.0, 101.5):
        now[0] = moment
        assert not measured.is_low
    assert looks == [Path("/data")] * 2


def test_a_folder_that_is_not_there_has_no_room(tmp_path: Path) -> None:
    assert Space(tmp_path / "nowhere").is_low
    assert not Space(tmp_path).is_low


@pytest.mark.gen_test
async def test_nothing_new_is_taken_while_the_disk_is_low(
    site: Site, post: Post, outbox: Outbox
) -> None:
    token = (await post("/rest/email_token/create", key=None)).json["token_session"]
    later = (await post("/rest/email/contactform", LATER)).json["id"]
    site.space = space(free=1 * GB)
    for path in ("/rest/email/contactform", "/rest/email/default", "/emails"):
        reply = await post(path, FORM)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "60")
        assert reply.json == {"status": "error", "response": "cannot be stored now"}
    assert (await post("/rest/email_session/contactform", FORM)).status == 503
    assert (await post("/rest/email_token/create", key=None)).status == 503
    api = {"X-Postmark-Server-Token": API_KEY}
    for path, body in (("/email", MAIL), ("/email/batch", [MAIL]), ("/templates", {"Name": "a"})):
        reply = await post(path, content=body, key=None, headers=api)
        assert (reply.status, reply.json["ErrorCode"]) == (503, 100)
        assert reply.headers["Retry-After"] == "60"
    assert (await post("/templates?count=1&offset=0", method="GET", headers=api)).status == 200
    assert outbox.states() == ["scheduled"]
    # What makes no row still works.
    assert (await post("/rest/email_cancel/contactform", {"id": later})).status == 200
    assert (await post("/rest/email_token/remove", {"token_session": token})).status == 200
    site.space = space(free=50 * GB)
    assert (await post("/rest/email/contactform", FORM)).status == 200


@pytest.mark.gen_test
async def test_a_visitor_without_javascript_comes_back_to_the_page_with_it(
    site: Site, post: Post, outbox: Outbox
) -> None:
    site.space = space(free=0)
    reply = await post("/rest/email/contactform", {**FORM, "return_to": "thanks"})
    assert reply.status == 303
    assert reply.headers["Location"].endswith("relay=error&relay_reason=unavailable")
    assert outbox.rows() == []


@pytest.mark.gen_test
async def test_no_large_body_is_waited_for_while_there_is_no_room(
    site: Site, http_server: HTTPServer, http_port: int
) -> None:
    site.space = space(free=0)
    reader, writer = await asyncio.open_connection("127.0.0.1", http_port)
    writer.write(
        b"POST /rest/email/default HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2000000\r\n\r\n"
    )
    assert b" 503 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


@pytest.mark.gen_test
async def test_health_is_red_before_mail_is_refused(
    site: Site, post: Post, load: Callable[[str], Settings], settings_toml: str
) -> None:
    assert (await post("/healthz", method="GET", key=None)).status == 200
    site.space = space(free=2.4 * GB)
    red = await post("/healthz", method="GET", key=None)
    assert (red.status, red.headers["Retry-After"]) == (503, "60")
    assert (await post("/rest/email/contactform", FORM)).status == 200
    site.space = space(free=50 * GB)
    site.reload(load("[relay.limits]\nmax_waiting = 10\n" + settings_toml))
    for waiting, status in ((7, 200), (8, 503)):
        site.dispatcher._waiting = waiting
        assert (await post("/healthz", method="GET", key=None)).status == status
        assert (await post("/rest/email/contactform", FORM)).status == 200


@pytest.mark.gen_test
async def test_a_full_outbox_takes_no_mail_of_the_api_either(
    site: Site, post: Post, outbox: Outbox
) -> None:
    site.dispatcher._waiting = site.settings.limits.max_waiting
    api = {"X-Postmark-Server-Token": API_KEY}
    reply = await post("/email", content=MAIL, key=None, headers=api)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "120")
    assert (await post("/rest/email_token/create", key=None)).status == 200
    assert outbox.rows() == []


@pytest.mark.sqlite
@pytest.mark.slow
@pytest.mark.gen_test
async def test_a_store_that_another_process_holds_is_503_and_nothing_is_stored(
    site: Site, post: Post, outbox: Outbox
) -> None:
    with closing(sqlite3.connect(site.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        reply = await post("/rest/email/contactform", FORM)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert 1.5 < time.monotonic() - began < 4
        assert (await post("/rest/email/contactform", FORM)).status == 503
        other.execute("ROLLBACK")
    assert outbox.rows() == []
    assert (await post("/rest/email/contactform", FORM)).words == "Message sent"


@pytest.mark.gen_test
async def test_nobody_queues_up_behind_a_store_that_does_not_come_to_an_end(
    site: Site, post: Post, outbox: Outbox
) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def stuck(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        begun.set()
        going_on.wait(10)
        return batch

    assert site.store.stalled == 0
    writing = asyncio.ensure_future(site.store.write(stuck, None))
    await asyncio.to_thread(begun.wait, 10)
    site.store._writer._begun_at -= 2.1
    for path in ("/rest/email/contactform", "/rest/email_token/create"):
        reply = await post(path, FORM)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    going_on.set()
    await writing
    assert outbox.rows() == []
    assert (await post("/rest/email/contactform", FORM)).status == 200


@pytest.mark.sqlite
@pytest.mark.gen_test
async def test_a_full_database_loses_nothing_that_was_answered(
    site: Site, post: Post, outbox: Outbox
) -> None:
    site.configuration = replace(site.configuration, post_limiter=RateLimiter(0))

    def limit_pages(connection: Connection, batch: Sequence[int | None]) -> Sequence[int]:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        for more in batch:
            most = 2**30 if more is None else pages + more
            connection.execute(text(f"PRAGMA max_page_count = {most}"))
        return [pages for _ in batch]

    await site.store.write(limit_pages, 40)
    large = {**FORM, "message": "Make the roads green. " * 500}
    replies = [await post("/rest/email/contactform", large) for _ in range(40)]
    taken = [one.headers["X-Relay-Message-Id"] for one in replies if one.status == 200]
    refused = [one for one in replies if one.status != 200]
    assert {(one.status, one.headers["Retry-After"]) for one in refused} == {(503, "5")}
    assert taken
    assert [row["id"] for row in outbox.rows()] == taken
    await site.store.write(limit_pages, None)
    await site.dispatcher.deliver_waiting(time.time() + 60)
    assert outbox.states() == ["sent"] * len(taken)
    assert (await post("/rest/email/contactform", large)).words == "Message sent"
    assert site.dispatcher.waiting == 0


DAEMON = """
[relay.limits]
posts_per_minute = 0

[keys.application]
secret = { env = "APPLICATION_KEY" }
servers = ["default"]

[servers.default]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["*"]
"""


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_daemon_on_a_full_disk_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("NOT RUN: a small disk needs `unshare -rm`")
    code = f"import sys; from {__name__} import fill_the_disk; fill_the_disk(sys.argv[1])"
    ran = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def fill_the_disk(folder: str) -> None:
    """Run a daemon on a disk of 16 MB, fill the disk, make room again; in a namespace."""
    data = Path(folder) / "var"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(data)], check=True)
    daemon = Daemon(Path(folder), DAEMON, {"APPLICATION_KEY": APPLICATION_KEY})
    with daemon:
        taken = [_posted(daemon).headers["X-Relay-Message-Id"] for _ in range(5)]
        (data / "filler").write_bytes(bytes(_free(data) - 3 * MB))
        reply = _until(daemon, 503)
        assert reply.headers["Retry-After"] == "60"
        assert requests.get(f"{daemon.url}/healthz", timeout=10).status_code == 503
        assert daemon.post("/rest/email_token/create").status_code == 503
        replies = [_posted(daemon) for _ in range(200)]
        assert {one.status_code for one in replies} == {503}
        (data / "filler").unlink()
        taken.append(_until(daemon, 200).headers["X-Relay-Message-Id"])
        replies = [_posted(daemon) for _ in range(200)]
        taken += [one.headers["X-Relay-Message-Id"] for one in replies if one.status_code == 200]
    with closing(sqlite3.connect(data / "relay.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = dict(connection.execute("SELECT id, state FROM messages").fetchall())
    assert len(taken) > 100
    assert set(taken) <= stored.keys()
    assert set(stored.values()) == {"sent"}


def _posted(daemon: Daemon) -> requests.Response:
    return daemon.post("/rest/email/default", APPLICATION_KEY, json=FORM)


def _free(folder: Path) -> int:
    seen = os.statvfs(folder)
    return seen.f_bavail * seen.f_frsize


def _until(daemon: Daemon, status: int) -> requests.Response:
    """Post until it is answered so: the disk is looked at once a second."""
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        reply = _posted(daemon)
        if reply.status_code == status:
            return reply
        time.sleep(0.05)
    raise AssertionError(f"never {status}")
