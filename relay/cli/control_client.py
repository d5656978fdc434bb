"""How a command reaches the daemon: HTTP over its unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import click

from relay.config import settings

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


def tell(
    data: Path, path: str, argument: Any, *, see: str, seconds: float = SECONDS
) -> dict[str, Any] | None:
    """Have the daemon of a data folder do something; None if there is none.

    End the command if it cannot be done, or if nobody knows whether it was: then `see` is the
    command that shows it.
    """
    try:
        return ask(data, "POST", path, argument, seconds=seconds)
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
