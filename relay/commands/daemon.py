"""How a command reaches the daemon: HTTP over its unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import click

from relay import settings

SECONDS = 30.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask_running(path: Path, method: str, what: str) -> dict[str, Any]:
    """Call the daemon of a settings file; end the command if there is none."""
    answer = ask(settings.load(path).data, method, what)
    if answer is None:
        raise click.ClickException("no daemon runs on these settings")
    return answer


def ask(
    data: Path, method: str, path: str, argument: Any = None, *, seconds: float = SECONDS
) -> dict[str, Any] | None:
    """Call the daemon that serves a data folder; None if there is none.

    seconds: how long it may take to answer; after that, TimeoutError.
    """
    connection = _Connection(data / "relay.sock", seconds)
    try:
        connection.request(method, path, json.dumps(argument))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    finally:
        connection.close()
    return answer
