"""Log lines on a terminal: nothing that a caller sent is a command to it."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relay.core.logs import visible
from tests.support.daemon import SHIPPED, Daemon


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/\x9b31mred", "/\\x9b31mred"),
        ("/\x1b[2J", "/\\x1b[2J"),
        ("a\r\nforged line", "a\\r\\nforged line"),
        ("a\x85b\u2028c", "a\\x85b\\u2028c"),
        ("\x7f\x00\x07\x8d\x90", "\\x7f\\x00\\x07\\x8d\\x90"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("\udc9b", "\\udc9b"),
        ("/plain path-\u00fc\u6f22", "/plain path-\u00fc\u6f22"),
        (42, 42),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(value: object, expected: object) -> None:
    assert visible(None, "info", {"path": value}) == {"path": expected}


@pytest.mark.slow
def test_a_running_daemon_writes_no_control_character_to_its_console(tmp_path: Path) -> None:
    with Daemon(tmp_path, SHIPPED, {"RELAY_LOG": "console"}) as daemon:
        place = urlsplit(daemon.url)
        for path in (b"/\x9b31mred", b"/\xc2\x9b2J", b"/%9b", b"/\x1b[2J", b"/rest/email/\x9d0;t"):
            with socket.create_connection((place.hostname, place.port), 10) as client:
                head = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: \x9b\r\n"
                client.sendall(b"POST " + path + head + b"Content-Length: 0\r\n\r\n")
                while client.recv(4096):
                    pass
        log = (tmp_path / "log").read_bytes()
    lines = re.sub(r"\x1b\[[0-9]*m", "", log.decode("utf-8"))  # the colours of the lines themselves
    assert "x9b31mred" in lines
    assert "\\x9b31mred" in lines
    assert [one for one in lines if not one.isprintable() and one != "\n"] == []
