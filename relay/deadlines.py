"""HTTP to a provider, for delivery plugins: one deadline for all of it, and an honest verdict.

`requests` bounds each read, so a server that drips one byte at a time can hold a thread for ever.
Here every socket operation gets only the time that is left. And the socket knows whether any byte
of the request was written: before that nothing can have been sent; after it, nobody knows until
an answer is read.
"""

import io
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError as _UrllibError

from relay.errors import DeliveryDeferred, DeliveryInDoubt

# A connection kept open for longer may have been closed at the other end, which looks like a lost
# answer; a new one costs a handshake.
IDLE_SECONDS = 5.0
MAX_ANSWER_BYTES = 16 * 2**20


class Answer(NamedTuple):
    """A provider's answer; `headers` are found without regard to case."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def retry_after(self) -> float | None:
        """The seconds that the provider asks to be left alone, if it says so in seconds."""
        seconds = self.headers.get("Retry-After", "").strip()
        return float(seconds) if seconds.isascii() and seconds.isdecimal() else None


class _Clock(threading.local):
    """What this thread's call may still take, whether it wrote anything, and its session."""

    ends = 0.0
    wrote = False
    idle_since = 0.0
    session: requests.Session | None = None

    def left(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


_clock = _Clock()


class _Reader(socket.SocketIO):
    """Reads from a socket within the time that is left."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock, "rb")
        self._timed = sock

    def readinto(self, buffer: Any) -> int | None:
        self._timed.settimeout(_clock.left())
        return super().readinto(buffer)


class _TimedSocket:
    """A socket whose reads and writes share one deadline; all else is the socket's own."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, value: float | None) -> None:
        """Ignore the time-out of a single operation: the deadline sets it."""

    def sendall(self, data: Any) -> None:
        self._sock.settimeout(_clock.left())
        _clock.wrote = True
        self._sock.sendall(data)

    def makefile(self, mode: str = "rb", *args: Any, **kwargs: Any) -> io.BufferedReader:
        # As socket.makefile does: where the provider ends the connection, the socket is closed
        # before its answer was read, and lives on until the reader is closed too.
        self._sock._io_refs += 1
        return io.BufferedReader(_Reader(self._sock))


class _TimedHTTP(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _TimedSocket(self.sock)


class _TimedHTTPS(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _TimedSocket(self.sock)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPS


class _TimedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=4, maxsize=1)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _session() -> requests.Session:
    """Give this thread's session, with no connection that stood idle for too long."""
    if _clock.session is None:
        _clock.session = requests.Session()
        _clock.session.trust_env = False
        for scheme in ("http://", "https://"):
            _clock.session.mount(scheme, _TimedAdapter())
    elif time.monotonic() - _clock.idle_since > IDLE_SECONDS:
        _clock.session.close()
    return _clock.session


def post_json(url: str, content: bytes, headers: Mapping[str, str], deadline: float) -> Answer:
    """POST a JSON body, as `call_json` does."""
    return call_json("POST", url, headers, deadline, content)


def call_json(
    method: str,
    url: str,
    headers: Mapping[str, str],
    deadline: float,
    content: bytes | None = None,
) -> Answer:
    """Call a JSON API within `deadline` seconds; give the answer, whatever its status.

    content: the request's body, JSON, or None for none. Raise DeliveryDeferred when certainly
    nothing was sent, because no byte of the request was written (no name, no connection, no TLS),
    and DeliveryInDoubt when the answer was lost after that.
    """
    session = _session()
    _clock.ends, _clock.wrote = time.monotonic() + deadline, False
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
            body = response.raw.read(MAX_ANSWER_BYTES, decode_content=True)
            return Answer(response.status_code, body, response.headers)
    except (requests.RequestException, OSError, ValueError, _UrllibError) as error:
        session.close()
        name = type(_innermost(error)).__name__
        if _clock.wrote:
            raise DeliveryInDoubt(f"no answer: {name}", code=name) from None
        raise DeliveryDeferred(
            f"no connection: {name}", code=name, counted=False, opens_breaker=True
        ) from None
    finally:
        _clock.idle_since = time.monotonic()


def _innermost(error: BaseException) -> BaseException:
    reason = getattr(error, "reason", None) or next(
        (argument for argument in error.args if isinstance(argument, BaseException)), None
    )
    return _innermost(reason) if isinstance(reason, BaseException) else error
