"""Sockets under one deadline: whatever the other end does, a call takes no longer than it may.

A time-out bounds a single read or write, so that a peer that drips one byte at a time can hold a
thread for ever. Here every operation gets only the time that is left of the whole.
"""

import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

# How long a name may take to be resolved; the resolver knows no time-out.
NAME_SECONDS = 5.0
# What is written in one go: a peer that reads slowly is noticed after each.
CHUNK_BYTES = 64 * 1024


class Deadline:
    """What a call may still take, and whether it wrote anything."""

    ends = 0.0
    wrote = False

    def start(self, seconds: float) -> None:
        """Begin a call of so many seconds."""
        self.ends, self.wrote = time.monotonic() + seconds, False

    def left(self) -> float:
        """Return the seconds that are left; raise TimeoutError if there are none."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _Reader(socket.SocketIO):
    """Reads from a socket within the time that is left."""

    def __init__(self, sock: Any, clock: Deadline) -> None:
        super().__init__(sock, "rb")
        self._timed = sock
        self._clock = clock

    def readinto(self, buffer: Any) -> int | None:
        self._timed.settimeout(self._clock.left())
        return super().readinto(buffer)


class TimedSocket:
    """A socket whose reads and writes share a clock; all else is the socket's own."""

    def __init__(self, sock: Any, clock: Deadline) -> None:
        self._sock = sock
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, value: float | None) -> None:
        """Ignore the time-out of a single operation: the clock sets it."""

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            self._sock.settimeout(self._clock.left())
            self._clock.wrote = True
            self._sock.sendall(view[start : start + CHUNK_BYTES])

    def makefile(self, mode: str = "rb", *args: Any, **kwargs: Any) -> io.BufferedReader:
        # As socket.makefile does: where the provider ends the connection, the socket is closed
        # before its answer was read, and lives on until the reader is closed too.
        self._sock._io_refs += 1
        return io.BufferedReader(_Reader(self._sock, self._clock))

    def secured(self, context: ssl.SSLContext, host: str) -> "TimedSocket":
        """Begin TLS on the connection, as a client of `host`; return the socket that speaks it."""
        self._sock.settimeout(self._clock.left())
        return TimedSocket(context.wrap_socket(self._sock, server_hostname=host), self._clock)


class AddressRefused(OSError):
    """A host's address that is not to be connected to; its words say why."""


def connected(host: str, port: int, clock: Deadline) -> TimedSocket:
    """Connect to the first of a host's addresses that answers; raise OSError."""
    return TimedSocket(open_socket(host, port, clock, lambda address: ""), clock)


def open_socket(
    host: str, port: int, clock: Deadline, check: Callable[[str], str]
) -> socket.socket:
    """Connect to the first of a host's addresses that may be called and answers; raise OSError.

    check: says why an address may not be, or "". The name is looked up once: what was checked is
    what is connected to.
    """
    failure: OSError = OSError("the name has no address")
    found = resolved(host, port, min(clock.left(), NAME_SECONDS))
    for place, (family, kind, protocol, _, address) in enumerate(found):
        if words := check(address[0]):
            failure = AddressRefused(words)
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            # One that never answers must leave time for the others.
            sock.settimeout(clock.left() / (len(found) - place))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def resolved(host: str, port: int, seconds: float) -> list[Any]:
    """Return a name's addresses; raise OSError, also when the resolver takes too long."""
    answers: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError("no such name"))

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name could not be resolved in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
