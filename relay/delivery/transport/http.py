"""HTTP to a provider, for delivery plugins: one deadline for all of it, and an honest verdict.

`requests` bounds each read, so a server that drips one byte at a time can hold a thread for ever.
Here every socket operation gets only the time that is left. And the socket knows whether any byte
of the request was written: before that nothing can have been sent; after it, nobody knows until
an answer is read.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as _UrllibError

from relay.core.errors import DeliveryDeferred, DeliveryInDoubt
from relay.delivery.transport.sockets import AddressRefused, Deadline, TimedSocket, open_socket

# A connection kept open for longer may have been closed at the other end, which looks like a lost
# answer; a new one costs a handshake.
IDLE_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 * 2**20
# As much is read of what a stranger answers.
STRANGER_BYTES = 64 * 2**10


class HTTPResponse(NamedTuple):
    """A provider's answer; `headers` are found without regard to case."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def retry_after(self) -> float | None:
        """The seconds that the provider asks to be left alone, if it says so in seconds."""
        seconds = self.headers.get("Retry-After", "").strip()
        return float(seconds) if seconds.isascii() and seconds.isdecimal() else None


class _Deadline(Deadline, threading.local):
    """What this thread's call may still take, and its session."""

    idle_since = 0.0
    session: requests.Session | None = None
    check: Callable[[str], str] | None = None


_clock = _Deadline()


class _TimedHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(self) if _clock.check else super()._new_conn()

    def connect(self) -> None:
        super().connect()
        self.sock = TimedSocket(self.sock, _clock)


class _TimedHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(self) if _clock.check else super()._new_conn()

    def connect(self) -> None:
        super().connect()
        self.sock = TimedSocket(self.sock, _clock)


def _checked(connection: HTTPConnection) -> socket.socket:
    """Connect to an address that may be called."""
    check = _clock.check or (lambda address: "")
    sock = open_socket(connection._dns_host, connection.port, _clock, check)
    sock.settimeout(_clock.left())  # what TLS begins with may take
    return sock


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPS


class _TimedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=4, maxsize=1)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _session() -> requests.Session:
    """Return this thread's session, with no connection that stood idle for too long."""
    if _clock.session is None:
        _clock.session = requests.Session()
        _clock.session.trust_env = False
        for scheme in ("http://", "https://"):
            _clock.session.mount(scheme, _TimedAdapter())
    elif time.monotonic() - _clock.idle_since > IDLE_SECONDS:
        _clock.session.close()
    return _clock.session


def post_json(
    url: str, content: bytes, headers: Mapping[str, str], deadline: float
) -> HTTPResponse:
    """POST a JSON body, as `call_json` does."""
    return call_json("POST", url, headers, deadline, content)


def post_to_stranger(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    deadline: float,
    check: Callable[[str], str],
) -> HTTPResponse:
    """POST a JSON body to a host for which nobody vouches, as `call_json` does.

    check: says why an address is not connected to; "" where it is. Little of the answer is read,
    and that as it comes.
    """
    _clock.check = check
    try:
        return call_json("POST", url, headers, deadline, content, most=STRANGER_BYTES)
    finally:
        _clock.check = None


def call_json(
    method: str,
    url: str,
    headers: Mapping[str, str],
    deadline: float,
    content: bytes | None = None,
    most: int = MAX_ANSWER_BYTES,
) -> HTTPResponse:
    """Call a JSON API within `deadline` seconds; return the answer, whatever its status.

    content: the request's body, JSON, or None for none. Raise DeliveryDeferred when certainly
    nothing was sent, because no byte of the request was written (no name, no connection, no TLS),
    and DeliveryInDoubt when the answer was lost after that.
    """
    session = _session()
    _clock.start(deadline)
    media = {} if content is None else {"Content-Type": "application/json"}
    try:
        with session.request(
            method,
            url,
            data=content,
            headers={"Accept": "application/json", **media, **headers},
            timeout=deadline,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = response.raw.read(most, decode_content=_clock.check is None)
            return HTTPResponse(response.status_code, body, response.headers)
    except (requests.RequestException, OSError, ValueError, _UrllibError) as error:
        session.close()
        innermost = _innermost(error)
        name = type(innermost).__name__
        if _clock.wrote:
            raise DeliveryInDoubt(f"no answer: {name}", code=name) from None
        words = str(innermost) if isinstance(innermost, AddressRefused) else name
        raise DeliveryDeferred(
            f"no connection: {words}", code=name, counted=False, opens_breaker=True
        ) from None
    finally:
        _clock.idle_since = time.monotonic()


def _innermost(error: BaseException) -> BaseException:
    reason = getattr(error, "reason", None) or next(
        (argument for argument in error.args if isinstance(argument, BaseException)), None
    )
    return _innermost(reason) if isinstance(reason, BaseException) else error
