"""The example contact page in a folder of its own, served by PHP or as static files."""

import os
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.daemon import ROOT, Daemon
from tests.support.keys import PAGE_KEY, key

EXAMPLES = ROOT / "examples"
PHP = shutil.which("php")
needs_php = pytest.mark.skipif(
    PHP is None, reason="NOT RUN: there is no php here (apt install php-cli)"
)

# What a page at `origin` needs; the rest of the relay's settings as they come.
SETTINGS = (
    key("application", "contactform")
    + key("page", "contactform", kind="publishable")
    + """
[tokens]
key = "required"

[servers.contactform]
plugins = ["bearer_token", "session_token", "honeypot", "contactform", "mailbox"]
sender = "Contact form <contactform@example.gov>"
recipients = ["@example.gov"]
attachments = true
origins = ["{origin}"]
return_to = {{ contact = "{origin}/contact-form.php" }}
"""
)


def copy_page(folder: Path, url: str, key: str = PAGE_KEY) -> None:
    """Do what a web developer does: copy the files, put in the relay's address and the key."""
    for file in EXAMPLES.glob("contact-form.*"):
        text = file.read_text(encoding="utf-8")
        text = text.replace("https://relay.example.gov", url).replace("PUBLISHABLE-KEY", key)
        (folder / file.name).write_text(text, encoding="utf-8")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the tests look at what the browser sees."""


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Let a server run in a thread; give its origin."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def static_server(folder: Path) -> AbstractContextManager[str]:
    """Serve a folder's files; give the origin."""
    handler = partial(_Quiet, directory=str(folder))
    return serving(ThreadingHTTPServer(("127.0.0.1", 0), handler))


@contextmanager
def php_server(folder: Path, environment: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder with PHP's own web server; give the origin."""
    command = [str(PHP), "-S", "127.0.0.1:0", "-t", str(folder)]
    with subprocess.Popen(
        command,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stderr.readline()
            started = re.search(r"\((http://\S+)\) started", line)
            assert started, f"php did not start: {line}"
            yield started[1]
        finally:
            process.terminate()


def states(daemon: Daemon) -> list[str]:
    """The states of everything that the daemon stored."""
    with closing(sqlite3.connect(daemon.folder / "var" / "relay.db")) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM messages")]
