"""Who is at the other end: the address behind trusted proxies, and how often it may call."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tornado.httputil import HTTPServerRequest

from relay.core.rate_limit import Caller

_WITH_PORT = re.compile(r"\A(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\])(?::[0-9]{1,5})?\Z", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def caller(request: HTTPServerRequest, trusted: Sequence[Network]) -> Caller:
    """Return who calls. X-Forwarded-For and -Proto count only where a trusted proxy sent them.

    A peer on the loopback interface is local unless it forwards for somebody else.
    """
    remote = request.remote_ip or ""
    lines = request.headers.get_list("X-Forwarded-For")
    if not lines:
        return _direct(remote)
    forwarded = [part.strip() for part in ",".join(lines).split(",") if part.strip()]
    if not forwarded:
        return _direct(remote)
    peer = _address(remote)
    if peer is None or peer.is_unspecified:
        return Caller("", local=False)
    if not is_within(remote, trusted):
        return Caller(str(peer), local=False)
    # The nearest proxy wrote the last entry; the first that no trusted proxy wrote is the client.
    client = peer
    for part in reversed(forwarded):
        address = _address(part)
        if address is None:
            break
        client = address
        if not is_within(part, trusted):
            break
    scheme = request.headers.get("X-Forwarded-Proto", request.protocol)
    return Caller(str(client), local=False, origin=f"{scheme}://{request.host}".lower())


@lru_cache(maxsize=4096)
def _direct(text: str) -> Caller:
    """Return the caller at an address that forwards for nobody else."""
    peer = _address(text)
    if peer is None or peer.is_unspecified:  # a unix socket: Tornado says 0.0.0.0
        return Caller("", local=True)
    return Caller(str(peer), local=peer.is_loopback)


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


def is_within(text: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks; what is no address is in none."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)
