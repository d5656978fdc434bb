"""Connections to PostgreSQL that hang on nothing: not on a server that is silent, nor one away."""

import threading
import time
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event

from relay.store.engine.failures import sqlstate

# How long making a connection may take, and how long a server may be silent: one that stands still
# answers the network, but nobody else.
CONNECT_SECONDS = 5
SILENT_SECONDS = 10.0
# A server ends a statement, and a transaction that stands still, before it is given up as silent.
TIMED = {"statement_timeout": "8s", "idle_in_transaction_session_timeout": "60s"}

# What the network itself is asked, for cables that are cut: in seconds, but for the last.
NETWORK = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

# After a connection that could not be made, none is tried for so long: doubled each time.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 2.0

# A server says these with its last breath: it stops, it broke down, it is another's standby now.
LAST_WORDS = ("57P", "08", "25006")

# What every session is set to, whatever the server's own settings are: what is committed is on the
# disk, of the server and of those standbys that it waits for.
SAFE_COMMITS = ("on", "remote_apply")
_SET_SAFE_COMMIT = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
)


class Connection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer within `silence` seconds."""

    silence: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Do a piece of the protocol; raise OperationalError for a server that is silent."""
        if timeout is not None:  # it is being waited for a word that may not come
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.silence)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


class Connector:
    """Makes one daemon's connections: after one that failed, none for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pause = 0.0
        self._next_at = 0.0
        self._error: psycopg.Error | None = None

    def connect(self, **options: Any) -> Connection:
        """Make a connection; raise what the last one failed for, if that was a moment ago."""
        if self._error is not None and time.monotonic() < self._next_at:
            raise self._error.with_traceback(None)
        try:
            made = Connection.connect(**options)
        except psycopg.Error as error:
            with self._lock:
                self._pause = min(max(2 * self._pause, SHORTEST_PAUSE), LONGEST_PAUSE)
                self._next_at = time.monotonic() + self._pause
                self._error = error
            raise
        self._pause, self._error = 0.0, None
        return made


def make_engine(
    url: URL, connector: Connector, settings: dict[str, str], *, timed: bool = True, **options: Any
) -> Engine:
    """Return an engine whose sessions have settings.

    timed: give up what takes long; it is a daemon's, where somebody waits for it.
    """
    settings = {"timezone": "UTC", **(TIMED if timed else {}), **settings}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"), use_native_hstore=False, **options
    )
    chosen = ", ".join(
        f"set_config('{name}', '{value}', false)" for name, value in settings.items()
    )
    session = {"application_name": "relay", "client_encoding": "utf8"}
    defaults = {"connect_timeout": CONNECT_SECONDS, **session, **NETWORK}

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Connection:
        made = connector.connect(**(defaults | parameters))
        try:
            made.silence = SILENT_SECONDS
            made.autocommit = True
            made.execute(f"SELECT {chosen}")
            made.execute(_SET_SAFE_COMMIT)
            made.autocommit = False
        except BaseException:
            made.close()
            raise
        made.silence = SILENT_SECONDS if timed else None
        return made

    @event.listens_for(engine, "handle_error")
    def handle_error(context: ExceptionContext) -> None:
        if sqlstate(context.original_exception).startswith(LAST_WORDS):
            context.is_disconnect = True

    return engine
