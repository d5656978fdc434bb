"""Commands reach the daemon through its data folder, however long the path of that is."""

import os
import socket
from pathlib import Path

import pytest
from tornado.netutil import bind_unix_socket

from relay.cli import control_socket
from tests.support.daemon import SHIPPED, Daemon


def folder_of(top: Path, length: int, character: str = "d") -> Path:
    """Make a folder in which a socket's path has so many bytes, or one more."""
    folder = top
    while (missing := length - len(os.fsencode(folder / control_socket.NAME))) > 1:
        folder /= character * max(min(missing - 1, 100) // len(os.fsencode(character)), 1)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("character", ["d", "ü"])
@pytest.mark.parametrize("length", [0, 102, 103, 104, 107, 108, 109, 300, 1500])
def test_a_socket_is_bound_and_reached_whatever_the_length(
    tmp_path: Path, length: int, character: str
) -> None:
    before, folder = Path.cwd(), folder_of(tmp_path, length, character)
    with control_socket.address(folder) as address:
        listening = bind_unix_socket(address, mode=0o600)
    with listening, socket.socket(socket.AF_UNIX) as calling:
        with control_socket.address(folder) as address:
            calling.connect(address)
        listening.accept()[0].close()
    assert [one.name for one in folder.iterdir()] == [control_socket.NAME]
    assert (folder / control_socket.NAME).stat().st_mode & 0o777 == 0o600
    assert Path.cwd() == before


@pytest.mark.slow
def test_a_daemon_in_a_deep_folder_starts_says_where_its_socket_is_and_is_reached(
    tmp_path: Path,
) -> None:
    daemon = Daemon(folder_of(tmp_path, 250), SHIPPED)
    with daemon:
        path = daemon.folder / "var" / "relay.sock"
        assert f"Commands:    {path}\n" in daemon.output
        status = daemon.command("status")
        assert f"socket     {path}\n" in status.stdout
        assert "no daemon runs" not in status.stdout
        assert daemon.command("reload").stdout == "settings read\n"
        assert daemon.command("pause", "default").returncode == 0
    assert "no daemon runs" in daemon.command("reload").stderr
