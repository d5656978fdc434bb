"""The one thread that writes: everything that waits goes into one transaction, one commit.

An *operation* is a function of a connection and a batch of arguments; it gives one result for
each, and an exception among the results refuses only that argument. Because it sees the whole
batch it can insert a hundred rows with one statement, which is what makes a group commit cheap.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from relay.core.errors import Unavailable
from relay.store.engine.sqlite import is_lost_sync

Operation = Callable[[Connection, Sequence[Any]], Sequence[Any]]

A = TypeVar("A")
R = TypeVar("R")


def one_by_one(
    operation: Callable[[Connection, A], R],
) -> Callable[[Connection, Sequence[A]], list[R]]:
    """Make an operation of what is done for one argument at a time."""

    @wraps(operation)
    def all_in_turn(connection: Connection, batch: Sequence[A]) -> list[R]:
        return [operation(connection, one) for one in batch]

    return all_in_turn


# More than this in one transaction makes the first of it wait for nothing.
MAX_GROUP = 1000
RETRY_AFTER_SECONDS = 5


class _Unit(NamedTuple):
    operation: Operation
    argument: Any
    future: asyncio.Future[Any]


class Writer:
    """Owns the writing connection; started by `start`, ended by `stop` after all that waits.

    `is_broken` once a sync has failed: then nothing is written any more, and `when_broken` is
    called on the loop.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun_at: float | None = None
        self.is_broken = False
        self.when_broken: Callable[[], None] = lambda: None

    @property
    def stalled(self) -> float:
        """The seconds for which the present transaction has been running; 0 for none."""
        begun_at = self._begun_at
        return 0.0 if begun_at is None else time.monotonic() - begun_at

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def submit(self, operation: Operation, argument: Any) -> asyncio.Future[Any]:
        """Put one argument of an operation into the next group; await its result."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.put(_Unit(operation, argument, future))
        return future

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while group := self._next_group():
                self._begun_at = time.monotonic()
                results = self._commit(connection, group)
                self._begun_at = None
                # One hand-over to the loop for the whole group.
                loop = group[0].future.get_loop()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_resolve, group, results)
                    if self.is_broken:
                        loop.call_soon_threadsafe(self.when_broken)

    def _next_group(self) -> list[_Unit]:
        """Wait for a unit and take all others that wait; an empty group ends the thread."""
        group: list[_Unit] = []
        unit = self._waiting.get()
        while unit is not None:
            group.append(unit)
            if len(group) == MAX_GROUP or self._waiting.empty():
                return group
            unit = self._waiting.get_nowait()
        if group:
            self._waiting.put(None)  # the end comes after this last group
        return group

    def _commit(self, connection: Connection, group: Sequence[_Unit]) -> list[Any]:
        if self.is_broken:
            return [Unavailable(RETRY_AFTER_SECONDS, reason="store")] * len(group)
        try:
            return _run_all(connection, group)
        except Exception as error:  # noqa: BLE001 - it becomes the result of whoever caused it
            if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
                self.is_broken = is_lost_sync(error)
                # The disk or the file: trying again one by one would only fail as often.
                return [unavailable(error.orig)] * len(group)
            if len(group) == 1:
                return [error]
        # One unit spoilt the transaction: each gets one of its own, and only the culprit fails.
        return [result for unit in group for result in self._commit(connection, [unit])]


def _run_all(connection: Connection, group: Sequence[_Unit]) -> list[Any]:
    batches: dict[Operation, list[int]] = {}
    for index, unit in enumerate(group):
        batches.setdefault(unit.operation, []).append(index)
    results: list[Any] = [None] * len(group)
    with connection.begin():
        for operation, indexes in batches.items():
            batch = [group[index].argument for index in indexes]
            for index, result in zip(indexes, operation(connection, batch), strict=True):
                results[index] = result
    return results


def unavailable(cause: BaseException | None) -> Unavailable:
    """Return what callers are told of a database that fails, with its own error as the cause."""
    failure = Unavailable(RETRY_AFTER_SECONDS, reason="store")
    failure.__cause__ = cause
    return failure


def _resolve(group: Sequence[_Unit], results: Sequence[Any]) -> None:
    for unit, result in zip(group, results, strict=True):
        if unit.future.done():
            continue
        if isinstance(result, Exception):
            unit.future.set_exception(result)
        else:
            unit.future.set_result(result)
