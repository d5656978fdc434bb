"""The HTTP server that strangers reach: so many connections at a time, and no more."""

import errno
import ipaddress
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import structlog
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from relay.site import Site
from relay.web.client_address import is_within
from relay.web.connections import PatientApplication

# What the daemon opens besides: the database, calls to providers, files, the log.
OWN_DESCRIPTORS = 200
FEWEST_CONNECTIONS = 16

# How long nothing is accepted when the machine has no descriptor left; how often that is said.
PAUSE_SECONDS = 1
SAID_SECONDS = 10

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = structlog.get_logger()


class StrangersServer(HTTPServer):
    """Serves as many connections as `[relay.limits]` allows, in all and from one address.

    What comes besides is closed at once. A proxy on this machine, or one that is trusted, may have
    all of them: it counts its clients itself. most: how many the process can have.
    """

    def initialize(  # type: ignore[override]
        self, application: PatientApplication, *, site: Site, most: int, **options: Any
    ) -> None:
        # Tornado would answer a larger body itself, without a word and in the middle of ours.
        super().initialize(application, max_body_size=sys.maxsize, **options)
        # The application waits for it, with one timer for all connections.
        self.conn_params.header_timeout = None
        self._application = application
        self._site = site
        self._most = most
        self._peers: Counter[str] = Counter()
        self._lines = _Lines()

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        super().add_sockets(_ListeningSocket(one, self._lines) for one in sockets)

    def _handle_connection(self, connection: socket.socket, address: Any) -> None:
        self.handle_stream(_Stream(connection), address)

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self._is_full(address[0]):
            stream.close()
            self._lines.say("connections.refused", open=self._peers.total(), client=address[0])
            return
        self._peers[_network(address[0])] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        super().on_close(server_conn)
        self._application.heads.discard(server_conn)
        peer = _network(server_conn.context.remote_ip)
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    def _is_full(self, address: str) -> bool:
        settings = self._site.configuration.settings
        limits = settings.limits
        if self._peers.total() >= min(limits.connections or self._most, self._most):
            return True
        most = limits.connections_per_address
        if not most or self._peers[_network(address)] < most:
            return False
        return not is_within(address, (*settings.trusted_proxies, *LOOPBACK))


class _Stream(IOStream):
    """A connection that holds nothing back, as the socket that listens says for all of them."""

    def set_nodelay(self, value: bool) -> None:
        """Change nothing: Tornado asks for it with each response, and back again."""


class _ListeningSocket(socket.socket):
    """Accepts nothing for a while when no descriptor is left, instead of trying without a pause."""

    def __init__(self, listening: socket.socket, lines: "_Lines") -> None:
        super().__init__(fileno=listening.detach())
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = lines

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._lines.say("connections.exhausted", problem=error.strerror)
        loop = IOLoop.current()
        loop.update_handler(self, 0)
        loop.call_later(PAUSE_SECONDS, self._accept_again)
        raise BlockingIOError  # as if nobody were there

    def _accept_again(self) -> None:
        if self.fileno() != -1:
            IOLoop.current().update_handler(self, IOLoop.READ)


class _Lines:
    """Says each thing once in a while, and how often it was so."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def say(self, event: str, **known: Any) -> None:
        self._unsaid[event] += 1
        now = time.monotonic()
        if now - self._said_at.get(event, -SAID_SECONDS) >= SAID_SECONDS:
            self._said_at[event] = now
            log.warning(event, times=self._unsaid.pop(event), **known)


def allow_descriptors(connections: int) -> int:
    """Let this process open as many files as it needs; return for how many connections they do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OWN_DESCRIPTORS
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(FEWEST_CONNECTIONS, min(connections, soft - OWN_DESCRIPTORS))


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 a customer's whole network of 64 bits."""
    if ":" not in address:
        return address
    whole = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(whole, "ipv4_mapped", None)
    if mapped is not None or whole.is_loopback:
        return str(mapped or whole)
    return str(ipaddress.ip_network((whole, 64), strict=False).network_address)
