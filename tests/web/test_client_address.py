"""Who calls: believed through trusted proxies only, and counted by address."""

import asyncio
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from relay.core.errors import TooManyRequests
from relay.core.rate_limit import Caller, RateLimiter, RunningRequests
from relay.web.client_address import caller

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("fd00::/8")]


def request(peer: str | None, *headers: tuple[str, str]) -> HTTPServerRequest:
    context = SimpleNamespace(remote_ip=peer, protocol="http")
    sent = HTTPHeaders({"Host": "Relay.Example.gov"})
    for name, value in headers:
        sent.add(name, value)
    connection: Any = SimpleNamespace(context=context)
    line = RequestStartLine("POST", "/", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=sent, connection=connection)


def forwarded(peer: str, *values: str) -> Caller:
    return caller(request(peer, *(("X-Forwarded-For", value) for value in values)), TRUSTED)


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("203.0.113.7", ["127.0.0.1"], "203.0.113.7"),
        ("203.0.113.7", ["10.0.0.1, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7, 10.0.0.2,10.0.0.3"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        ("10.0.0.1", [", 203.0.113.7 ,, ,"], "203.0.113.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711, 10.0.0.2:80"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["203.0.113.7:"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7:x"], "10.0.0.1"),
        ("10.0.0.1", ["[203.0.113.7"], "10.0.0.1"),
        ("10.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["::ffff:203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        ("::ffff:203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
    ],
)
def test_the_client_is_the_first_that_no_trusted_proxy_wrote(
    peer: str, headers: list[str], address: str
) -> None:
    assert forwarded(peer, *headers).address == address


@pytest.mark.parametrize(
    ("peer", "headers", "local"),
    [
        ("127.0.0.1", [], True),
        ("127.0.0.1", ["203.0.113.7"], False),
        ("127.0.0.1", ["127.0.0.1"], False),
        ("127.0.0.1", ["unknown"], False),
        ("127.0.0.2", [], True),
        ("127.0.0.2", ["203.0.113.7"], False),
        ("127.0.0.2", ["127.0.0.1"], False),
        ("::1", [], True),
        ("::1", ["::1"], False),
        ("::ffff:127.0.0.1", [], True),
        ("10.0.0.1", [], False),
        ("10.0.0.1", ["127.0.0.1"], False),
        ("203.0.113.7", [], False),
        ("203.0.113.7", ["127.0.0.1"], False),
        ("203.0.113.7", ["::1"], False),
    ],
)
def test_only_a_loopback_peer_that_forwards_for_nobody_is_local(
    peer: str, headers: list[str], local: bool
) -> None:
    assert forwarded(peer, *headers).local is local


@pytest.mark.parametrize("peer", [None, "", "0.0.0.0"])
def test_a_unix_socket_is_local_unless_it_forwards(peer: str | None) -> None:
    assert caller(request(peer), TRUSTED) == Caller("", local=True)
    forwards = request(peer, ("X-Forwarded-For", "203.0.113.7"))
    assert caller(forwards, TRUSTED) == Caller("", local=False)


@pytest.mark.parametrize(
    ("peer", "headers", "origin"),
    [
        ("10.0.0.1", [("X-Forwarded-Proto", "https")], "https://relay.example.gov"),
        ("10.0.0.1", [("X-Forwarded-Proto", "HTTPS")], "https://relay.example.gov"),
        ("10.0.0.1", [], "http://relay.example.gov"),
        ("203.0.113.7", [("X-Forwarded-Proto", "https")], None),
    ],
)
def test_the_scheme_is_believed_from_trusted_proxies_only(
    peer: str, headers: list[tuple[str, str]], origin: str | None
) -> None:
    sent = request(peer, ("X-Forwarded-For", "198.51.100.1"), *headers)
    assert caller(sent, TRUSTED).origin == origin


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(limiter: RateLimiter, address: str, calls: int = 1000) -> int:
    """Call until the limiter refuses; give how often it did not."""
    for number in range(calls):
        try:
            limiter.take(Caller(address, local=False))
        except TooManyRequests:
            return number
    return calls


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600])
def test_a_full_bucket_takes_a_minutes_calls_at_once_and_then_refills(per_minute: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, clock)
    assert taken(limiter, "203.0.113.7") == per_minute
    assert taken(limiter, "203.0.113.7") == 0
    clock.now += 60 / per_minute
    assert taken(limiter, "203.0.113.7") == 1
    clock.now += 30
    assert taken(limiter, "203.0.113.7") in (per_minute // 2, (per_minute + 1) // 2)
    clock.now += 3600
    assert taken(limiter, "203.0.113.7") == per_minute


@pytest.mark.parametrize("per_minute", [*range(1, 70, 3), 90, 600, 1000])
def test_who_waits_as_long_as_told_is_not_refused_again(per_minute: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, clock)
    client = Caller("203.0.113.7", local=False)
    for _ in range(5):
        taken(limiter, client.address, 2000)
        with pytest.raises(TooManyRequests) as raised:
            limiter.take(client)
        assert 1 <= raised.value.retry_after <= 61
        clock.now += raised.value.retry_after
        limiter.take(client)
        clock.now += 0.37


def test_being_refused_costs_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    taken(limiter, "203.0.113.7")
    for _ in range(1000):
        assert taken(limiter, "203.0.113.7") == 0
    clock.now += 1
    assert taken(limiter, "203.0.113.7") == 1


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("2001:db8::1", "203.0.113.7", False),
    ],
)
def test_an_ipv6_network_of_64_bits_is_one_caller(one: str, other: str, shared: bool) -> None:
    limiter = RateLimiter(5, Clock())
    assert taken(limiter, one) == 5
    assert taken(limiter, other) == (0 if shared else 5)


def test_a_local_caller_and_a_limit_of_zero_are_never_refused() -> None:
    limiter = RateLimiter(1, Clock())
    for _ in range(100):
        limiter.take(Caller("127.0.0.1", local=True))
    assert taken(limiter, "127.0.0.1") == 1
    assert taken(RateLimiter(0, Clock()), "203.0.113.7") == 1000


def test_the_limiter_forgets_the_callers_it_heard_of_least_recently() -> None:
    limiter = RateLimiter(1, Clock(), capacity=3)
    addresses = [f"203.0.113.{number}" for number in range(4)]
    assert [taken(limiter, address, 1) for address in addresses] == [1, 1, 1, 1]
    assert len(limiter._full_at) == 3
    assert taken(limiter, addresses[3], 1) == 0
    assert taken(limiter, addresses[0], 1) == 1  # forgotten, so it begins anew


@pytest.mark.gen_test
async def test_stopping_waits_for_the_last_request() -> None:
    running, seen = RunningRequests(), []
    await running.none_running()
    running.begin()
    running.begin()

    async def wait() -> None:
        await running.none_running()
        seen.append("none running")

    waiting = asyncio.create_task(wait())
    running.end()
    await asyncio.wait([waiting], timeout=0)
    seen.append("one left")
    running.end()
    await waiting
    assert seen == ["one left", "none running"]
