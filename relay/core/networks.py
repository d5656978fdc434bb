"""Which addresses of the network may be called: those of everybody, and private ones by name."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

# IPv6 addresses that stand for IPv4 ones (RFC 4291, 6052 and 8215): the last 32 bits are that.
_TRANSLATED = (ip_network("::/96"), ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


def objection(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> str:
    """Say why an IP address is not called; "" where it is public, or in one of the networks."""
    each = _meanings(ip_address(address.partition("%")[0]))
    if any(each[0] in network for network in networks):
        return ""
    private = [one for one in each if not one.is_global or one.is_multicast]
    return f"{private[0]} is a private address" if private else ""


def _meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return an address, and the IPv4 ones that it stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    meant = [address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _TRANSLATED):
        meant.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [address, *(one for one in meant if one is not None)]
