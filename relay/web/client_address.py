"""Who is at the other end: the address behind trusted proxies, and how often it may call."""

import asyncio
import ipaddress
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tornado.httputil import HTTPServerRequest

from relay.core.errors import TooManyRequests

_WITH_PORT = re.compile(r"\A(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?\Z", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` is the client's; `origin` the relay's own as this client sees it, if known."""

    address: str
    local: bool
    origin: str | None = None


def caller(request: HTTPServerRequest, trusted: Sequence[Network]) -> Caller:
    """Tell who calls. X-Forwarded-For and -Proto count only where a trusted proxy sent them.

    A peer on the loopback interface is local unless it forwards for somebody else.
    """
    peer = _address(request.remote_ip or "")
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    forwarded = [part for part in forwarded if part]
    if peer is None or peer.is_unspecified:  # a unix socket: Tornado says 0.0.0.0
        return Caller("", local=not forwarded)
    if not _within(peer, trusted):
        return Caller(str(peer), local=peer.is_loopback and not forwarded)
    if not forwarded:
        return Caller(str(peer), local=peer.is_loopback)
    # The nearest proxy wrote the last entry; the first that no trusted proxy wrote is the client.
    client = peer
    for part in reversed(forwarded):
        address = _address(part)
        if address is None:
            break
        client = address
        if not _within(address, trusted):
            break
    scheme = request.headers.get("X-Forwarded-Proto", request.protocol)
    return Caller(str(client), local=False, origin=f"{scheme}://{request.host}".lower())


@lru_cache(maxsize=4096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address; some proxies write a port behind it: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    host = _WITH_PORT.sub(lambda found: found[1] or found[2], text)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, trusted: Sequence[Network]
) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


class Running:
    """Counts the requests that run, so that stopping can wait for the last one."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def begin(self) -> None:
        self._count += 1
        self._none.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_running(self) -> None:
        """Wait until no request runs."""
        await self._none.wait()


class Limiter:
    """A token bucket for each address: `per_minute` calls, as many at once; 0 is no limit."""

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, capacity: int = 50_000
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._capacity = capacity
        self._full_at: dict[str, float] = {}

    def take(self, caller: Caller) -> None:
        """Count one call; raise TooManyRequests with the seconds until the next one."""
        if not self._per_minute or caller.local:
            return
        now = self._clock()
        each = 60 / self._per_minute
        # A bucket is a single number: the time at which it will be full again.
        key = _bucket(caller.address)
        full_at = max(self._full_at.pop(key, now), now) + each
        if full_at - now > 60 + each / 2:
            self._full_at[key] = full_at - each
            raise TooManyRequests(max(1, round(full_at - now - 60)))
        self._full_at[key] = full_at
        while len(self._full_at) > self._capacity:
            del self._full_at[next(iter(self._full_at))]


def _bucket(address: str) -> str:
    """One bucket for an IPv6 customer's whole network of 64 bits."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
