"""Connections and bytes at a time: what strangers hold open leaves room for the others."""

import asyncio
import json
import os
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application

from relay.site import Site
from relay.web import connections
from relay.web import server as serving
from relay.web.connections import PatientApplication
from relay.web.server import StrangersServer, allow_descriptors
from tests.conftest import FORM, SETTINGS
from tests.support.keys import APPLICATION_KEY
from tests.web.test_connections import GOOD, JSON, Client, connected, head, port_of, request

TOML = (
    SETTINGS
    + """
[servers.files]
plugins = ["bearer_token", "session_token", "default", "mailbox"]
sender = "Files <files@example.gov>"
recipients = ["@example.gov"]
session_key = "optional"
attachments = true
"""
)
FILES = "POST /rest/email_session/files"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"


@pytest.fixture
def settings_toml() -> str:
    return TOML


@pytest.fixture
def allow(site: Site) -> Callable[..., None]:
    """Change the limits."""

    def change(**limits: int) -> None:
        settings = site.configuration.settings
        settings = replace(settings, limits=replace(settings.limits, **limits))
        site.configuration = replace(site.configuration, settings=settings)

    return change


@pytest.fixture
def server(app: Application, site: Site, io_loop: IOLoop) -> Iterator[StrangersServer]:
    """A server that counts its connections."""
    server = StrangersServer(app, site=site, most=50)
    server.add_socket(bind_unused_port()[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.fixture
def port(server: StrangersServer) -> int:
    """Where it listens."""
    return port_of(server)


async def opened(port: int, count: int) -> list[Client]:
    return [Client(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(count)]


async def is_served(client: Client) -> bool:
    try:
        return (await client.call(GOOD)).status == 200
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


@pytest.mark.gen_test
async def test_only_so_many_connections_are_served(
    port: int, allow: Callable[..., None], events: list[dict[str, Any]]
) -> None:
    allow(connections=5)
    clients = await opened(port, 12)
    assert [await is_served(one) for one in clients] == [True] * 5 + [False] * 7
    refused = [one for one in events if one["event"] == "connections.refused"]
    assert [one["times"] for one in refused] == [1]  # the others are counted in the next line
    clients[0].writer.close()
    await clients[1].call(GOOD)
    [late] = await opened(port, 1)
    assert await is_served(late)
    for client in (*clients, late):
        client.writer.close()


@pytest.mark.gen_test
async def test_no_setting_allows_more_than_the_process_can_have(
    port: int, allow: Callable[..., None]
) -> None:
    for limit in (0, 1000):
        allow(connections=limit)
        clients = await opened(port, 51)
        assert await is_served(clients[49])
        assert not await is_served(clients[50])
        for client in clients:
            client.writer.close()
        await asyncio.gather(*(client.reader.read() for client in clients[:50]))
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_who_sends_no_whole_head_in_time_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    clients = await opened(port, 4)
    silent, slow, idle, sending = clients
    await slow.send(GOOD[:20])
    assert await is_served(idle)
    await sending.send(GOOD[:-1])
    for client in (silent, slow, idle):
        assert await client.ended()
    assert (await sending.call(GOOD[-1:])).status == 200  # a body may take longer
    for client in clients:
        client.writer.close()


@pytest.mark.gen_test
async def test_nothing_is_kept_of_a_connection_that_ended(
    port: int, app: PatientApplication
) -> None:
    clients = await opened(port, 4)
    for client, sent in zip(clients, (b"", GOOD[:20], GOOD[:-1], GOOD), strict=True):
        await client.send(sent)
    await clients[3].answer()
    assert (len(app.heads), len(app.bodies)) == (3, 1)
    for client in clients:
        client.writer.close()
    async with connected(port) as last:  # served once it was seen that the others are gone
        assert await is_served(last)
        assert (len(app.heads), len(app.bodies)) == (1, 0)


@pytest.mark.gen_test
async def test_a_connection_holds_nothing_back(port: int, server: StrangersServer) -> None:
    async with connected(port) as client:
        for _ in range(2):
            assert await is_served(client)
            [connection] = server._connections
            option = connection.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert option == 1


@pytest.mark.gen_test
async def test_one_address_leaves_connections_to_the_others(
    port: int, site: Site, allow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(connections_per_address=3)
    clients = await opened(port, 10)
    assert all([await is_served(one) for one in clients])  # a proxy on this machine
    monkeypatch.setattr(serving, "LOOPBACK", ())
    more = await opened(port, 2)
    assert not await is_served(more[0])
    trusted = replace(site.configuration.settings, trusted_proxies=serving_network("127.0.0.0/8"))
    site.configuration = replace(site.configuration, settings=trusted)
    last = await opened(port, 1)
    assert await is_served(last[0])
    for client in (*clients, *more, *last):
        client.writer.close()


def serving_network(text: str) -> tuple[Any, ...]:
    return (serving.ipaddress.ip_network(text),)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::1", "::2", False),
    ],
)
def test_a_customers_network_of_ipv6_counts_as_one_address(
    one: str, other: str, same: bool
) -> None:
    assert (serving._network(one) == serving._network(other)) is same


@pytest.mark.gen_test
async def test_without_descriptors_nothing_is_accepted_for_a_while(
    port: int, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PAUSE_SECONDS", 0.05)
    [client] = await opened(port, 1)
    assert await is_served(client)
    waiting = [socket.socket() for _ in range(3)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        started = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - started < 0.3:
            assert (await client.call(request("POST /nowhere", b"", JSON))).status == 404
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [one["event"] for one in events].count("connections.exhausted") == 1
    [late] = await opened(port, 1)
    assert await is_served(late)
    for one in (client.writer, late.writer, *waiting):
        one.close()


def test_a_process_may_open_what_its_connections_need() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        assert allow_descriptors(20) == 20
        assert allow_descriptors(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + serving.OWN_DESCRIPTORS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.gen_test
async def test_unfinished_bodies_hold_no_more_than_they_may(
    http_server: HTTPServer, site: Site, allow: Callable[..., None]
) -> None:
    allow(bytes_at_once=2_000_000)
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    clients = await opened(port, 5)
    for client in clients[:4]:
        await client.send(head(FILES, MULTIPART, "Content-Length: 1200000") + b"x" * 700_000)
    answers = [asyncio.create_task(client.answer()) for client in clients[:4]]
    refused = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    for done in refused[0]:
        assert (done.result().status, done.result().headers["Retry-After"]) == (503, "10")
    assert 1_000_000 < site.bytes_at_once._count <= 2_000_000
    # A form is small.
    assert (await clients[4].call(GOOD)).status == 200
    for client in clients[:4]:
        client.writer.close()
    for task in answers:
        task.cancel()
    await asyncio.gather(*answers, return_exceptions=True)
    await asyncio.wait_for(site.requests.none_running(), 5)
    assert site.bytes_at_once._count == 0
    large = json.dumps({**FORM, "x": "x" * 300_000}).encode()
    reply = await clients[4].call(request(FILES, large, JSON))
    assert reply.status in (400, 403, 413)  # read
    clients[4].writer.close()


@pytest.mark.gen_test
async def test_one_body_alone_is_read_however_large_it_may_be(
    http_server: HTTPServer, site: Site, allow: Callable[..., None]
) -> None:
    allow(bytes_at_once=100_000)
    key = f"Authorization: token {APPLICATION_KEY}"
    large = request(
        "POST /rest/email/default",
        json.dumps({**FORM, "message": "x" * 200_000}).encode(),
        JSON,
        key,
    )
    port = next(iter(http_server._sockets.values())).getsockname()[1]
    async with connected(port) as client:
        for _ in range(3):
            assert (await client.call(large)).status == 200
    assert site.bytes_at_once._count == 0
