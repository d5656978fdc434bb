"""A pooler between: in session mode nobody notices it, in transaction mode it is refused."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.core.errors import ConfigurationError
from relay.store.engine.database import Store
from tests.support.killable_postgresql import PASSWORD, Server, as_user, running_server

BINARY = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="needs pgbouncer (Debian: apt install pgbouncer)"),
]

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@contextmanager
def pooler(server: Server, mode: str, size: int) -> Iterator[str]:
    """Run a pooler in front of a server; yield the URL of its database."""
    folder = server.folder / f"{mode}-{size}"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text(f'"relay" "{PASSWORD}"\n')
    text = SETTINGS.format(server=server.port, port=port, folder=folder, mode=mode, size=size)
    (folder / "ini").write_text(text)
    log = (folder / "log").open("wb")
    process = subprocess.Popen([BINARY, folder / "ini"], stdout=log, stderr=log, **as_user())
    try:
        ends = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                assert time.monotonic() < ends, (folder / "log").read_text()
                time.sleep(0.02)
            else:
                break
        yield server.url.replace(f":{server.port}/", f":{port}/")
    finally:
        process.terminate()
        process.wait(10)
        log.close()


@pytest.mark.parametrize(("mode", "size"), [("transaction", 10), ("transaction", 2)])
def test_one_that_shares_sessions_out_by_transaction_is_refused(
    server: Server, tmp_path: Path, mode: str, size: int
) -> None:
    with pooler(server, mode, size) as url:
        store = Store(url, tmp_path)
        with pytest.raises(ConfigurationError, match="pooler") as caught:
            store.open()
    line = str(caught.value)
    assert "set the pooler's pool_mode to session" in line
    assert "\n" not in line
    assert PASSWORD not in line


@pytest.mark.timeout(120)
def test_one_with_a_single_connection_is_refused(server: Server, tmp_path: Path) -> None:
    with pooler(server, "transaction", 1) as url, pytest.raises(ConfigurationError) as caught:
        Store(url, tmp_path).open()
    assert "a second connection gets no answer" in str(caught.value)


def test_one_in_session_mode_is_as_good_as_none(server: Server, tmp_path: Path) -> None:
    with pooler(server, "session", 20) as url:
        store = Store(url, tmp_path)
        store.open()
        with store.shared.watching() as connection:
            connection.exec_driver_sql("NOTIFY relay_changed")
            assert store.shared.wait_for_change(connection, 5)
        store.close()
