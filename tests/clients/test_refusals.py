"""Refused calls take no good one with them: real clients, straight and through a real nginx."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import requests

from tests.clients.conftest import SETTINGS, SHOP_TOKEN
from tests.support.daemon import Daemon
from tests.support.nginx import Nginx
from tests.support.node import installed

pytestmark = pytest.mark.slow

CALLS = 100

LIMITS = """
[servers.shut]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Shut <shut@example.gov>"
recipients = ["@example.gov"]

[relay.limits]
"""
FEW = f"{SETTINGS}{LIMITS}posts_per_minute = 1\n"
FULL = f"{SETTINGS}{LIMITS}max_waiting = 1\n".replace("[relay]", "[relay]\nenabled = false")
ENVIRONMENT = {"SHOP_KEY": SHOP_TOKEN, "DESK_KEY": "d" * 40, "ACCOUNT_KEY": "a" * 40}

JSON = {"Content-Type": "application/json"}
KEY = {**JSON, "X-Postmark-Server-Token": SHOP_TOKEN}
# Not from this machine as it seems, and over its limit soon.
REMOTE = {"X-Forwarded-For": "192.0.2.1"}
MAIL = {"From": "shop@example.gov", "To": "ann@example.com", "Subject": "Hi", "TextBody": "Hello"}
SMALL = json.dumps(MAIL)
LARGE = json.dumps({**MAIL, "TextBody": "x" * 700_000})
HUGE = json.dumps({**MAIL, "TextBody": "x" * 12_000_000})


class Call(NamedTuple):
    """A call, and what may come of it."""

    method: str
    path: str
    body: str
    headers: dict[str, str]
    statuses: tuple[int, ...] = (200,)


GOOD = Call("POST", "/email", SMALL, KEY)
BAD = [
    Call("POST", "/email", SMALL, {**JSON, "X-Postmark-Server-Token": "x" * 40}, (401,)),
    Call("POST", "/email/batch", LARGE, JSON, (401,)),
    Call("POST", "/rest/email/shut", SMALL, {**JSON, "Origin": "https://evil.example"}, (403,)),
    Call("POST", "/rest/email/shut", LARGE, {**JSON, "Origin": "https://evil.example"}, (403,)),
    Call("POST", "/rest/email/nowhere", LARGE, JSON, (404,)),
    Call("POST", "/nothing", SMALL, JSON, (404,)),
    Call("PUT", "/email", LARGE, KEY, (405,)),
    Call("PUT", "/rest/email/shut", SMALL, JSON, (405,)),
    Call("POST", "/rest/email/shut", LARGE, JSON, (413,)),
    Call("POST", "/email", HUGE, KEY, (413,)),
    Call("POST", "/email", LARGE, {**KEY, "Content-Type": "text/xml"}, (415,)),
    Call("POST", "/rest/email/shut", LARGE, {**JSON, "Content-Encoding": "gzip"}, (415,)),
    Call("POST", "/rest/email_token/create", LARGE, {**JSON, "Content-Encoding": "br"}, (415,)),
    # 401 until the address is over its limit.
    Call("POST", "/email/batch", LARGE, {**JSON, **REMOTE}, (401, 429)),
    Call("POST", "/email", SMALL, {**JSON, **REMOTE}, (401, 429)),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("relay"), FEW, ENVIRONMENT) as daemon:
        yield daemon


@pytest.fixture(params=["straight", "nginx", "nginx that does not wait for bodies"])
def url(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """Where clients call: the daemon itself, or an nginx before it."""
    if request.param == "straight":
        yield daemon.url
        return
    buffers = request.param == "nginx"
    with Nginx(tmp_path / "nginx", daemon.url.removeprefix("http://"), buffers=buffers) as nginx:
        yield nginx.url


def stored(daemon: Daemon) -> int:
    """How many messages the relay has."""
    path = "/messages/outbound?count=1&offset=0"
    return requests.get(daemon.url + path, headers=KEY, timeout=30).json()["TotalCount"]


Send = Callable[[str, Call], int]


@pytest.fixture(params=["requests", "httpx"])
def send(request: pytest.FixtureRequest) -> Iterator[Send]:
    """Send a call with one client that keeps its connections; return the status."""
    if request.param == "requests":
        with requests.Session() as session:
            yield (
                lambda url, call: (
                    session.request(
                        call.method,
                        url + call.path,
                        data=call.body,
                        headers=call.headers,
                        timeout=30,
                    ).status_code
                )
            )
    else:
        with httpx.Client(timeout=30) as client:
            yield (
                lambda url, call: (
                    client.request(
                        call.method, url + call.path, content=call.body, headers=call.headers
                    ).status_code
                )
            )


def test_every_good_call_after_a_bad_one_is_taken(daemon: Daemon, url: str, send: Send) -> None:
    before = stored(daemon)
    seen: Counter[int] = Counter()

    def pair(bad: Call) -> int:
        seen[status := send(url, bad)] += 1
        assert status in bad.statuses, bad.path
        return send(url, GOOD)

    bad = list(islice(cycle(BAD), CALLS))
    assert [pair(one) for one in bad] == [200] * CALLS
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(pair, bad)) == [200] * CALLS
    assert seen.keys() == {401, 403, 404, 405, 413, 415, 429}
    assert stored(daemon) == before + 2 * CALLS


@pytest.mark.parametrize("through", ["straight", "nginx"])
def test_every_call_after_a_time_without_room_is_taken(
    tmp_path: Path, send: Send, through: str
) -> None:
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(tmp_path, FULL, ENVIRONMENT))
        url = daemon.url
        if through == "nginx":
            host = url.removeprefix("http://")
            url = stack.enter_context(Nginx(tmp_path / "nginx", host)).url
        assert send(url, GOOD) == 200
        for size in range(CALLS):
            body = json.dumps({**MAIL, "TextBody": "x" * size * 7_000})
            assert send(url, Call("POST", "/email", body, KEY)) == 503
            assert send(url, Call("POST", "/rest/email_token/create", "", {})) == 200
        assert stored(daemon) == 1


@pytest.mark.parametrize("version", ["4.0.7", "5.1.0"])
def test_every_good_call_of_the_node_client_is_taken(
    daemon: Daemon, url: str, tmp_path_factory: pytest.TempPathFactory, version: str
) -> None:
    modules = installed(tmp_path_factory.getbasetemp() / f"node{version}", f"postmark@{version}")
    script = Path(__file__).parent / "refusals.mjs"
    before = stored(daemon)
    calls = json.dumps([[one.method, one.path, one.headers] for one in BAD if one.body != HUGE])
    command = ["node", str(script), str(modules), url.removeprefix("http://"), SHOP_TOKEN, calls]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    done = json.loads(ended.stdout)
    assert done["failed"] == []
    assert done["refused"].keys() == {"401", "403", "404", "405", "413", "415", "429"}
    assert done["taken"] == 2 * CALLS
    assert stored(daemon) == before + 2 * CALLS
