"""What Prometheus reads, over HTTP, as its own parser understands it."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

from relay.core.metrics import Metric
from relay.core.secret import Secret
from relay.site import Site
from relay.web.console import make_console
from relay.web.pages import make_pages
from tests.conftest import FORM, POSTMARK_SETTINGS, SETTINGS, Post
from tests.support.fake_postmark import FakePostmark
from tests.support.keys import APPLICATION_KEY

TOKEN = "a-token-with-which-prometheus-reads-the-metrics"


class Scrape(NamedTuple):
    """What `/metrics` answered: every sample's value by name and labels."""

    status: int
    headers: dict[str, str]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples.get((name, frozenset(labels.items())), 0.0)


Fetch = Callable[..., Awaitable[Scrape]]


@pytest.fixture
def settings_toml(postmark: FakePostmark) -> str:
    return SETTINGS + POSTMARK_SETTINGS.replace("{postmark_url}", postmark.url)


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


def test_every_metric_is_declared_once() -> None:
    names = [metric.value.name for metric in Metric]
    assert len(set(names)) == len(names)
