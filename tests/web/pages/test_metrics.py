"""What Prometheus reads, over HTTP, as its own parser understands it."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

from relay import __version__
from relay.core import clock
from relay.core.errors import REASONS, Unavailable
from relay.core.metrics import BROKEN, CHANGES, LAG_SECONDS, OTHER, Metric
from relay.core.secret import Secret
from relay.core.states import State
from relay.operators import measurements
from relay.site import Site
from relay.store import canaries
from relay.store.canaries import Canary, NewCanary
from relay.store.engine.disk_space import Space
from relay.store.engine.migrate import newest_schema
from relay.store.suppressions import Word
from relay.web.console import make_console
from relay.web.pages import make_pages
from tests.conftest import FORM, POSTMARK_SETTINGS, SETTINGS, Post
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import APPLICATION_KEY, OTHER_KEY
from tests.support.stored import by

pytestmark = pytest.mark.slow

# Addresses, keys, ids, what ends a line or a label in the text format, and what is no text.
HOSTILE = [
    "jo@example.com",
    APPLICATION_KEY,
    "018f4e3a-0000-7000-8000-000000000001",
    'x"} 1\nrelay_ready{reason="',
    "a\\nb",
    "\u202eevil",
    "contactform\x00",
    "x" * 300,
    "__name__",
]

TOKEN = "a-token-with-which-prometheus-reads-the-metrics"


BROKEN_SERVER = """
[servers.broken]
plugins = ["bearer_token", "broken", "mailbox"]
sender = "Relay <relay@example.gov>"
recipients = ["@example.gov"]
"""
BROKEN_PLUGIN = """
from relay import EmailForm, hookimpl

@hookimpl
def schema():
    return EmailForm()

@hookimpl
def compose(form, server):
    raise RuntimeError(form["message"])
"""


class Scrape(NamedTuple):
    """What `/metrics` answered: every sample's value by name and labels."""

    status: int
    headers: dict[str, str]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def of(self, metric: Metric) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """A metric's samples; of a histogram three kinds."""
        whole = metric.value.name
        names = {whole, *(f"{whole}_{kind}" for kind in ("bucket", "sum", "count"))}
        return {key: value for key, value in self.samples.items() if key[0] in names}

    def since(self, before: "Scrape", counter: Metric) -> dict[tuple[str, ...], float]:
        """What a counter rose by, by the values of its labels as they are declared."""
        risen = {}
        for (name, labels), value in self.of(counter).items():
            rise = value - before.value(name, **dict(labels))
            if rise:
                risen[tuple(dict(labels)[label] for label in counter.value.labels)] = rise
        return risen


Fetch = Callable[..., Awaitable[Scrape]]


@pytest.fixture
def settings_toml(postmark: FakePostmark, tmp_path: Path) -> str:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "broken.py").write_text(BROKEN_PLUGIN)
    mine, all_of_them = '["contactform", "default"]', '["*"]'
    keys_and_servers = SETTINGS.replace(mine, all_of_them, 1) + BROKEN_SERVER
    return keys_and_servers + POSTMARK_SETTINGS.replace("{postmark_url}", postmark.url)


@pytest.fixture
def ports(site: Site, http_server: HTTPServer, io_loop: IOLoop) -> Iterator[dict[str, int]]:
    """The pages and the console beside the API, each on its own port."""
    ports, servers = {}, []
    for name, make in (("pages", make_pages), ("console", make_console)):
        server = HTTPServer(make(site))
        socket, ports[name] = bind_unused_port()
        server.add_socket(socket)
        setattr(site, name, ("127.0.0.1", ports[name]))
        servers.append(server)
    yield ports
    for server in servers:
        server.stop()
        io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def scrape(http_client: AsyncHTTPClient, ports: dict[str, int]) -> Fetch:
    async def scrape_it(listener: str = "pages", **headers: str) -> Scrape:
        url = f"http://127.0.0.1:{ports[listener]}/metrics"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await http_client.fetch(url, headers=sent, raise_error=False)
        body = response.body.decode() if response.code == 200 else ""
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }
        return Scrape(response.code, dict(response.headers), samples)

    return scrape_it


@pytest.mark.gen_test
async def test_a_post_is_seen_from_its_acceptance_to_its_attempt(
    post: Post, scrape: Fetch, site: Site
) -> None:
    assert (await post("/rest/email/contactform", FORM)).status == 200
    seen = await scrape()
    assert (seen.status, seen.headers["Content-Type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    accepted = {"server": "contactform", "result": "accepted"}
    assert seen.value("relay_submissions_total", **accepted) == 1
    for change in ("accepted", "sent"):
        assert seen.value("relay_messages_total", server="contactform", change=change) == 1
    assert seen.value("relay_attempts_total", plugin="mailbox", outcome="sent") == 1
    assert seen.value("relay_attempt_seconds_count", plugin="mailbox") == 1
    assert seen.value("relay_accept_seconds_count") == 1
    assert seen.value("relay_commit_units_count") >= 2
    assert seen.value("relay_commit_seconds_sum") > 0
    assert seen.value("relay_ready") == 1


@pytest.mark.parametrize("listener", ["pages", "console"])
@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1", {"Host": "localhost:{port}"}, 200),
        ("127.0.0.1", {"Host": "relay.example.gov"}, 401),  # a name that was made to lead here
        ("127.0.0.1", {"X_Forwarded_For": "192.0.2.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, 401),
        ("127.0.0.1", {"X_Real_IP": "192.0.2.1"}, 401),
        ("0.0.0.0", {}, 401),
        ("0.0.0.0", {"Authorization": "Bearer " + TOKEN}, 200),
        ("0.0.0.0", {"Authorization": "bearer " + TOKEN}, 200),
        ("0.0.0.0", {"Authorization": "Bearer " + TOKEN, "Host": "relay.example.gov"}, 200),
        ("127.0.0.1", {"Authorization": "Bearer " + TOKEN, "X_Forwarded_For": "192.0.2.1"}, 200),
        ("0.0.0.0", {"Authorization": "Bearer " + TOKEN[:-1]}, 401),
        ("0.0.0.0", {"Authorization": "Bearer "}, 401),
        ("0.0.0.0", {"Authorization": "Bearer"}, 401),
        ("0.0.0.0", {"Authorization": "token " + TOKEN}, 401),
        ("0.0.0.0", {"Authorization": "Basic " + TOKEN}, 401),
        ("0.0.0.0", {"Authorization": TOKEN}, 401),
        ("0.0.0.0", {"Authorization": "Bearer " + APPLICATION_KEY}, 401),
    ],
)
@pytest.mark.gen_test
async def test_who_is_not_at_this_machine_brings_the_token(
    scrape: Fetch, site: Site, listener: str, host: str, headers: dict[str, str], status: int
) -> None:
    settings = replace(site.settings, metrics_token=Secret(TOKEN))
    site.configuration = replace(site.configuration, settings=settings)
    port = getattr(site, listener)[1]
    setattr(site, listener, (host, port))
    sent = {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    seen = await scrape(listener, **sent)
    assert seen.status == status
    assert (seen.headers.get("Www-Authenticate") == "Bearer") == (status == 401)


@pytest.mark.gen_test
async def test_without_a_token_in_the_settings_nobody_elsewhere_reads(
    scrape: Fetch, site: Site, events: list[dict[str, object]]
) -> None:
    for brought in ("", "Bearer ", "Bearer None", "Bearer x"):
        headers = {"Authorization": brought} if brought else {}
        assert (await scrape(X_Forwarded_For="192.0.2.1", **headers)).status == 401
    refused = [one for one in events if one["event"] == "page.refused"]
    assert {one["reason"] for one in refused} == {"no_header", "unknown_key"}
    assert TOKEN not in str(refused)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every scrape read the store."""
    monkeypatch.setattr(measurements, "READ_SECONDS", 0)
    monkeypatch.setattr(measurements, "SPARED", 0)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
@pytest.mark.gen_test
async def test_every_metric_is_seen_changing(
    post: Post, scrape: Fetch, site: Site, postmark: FakePostmark, tmp_path: Path, engine: str
) -> None:
    before = await scrape()
    await post("/rest/email/contactform", FORM)
    await post("/rest/email/contactform", FORM, key=None)
    postmark.answers = [(500, {})] * 10
    for _ in range(5):
        await post("/rest/email/registry", FORM)
        await site.dispatcher.deliver_waiting(clock.now() + 3600)
    word = Word("registry", "a@example.com", "manual", clock.now())
    await site.suppressions.note([word])
    canary = Canary("contactform", "", clock.now(), is_awaited=False, arrived_at=clock.now())
    await site.store.write(canaries.begin, NewCanary(canary, None))
    whole = os.statvfs(tmp_path)
    site.space = site.measurements.space = Space(
        tmp_path, look=lambda folder: os.statvfs_result([*whole[:4], 0, *whole[5:10]])
    )
    await site.metrics.measure_loop()
    after = await scrape()
    for metric in Metric:
        assert after.of(metric), metric
        assert (after.of(metric) == before.of(metric)) == (metric is Metric.BUILD), metric
    assert after.value("relay_breaker_open", group="registry", plugin="postmark") == 1
    assert after.value("relay_breaker_open", group="default", plugin="mailbox") == 0
    assert after.value("relay_waiting", server="registry", state="in_doubt") == 5
    assert 0 <= after.value("relay_oldest_waiting_seconds", server="registry") < 60
    assert after.value("relay_suppressions", group="registry", reason="manual") == 1
    assert after.value("relay_ready") == 0
    assert after.value("relay_unready", reason="disk_full") == 1
    assert after.value("relay_disk_room") == after.value("relay_disk_free_bytes") == 0
    build = {"version": __version__, "engine": engine, "schema": newest_schema()}
    assert after.value("relay_build_info", **build) == 1


@pytest.mark.gen_test
async def test_a_loop_that_is_held_up_is_late(site: Site) -> None:
    asyncio.get_running_loop().call_later(LAG_SECONDS / 2, time.sleep, LAG_SECONDS)
    await site.metrics.measure_loop()
    late = site.metrics.registry.get_sample_value("relay_loop_lag_seconds_sum")
    assert late is not None
    assert late >= LAG_SECONDS / 2 - 0.05


# What is posted, with what it is answered and as what it is counted: a submission of a server by
# its result, and a refusal by its reason.
POSTS: list[tuple[str, str, dict[str, Any], int, tuple[str, str] | None, str]] = [
    ("accepted", "contactform", {}, 200, ("contactform", "accepted"), ""),
    ("in capitals", "CONTACTFORM", {}, 200, ("contactform", "accepted"), ""),
    ("a robot", "contactform", {"form": {"contact": "x"}}, 200, ("contactform", "screened"), ""),
    (
        "a field",
        "contactform",
        {"form": {"to_address": "x"}},
        400,
        ("contactform", "refused"),
        "invalid",
    ),
    (
        "elsewhere",
        "contactform",
        {"form": {"to_address": "a@b.org"}},
        400,
        ("contactform", "refused"),
        "recipient",
    ),
    ("no key", "default", {"key": None}, 401, ("default", "refused"), "no_header"),
    ("a wrong key", "default", {"key": "x" * 40}, 401, ("default", "refused"), "unknown_key"),
    (
        "no body",
        "default",
        {"body": b"{", "media": "application/json"},
        400,
        ("default", "refused"),
        "malformed",
    ),
    (
        "a page",
        "contactform",
        {"headers": {"Origin": "https://a@b.example"}},
        403,
        ("contactform", "refused"),
        "origin",
    ),
    ("a method", "contactform", {"method": "PUT"}, 405, ("contactform", "refused"), "method"),
    ("an unknown server", "jo@example.com", {}, 404, ("", "refused"), "unknown_server"),
    ("a server of another alphabet", "%D0%BF", {}, 404, ("", "refused"), "unknown_server"),
    ("a broken plugin", "broken", {}, 500, ("broken", "broken"), "broken"),
]


@pytest.mark.gen_test
async def test_a_post_is_counted_by_its_server_and_result_and_a_refusal_by_its_reason(
    post: Post, scrape: Fetch
) -> None:
    for name, server, options, status, counted, reason in POSTS:
        before = await scrape()
        options = dict(options)
        form = {**FORM, **options.pop("form", {})} if "body" not in options else None
        assert (await post(f"/rest/email/{server}", form, **options)).status == status, name
        after = await scrape()
        found = after.since(before, Metric.SUBMISSIONS)
        assert found == ({} if counted is None else {counted: 1}), name
        assert after.since(before, Metric.REFUSALS) == ({(reason,): 1} if reason else {}), name


@pytest.mark.gen_test
async def test_messages_of_the_api_are_counted_one_by_one(post: Post, scrape: Fetch) -> None:
    good = {"From": "relay@example.gov", "To": "desk@example.gov", "TextBody": "Hello."}
    token = {"X-Postmark-Server-Token": OTHER_KEY}
    before = await scrape()
    reply = await post("/email/batch", content=[good, good, {}], key=None, headers=token)
    assert reply.status == 200
    once = {**token, "Idempotency-Key": "the-same"}
    for _ in range(2):
        assert (await post("/email", content=good, key=None, headers=once)).status == 200
    assert (await post("/email", content={}, key=None, headers=token)).status == 422
    test = {"X-Postmark-Server-Token": "POSTMARK_API_TEST"}
    assert (await post("/email", content=good, key=None, headers=test)).status == 200
    assert (await post("/email", content=good, key=None)).status == 401
    after = await scrape()
    assert after.since(before, Metric.SUBMISSIONS) == {
        ("default", "accepted"): 3,
        ("default", "refused"): 2,
        ("", "refused"): 1,
        ("default", "repeated"): 1,
    }


@pytest.mark.gen_test
async def test_what_people_order_is_counted_where_it_changes_a_state(
    post: Post, scrape: Fetch, site: Site
) -> None:
    later = {**FORM, "senddatetime": str(int(clock.now()) + 86400)}
    ids = [
        (await post("/rest/email/default", later)).headers["X-Relay-Message-Id"] for _ in range(2)
    ]
    before = await scrape()
    assert (await post("/rest/email_cancel/default", {"id": ids[0]})).status == 200
    verdicts = await site.orders.messages("cancel", [*ids, "nothing"], by("jo"))
    assert [verdict.done for verdict in verdicts] == [False, True, False]
    after = await scrape()
    assert after.since(before, Metric.MESSAGES) == {("default", "cancelled"): 2}


@pytest.mark.usefixtures("unread")
@pytest.mark.gen_test
async def test_no_label_has_anything_that_came_from_outside(
    post: Post, scrape: Fetch, site: Site
) -> None:
    ids = []
    for text in HOSTILE:
        visible = "".join(one for one in text if "!" <= one <= "~")
        form = {**FORM, "subject": text, "message": text, "name": text}
        reply = await post("/rest/email/contactform", form)
        ids.append(reply.headers.get("X-Relay-Message-Id", ""))
        for path in (f"/rest/email/{quote(text, safe='')}", f"/{quote(text, safe='')}"):
            await post(path, {**FORM, text: text}, key=visible)
        await post(
            "/email",
            content={"From": text, "To": text},
            key=None,
            headers={"X-Postmark-Server-Token": OTHER_KEY},
        )
        await post("/rest/email_cancel/contactform", {"id": text})
        await post("/rest/email_session/contactform", {**FORM, "token_session": text}, key=None)
        await post("/rest/email/broken", form)
    seen = await scrape()
    closed = {
        "server": {"", *site.chains},
        "group": set(site.chains),
        "plugin": {plugin for chain in site.chains.values() for plugin in chain.deliver_plugins},
        "reason": {*REASONS, BROKEN, OTHER},
        "result": {"accepted", "repeated", "screened", "refused", BROKEN},
        "change": set(CHANGES),
        "outcome": {*State, "deferred", "partly"},
        "state": set(State),
        "engine": {"sqlite"},
        "version": {__version__},
        "schema": {newest_schema()},
    }
    assert any(ids)
    for name, labels in seen.samples:
        for label, value in labels:
            if label == "le":
                assert float(value) >= 0
            else:
                assert value in closed[label], (name, label, value)
    assert len(seen.samples) < 500


def test_every_metric_is_declared_once() -> None:
    names = [metric.value.name for metric in Metric]
    assert len(set(names)) == len(names)


@pytest.mark.gen_test
async def test_a_store_that_takes_long_to_read_is_read_less_often(
    scrape: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def slow(*arguments: Any) -> measurements.Reading:
        reads.append(arguments)
        time.sleep(0.1)
        return measurements.Reading({}, {}, {}, "", {})

    monkeypatch.setattr(measurements, "read", slow)
    monkeypatch.setattr(measurements, "READ_SECONDS", 0)
    await asyncio.gather(*(scrape() for _ in range(3)))
    assert len(reads) == 1


@pytest.mark.gen_test
async def test_a_store_that_cannot_be_read_takes_nothing_but_its_own_numbers(
    scrape: Fetch, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await scrape()).of(Metric.BUILD)
    monkeypatch.setattr(measurements, "READ_SECONDS", 0)

    async def unreadable(*arguments: object) -> None:
        raise Unavailable(5, reason="store")

    monkeypatch.setattr(site.store, "read", unreadable)
    seen = await scrape()
    assert seen.status == 200
    assert not seen.of(Metric.SUPPRESSIONS)
    assert seen.of(Metric.READY)
