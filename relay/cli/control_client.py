"""How a command reaches the daemon: HTTP over its unix socket."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from relay.cli import control_socket

SECONDS = 30.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, data: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._data = data

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with control_socket.address(self._data) as address:
            self.sock.connect(address)


def ask(
    data: Path, method: str, path: str, argument: Any = None, *, seconds: float = SECONDS
) -> dict[str, Any] | None:
    """Call the daemon that serves a data folder; None if there is none.

    seconds: how long it may take to answer; after that, TimeoutError.
    """
    connection = _Connection(data, seconds)
    try:
        connection.request(method, path, json.dumps(argument))
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    finally:
        connection.close()
    return answer


def tell(
    data: Path, path: str, asked: Mapping[str, Any], *, see: str, seconds: float = SECONDS
) -> dict[str, Any] | None:
    """Have the daemon of a data folder do something; None if there is none.

    End the command if it is refused, or if nobody knows whether it was done: then `see` is the
    command that shows it.
    """
    try:
        answer = ask(data, "POST", path, asked, seconds=seconds)
    except ValueError:
        raise click.ClickException(
            "the running daemon could not do that; if it is an older one, restart it"
        ) from None
    except TimeoutError:
        raise click.ClickException(
            f"the daemon did not answer in time: see `{see}` for what it did"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        words = f"the daemon broke off: see `{see}` for what it did"
        raise click.ClickException(f"{words} ({type(error).__name__})") from None
    if answer is not None and answer["problem"]:
        raise click.ClickException(answer["problem"])
    return answer


def running(answer: dict[str, Any] | None, why: str = "") -> dict[str, Any]:
    """Return a daemon's answer; end the command if there is none, and say why it is needed."""
    if answer is None:
        raise click.ClickException(f"no daemon runs on these settings{why}")
    return answer
