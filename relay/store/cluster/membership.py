"""This daemon among those of its database: heard of by them, hearing of their changes, leading.

A thread with a connection of its own does all of it, so that neither a writer with much to do nor
a busy event loop makes the others believe that this daemon is gone.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from relay import __version__
from relay.core import clock
from relay.store.cluster import daemons, leases, versions
from relay.store.cluster.daemons import Heartbeat, Member, Registration
from relay.store.engine.database import Store
from relay.store.engine.expressions import clock_time
from relay.store.engine.failures import OutageLog
from relay.store.engine.postgresql import Postgresql
from relay.store.engine.sqlite import take_lock

# How often the numbers of changes are read, whether or not a word of them came.
LOOK_SECONDS = 1.0
# How long a daemon may take to read again what changed.
READ_SECONDS = 10.0
# How long one waits for all daemons to have heard of a change, and between two looks at that.
HEAR_SECONDS = 5.0
HEAR_PAUSE_SECONDS = 0.1
# A clock that is off by more than this is worth a word.
OFFSET_SECONDS = 60.0

# One that goes on while the machine sleeps, where there is one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# Reads again what another daemon changed.
Reader = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


class Membership:
    """Joins the daemons of a store, and stays one of them until `leave`.

    On a database of its own a daemon is alone: it leads, it counts as living, and no thread runs.

    data: the folder that no other daemon may use at the same time. settings: what tells whether
    daemons have the same settings. address: where this one listens.
    """

    def __init__(
        self, store: Store, data: Path, settings: Callable[[], str], address: Callable[[], str]
    ) -> None:
        self._server = store.shared
        self._identity = store.identity
        self._data = data
        self._settings = settings
        self._address = address
        self._outages: Callable[[], Sequence[Mapping[str, Any]]] = list
        self._readers: dict[str, Reader] = {}
        self._heard: dict[str, int] = {}
        self._living_until = self._leading_until = 0.0
        self._offset = 0.0
        self._outage = OutageLog("membership")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: IO[str] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this daemon does what one does for all."""
        return self._server is None or _elapsed() < self._leading_until

    def may_send(self, number: int) -> bool:
        """Whether what this daemon claimed under a number is surely its own yet."""
        if self._server is None:
            return True
        return number == self._identity.number and _elapsed() < self._living_until

    def when_changed(self, topic: versions.Topic, read: Reader) -> None:
        """Have a topic's reader called, on the event loop, when another daemon changed it."""
        self._readers[topic] = read

    def reports(self, outages: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        """Have the others know which providers fail this daemon."""
        self._outages = outages

    def join(self) -> None:
        """Become one of the daemons, before anything is read that is kept in memory.

        Raise ConfigurationError if another one uses the same folder.
        """
        if self._server is not None:
            self._lock = take_lock(self._data)
            with self._server.watching() as connection:
                self._heard = dict(versions.numbers(connection))
                self._join(connection)
                self._beat(connection)

    def start(self) -> None:
        """Begin to be heard of and to hear; on the event loop."""
        if self._server is not None:
            given = (self._server, asyncio.get_running_loop())
            self._thread = threading.Thread(
                target=self._run, args=given, name="membership", daemon=True
            )
            self._thread.start()

    async def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def leave(self) -> None:
        """Say that this daemon sends nothing any more: others take over at once."""
        self._living_until = self._leading_until = 0.0
        number, self._identity.number = self._identity.number, 0
        if self._server is not None and number:
            with suppress(DBAPIError), self._server.watching() as connection:
                leases.give_up(connection, number)
                daemons.leave(connection, number)
        if self._lock is not None:
            self._lock.close()

    def _run(self, server: Postgresql, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                with server.watching() as connection:
                    self._stay(server, connection, loop)
            except Exception as error:  # noqa: BLE001 - whatever fails, it is to be heard of again
                cause = error.orig if isinstance(error, DBAPIError) else error
                self._outage.failed(cause)
                self._stopping.wait(LOOK_SECONDS)

    def _stay(
        self, server: Postgresql, connection: Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Say that this daemon lives, and follow changes, until it stops or the connection ends."""
        beaten_at = 0.0
        while not self._stopping.is_set():
            if _elapsed() - beaten_at >= daemons.HEARTBEAT_SECONDS:
                beaten_at = _elapsed()
                self._beat(connection)
                self._outage.worked()
            if self._follow(connection, loop):
                beaten_at = 0.0  # whoever changed it waits to hear that this daemon has heard
            else:
                server.wait_for_change(connection, LOOK_SECONDS)

    def _join(self, connection: Connection) -> None:
        new = Registration(socket.gethostname(), os.getpid(), __version__, self._settings())
        self._identity.number = daemons.join(connection, new)
        log.info("daemon.joined", daemon=self._identity.number)

    def _beat(self, connection: Connection) -> None:
        """Say that this daemon lives; join anew if the others gave it up."""
        self._look_at_clock(connection)
        began = _elapsed()
        heartbeat = Heartbeat(
            self._identity.number,
            self._address(),
            self._settings(),
            self._offset,
            self._heard,
            self._outages(),
        )
        if not daemons.beat(connection, heartbeat):
            # What it had claimed is in doubt by now, and others lead.
            log.warning("daemon.lapsed", daemon=heartbeat.daemon)
            self._living_until = self._leading_until = 0.0
            self._join(connection)
        self._living_until = began + daemons.LAPSED_SECONDS - daemons.MARGIN_SECONDS
        for number in daemons.end_lapsed(connection):
            log.warning("daemon.silent", daemon=number)
        if leases.take(connection, leases.LEADER, self._identity.number):
            if not self.is_leader:
                log.info("daemon.leads", daemon=self._identity.number)
            self._leading_until = began + leases.TERM_SECONDS - leases.GRACE_SECONDS
            daemons.forget(connection)

    def _look_at_clock(self, connection: Connection) -> None:
        """Follow the database's clock."""
        was_off = abs(self._offset) > OFFSET_SECONDS
        self._offset = clock_offset(connection)
        clock.follow(-self._offset)
        if abs(self._offset) > OFFSET_SECONDS and not was_off:
            log.warning("clock.off", seconds=round(self._offset, 1))

    def _follow(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Have read again what was changed since; return whether anything was."""
        changed = {
            topic: number
            for topic, number in versions.numbers(connection).items()
            if number != self._heard.get(topic)
        }
        for topic, number in changed.items():
            reader = self._readers.get(topic)
            if reader is not None:
                asyncio.run_coroutine_threadsafe(reader(), loop).result(READ_SECONDS)
            self._heard[topic] = number
        return bool(changed)


def clock_offset(connection: Connection) -> float:
    """Return by how many seconds this machine's clock is ahead of the database's.

    Half of what asking took is the answer's way.
    """
    before = time.time()
    said: float = connection.execute(clock_time().select()).scalar_one()
    return (before + time.time()) / 2 - said


def unheard(store: Store, topic: versions.Topic, seconds: float = HEAR_SECONDS) -> list[Member]:
    """Wait until all daemons have heard of a topic's last change; return those that have not."""
    if store.shared is None:
        return []
    number = store.read_now(versions.numbers).get(topic, 0)
    ends = time.monotonic() + seconds
    while (deaf := store.read_now(daemons.deaf, topic, number)) and time.monotonic() < ends:
        time.sleep(HEAR_PAUSE_SECONDS)
    return deaf


def _elapsed() -> float:
    """Return the seconds of a clock that nobody sets."""
    return time.clock_gettime(_CLOCK)
