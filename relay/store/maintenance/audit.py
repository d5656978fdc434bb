"""Proof that nothing is lost: every message that was accepted is in one place, and in one only.

What was accepted comes from the ledger, which is counted apart from the rows; what became of it
from the rows. All is read in one transaction, so that mail may flow meanwhile, and in chunks by
key, so that it does not matter how much there is.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    exists,
    func,
    literal,
    or_,
    select,
)

from relay.core.states import OPEN, State
from relay.store import values
from relay.store.engine.expressions import whole
from relay.store.engine.writer import one_by_one
from relay.store.outbox.ledger import day
from relay.store.schema import (
    IS_MAIL,
    attempts,
    contents,
    events,
    ledger,
    message_metadata,
    messages,
    proofs,
    receipts,
    tokens,
)

CHUNK = 10_000
DAY_SECONDS = 86_400

# More than this many messages with the same fault are counted, not named.
NAMED = 20

Progress = Callable[[int], None]


class AuditPosition(NamedTuple):
    """A server on a day (UTC), `2026-11-21`."""

    server: str
    day: str


@dataclass
class Balance:
    """What was accepted and screened by the ledger, and the rows by state, at one place."""

    accepted: int = 0
    screened: int = 0
    states: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        """Count the rows that are not in a final state."""
        return sum(self.states[state] for state in OPEN)

    @property
    def rows(self) -> int:
        """Count the rows of what was accepted."""
        return sum(count for state, count in self.states.items() if state != State.SCREENED)


@dataclass
class Audit:
    """The balance of every server and day, and a line for everything that does not balance."""

    balances: dict[AuditPosition, Balance] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class LastRun(NamedTuple):
    """When an audit ended, how many messages had been accepted, and how many faults it found."""

    at: float
    accepted: int
    faults: int


_LAST_RUN = "audit"


@one_by_one
def note(connection: Connection, run: LastRun) -> None:
    """Keep what the last audit found."""
    values.put(connection, _LAST_RUN, json.dumps(run))


def last_run(connection: Connection) -> LastRun | None:
    """Return what the last audit found; None where there was none."""
    kept = values.find(connection, _LAST_RUN)
    return None if kept is None else LastRun(*json.loads(kept))


def size(connection: Connection) -> int:
    """Return the number of messages by the ledger: what the progress of an audit counts towards."""
    query = select(func.sum(ledger.c.accepted + ledger.c.screened))
    return int(connection.execute(query).scalar() or 0)


def audit(connection: Connection, progress: Progress = lambda count: None) -> Audit:
    """Check everything; `progress` is told how many more messages were read."""
    balances, faulty = _ledger(connection), _Faults()
    for after, upto, count in _chunks(connection, messages.c.id):
        within = (messages.c.id > after, messages.c.id <= upto)
        _count(connection, within, balances)
        for words, query in _MESSAGE_FAULTS.items():
            faulty.add(words, connection.execute(query.where(*within)).scalars().all())
        progress(count)
    for words, column, condition in _ORPHANS:
        for after, upto, _ in _chunks(connection, column):
            orphans = select(column).where(column > after, column <= upto, ~_row_of(column))
            found = connection.execute(orphans.where(condition).distinct()).scalars().all()
            faulty.add(words, found)
    ordered = dict(sorted(balances.items()))
    return Audit(ordered, [*_imbalances(ordered), *faulty.lines()])


class _Faults:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def add(self, words: str, ids: Sequence[str]) -> None:
        if ids:
            self._counts[words] += len(ids)
            named = self._named.setdefault(words, [])
            named.extend(ids[: NAMED - len(named)])

    def lines(self) -> Iterator[str]:
        for words, count in self._counts.items():
            named = self._named[words]
            yield from (f"{id}: {words}" for id in named)
            if count > len(named):
                yield f"and {count - len(named)} more: {words}"


def _ledger(connection: Connection) -> dict[AuditPosition, Balance]:
    columns = (ledger.c.server, ledger.c.day)
    counted = (func.sum(ledger.c.accepted), func.sum(ledger.c.screened))
    # On some days others' mail was sent, and none came in.
    query = select(*columns, *counted).group_by(*columns)
    rows = connection.execute(query.having(or_(*(count != 0 for count in counted))))
    return {AuditPosition(server, on): Balance(*counts) for server, on, *counts in rows}


def _chunks(connection: Connection, column: ColumnElement[str]) -> Iterator[tuple[str, str, int]]:
    """Cut a column of ids into ranges: from after one id up to another, and how many they are."""
    after = ""
    while True:
        some = select(column).where(column > after).order_by(column).limit(CHUNK).subquery()
        query = select(func.max(some.c[0]), func.count())
        upto, count = connection.execute(query).one()
        if upto is None:
            return
        yield after, upto, count
        after = upto


def _count(
    connection: Connection,
    within: tuple[ColumnElement[bool], ...],
    balances: dict[AuditPosition, Balance],
) -> None:
    """Add the rows of a range of ids to the balances."""
    number = whole(messages.c.created_at / DAY_SECONDS)
    query = select(messages.c.server, number, messages.c.state, func.count())
    query = query.where(IS_MAIL, *within)
    for row in connection.execute(query.group_by(messages.c.server, number, messages.c.state)):
        server, on, state, count = row
        place = AuditPosition(server, day(on * DAY_SECONDS))
        balances.setdefault(place, Balance()).states[state] += count


def _imbalances(balances: dict[AuditPosition, Balance]) -> Iterator[str]:
    for (server, on), balance in balances.items():
        place = f"{server} {on}"
        if balance.accepted != balance.rows:
            yield f"{place}: {balance.accepted} accepted, but {balance.rows} found"
        if balance.screened != balance.states[State.SCREENED]:
            found = balance.states[State.SCREENED]
            yield f"{place}: {balance.screened} screened, but {found} found"
        for state in sorted(balance.states.keys() - set(State)):
            yield f"{place}: {balance.states[state]} in the unknown state {state}"


def _faulty(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(messages.c.id).where(*conditions)


def _happened(table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(literal(1)).where(table.c.message == messages.c.id, *conditions))


_HAS_CONTENTS = exists(select(literal(1)).where(contents.c.id == messages.c.id))
_WAS_CLEARED = exists(
    select(literal(1)).where(contents.c.id == messages.c.id, contents.c.document == "")
)
_WAS_TAKEN = _happened(attempts, attempts.c.outcome == State.SENT)
_WAS_FOUND = _happened(events, events.c.kind == "found")

_MESSAGE_FAULTS = {
    "it is sent, but no attempt and no look-up says so": _faulty(
        messages.c.state == State.SENT, ~_WAS_TAKEN, ~_WAS_FOUND
    ),
    "an attempt sent it, but it is not called sent": _faulty(
        messages.c.state != State.SENT, _WAS_TAKEN
    ),
    "its contents are missing": _faulty(~_HAS_CONTENTS),
    "its contents were cleared, but it may be sent yet": _faulty(
        messages.c.state.in_(OPEN), _WAS_CLEARED
    ),
}


def _row_of(column: ColumnElement[str]) -> ColumnElement[bool]:
    return exists(select(literal(1)).where(messages.c.id == column))


_ANY = literal(1) == 1
_ORPHANS: Sequence[tuple[str, ColumnElement[str], ColumnElement[bool]]] = (
    ("there are contents, but no message", contents.c.id, _ANY),
    ("there are attempts, but no message", attempts.c.message, _ANY),
    ("there are events, but no message", events.c.message, _ANY),
    ("there are labels, but no message", message_metadata.c.message, _ANY),
    ("a writer is to be told of it, but there is no message", receipts.c.message, _ANY),
    ("a token was spent on it, but there is no message", tokens.c.message, _ANY),
    ("a proof was spent on it, but there is no message", proofs.c.message, _ANY),
)
