"""The one thread that writes: everything that waits goes into one transaction, one commit.

An *operation* is a function of a connection and a batch of arguments; it gives one result for
each, and an exception among the results refuses only that argument. Because it sees the whole
batch it can insert a hundred rows with one statement, which is what makes a group commit cheap.
"""

import asyncio
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from relay.core.errors import Unavailable
from relay.store.engine.failures import CommitUnknown, OutageLog, Remedy, remedy, words
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

# How often a group is run that something stands in the way of, and how far apart at most: the
# others that stand there wait for other times.
TRIES = {Remedy.AGAIN: 5, Remedy.RECONNECTED: 2, Remedy.NONE: 1}
APART_SECONDS = 0.05

log = structlog.get_logger()


def apart(connection: Connection, batch: Sequence[Callable[[], Any]]) -> Sequence[Any]:
    """Stand for work that no transaction may be open for: it is done once the others are stored."""
    raise AssertionError


class _Unit(NamedTuple):
    operation: Operation
    argument: Any
    future: asyncio.Future[Any]


class Writer:
    """Owns the writing; started by `start`, ended by `stop` after all that waits.

    `is_broken` once a sync has failed: then nothing is written any more, and `when_broken` is
    called on the loop. `when_committed` is called in this thread, with the number of units and the
    seconds that they took.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._coming: list[_Unit] = []  # in this turn of the loop
        self._waiting: queue.SimpleQueue[list[_Unit] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun_at: float | None = None
        self._outage = OutageLog("writing")
        self.is_broken = False
        self.when_broken: Callable[[], None] = lambda: None
        self.when_committed: Callable[[int, float], None] = lambda units, seconds: None

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
            self._hand_over()
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def submit(self, operation: Operation, argument: Any) -> asyncio.Future[Any]:
        """Put one argument of an operation into the next group; await its result.

        What one turn of the loop brings is handed over together, at its end: a thread that got the
        first of it at once would commit that alone.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._coming:
            loop.call_soon(self._hand_over)
        self._coming.append(_Unit(operation, argument, future))
        return future

    def _hand_over(self) -> None:
        if self._coming:
            self._waiting.put(self._coming)
            self._coming = []

    def _run(self) -> None:
        while group := self._next_group():
            self._begun_at = time.monotonic()
            results = self._commit(group)
            self.when_committed(len(group), self.stalled)
            self._begun_at = None
            # One hand-over to the loop for the whole group.
            loop = group[0].future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, group, results)
                if self.is_broken:
                    loop.call_soon_threadsafe(self.when_broken)

    def _next_group(self) -> list[_Unit]:
        """Wait for units and take all others that wait; an empty group ends the thread."""
        group: list[_Unit] = []
        units = self._waiting.get()
        while units is not None:
            group += units
            if len(group) >= MAX_GROUP or self._waiting.empty():
                return group
            units = self._waiting.get_nowait()
        if group:
            self._waiting.put(None)  # the end comes after this last group
        return group

    def _commit(self, group: Sequence[_Unit]) -> list[Any]:
        if self.is_broken:
            return [Unavailable(RETRY_AFTER_SECONDS, reason="store")] * len(group)
        tries = 0
        while True:
            try:
                results = _run_all(self._engine, group)
            except Exception as error:  # noqa: BLE001 - it becomes the result of whoever caused it
                tries += 1
                what_helps = remedy(error)
                if what_helps is Remedy.ALONE:
                    return [error] if len(group) == 1 else self._one_by_one(group)
                if tries >= TRIES[what_helps]:
                    return self._refused(group, error)
                time.sleep(random.uniform(0, tries * APART_SECONDS))  # noqa: S311 - nothing secret
            else:
                self._outage.worked()
                return results

    def _one_by_one(self, group: Sequence[_Unit]) -> list[Any]:
        """Run a group that one unit spoilt: each alone, so that only the culprit fails."""
        return [result for unit in group for result in self._commit([unit])]

    def _refused(self, group: Sequence[_Unit], error: Exception) -> list[Any]:
        """Return the results of a group that the database does not take."""
        cause = error.orig if isinstance(error, DBAPIError) else error.__cause__
        self.is_broken = isinstance(error, DBAPIError) and is_lost_sync(error)
        if isinstance(error, CommitUnknown):
            log.error("commit.unknown", units=len(group), words=words(cause))
        self._outage.failed(cause)
        return [unavailable(cause)] * len(group)


def _run_all(engine: Engine, group: Sequence[_Unit]) -> list[Any]:
    batches: dict[Operation, list[int]] = {}
    for index, unit in enumerate(group):
        batches.setdefault(unit.operation, []).append(index)
    results: list[Any] = [None] * len(group)
    later = batches.pop(apart, [])
    if batches:
        _run_together(engine, group, batches, results)
    for index in later:
        results[index] = _done_apart(group[index].argument)
    return results


def _done_apart(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the others' work is stored: this one's alone fails
        return error


def _run_together(
    engine: Engine,
    group: Sequence[_Unit],
    batches: dict[Operation, list[int]],
    results: list[Any],
) -> None:
    """Run operations in one transaction; put their results in their places."""
    with engine.connect() as connection:
        transaction = connection.begin()
        for operation, indexes in batches.items():
            batch = [group[index].argument for index in indexes]
            for index, result in zip(indexes, operation(connection, batch), strict=True):
                results[index] = result
        try:
            transaction.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CommitUnknown from error.orig
            raise


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
