"""Moving all that a database holds to another one, of another engine.

Both stand still meanwhile. The target is served when everything in it was counted and audited, the
source not any more from then on. Begun again after a crash, it begins with an empty target.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, Table, delete, func, insert, select, text

from relay.core.errors import ConfigurationError
from relay.store import installation as installations
from relay.store.cluster import daemons as members
from relay.store.engine import served
from relay.store.engine.database import Store, StoreUnreadable
from relay.store.engine.migrate import OLDEST_SCHEMA, newest_schema
from relay.store.engine.writer import one_by_one
from relay.store.maintenance import audit as audits
from relay.store.schema import daemons, installation, leases, ledger, messages, metadata
from relay.store.words import index

# How many rows are read and written at a time.
CHUNK = 1000

# Who runs is each database's own; so is what it says of itself.
TABLES = [table for table in metadata.sorted_tables if table not in (daemons, leases)]
# The words are indexed anew: the engines have other tables for them.
OWN_VALUES = (served.NOT_SERVED, served.ORIGIN, OLDEST_SCHEMA, *index.VALUES)
# What a daemon writes without ever taking mail: it is replaced.
_STARTED = {"alerts", "alert_reports", "installation", "paused", "servers", "versions"}

# By how many rows it went on.
Progress = Callable[[int], None]


class Moved(NamedTuple):
    """What was moved.

    changed: how many texts the target could not hold as they were. faults: what was out of balance
    in the source already.
    """

    messages: int
    rows: int
    changed: int
    faults: Sequence[str]


def size(connection: Connection) -> int:
    """Return the number of rows that there are to move."""
    return sum(_counts(connection).values())


def move(source: Store, target: Store, progress: Progress = lambda step: None) -> Moved:
    """Copy everything, compare it, and have the target served in the source's place.

    Both are open, whether or not they are served. Raise ConfigurationError.
    """
    _begin(source, target)
    try:
        changed = source.read_now(_copy, target, progress)
    except StoreUnreadable as error:
        reason = str(error).partition("\n")[0]  # without the values that a server adds
        raise ConfigurationError(f"{source.where} to {target.where}: {reason}") from None
    target.write_now(_finish, [None])
    before, after = source.read_now(_counts), target.read_now(_counts)
    for name, count in before.items():
        if after[name] != count:
            words = f"{count:,} rows in {source.where}, {after[name]:,} in {target.where}"
            raise ConfigurationError(f"{name}: {words}: nothing was moved; try again")
    faults = target.read_now(audits.audit).faults
    if faults and faults != source.read_now(audits.audit).faults:
        raise ConfigurationError(f"{target.where}: it does not balance: {faults[0]}")
    source.write_now(_give_up, [(source.where, f"what it holds was moved to {target.where}")])
    target.write_now(served.refuse, [""])
    return Moved(before["messages"], sum(before.values()), changed, faults)


def _begin(source: Store, target: Store) -> None:
    """See that nobody uses them, that all is copied, and that the target holds nothing else."""
    for store in (source, target):
        store.write_now(members.refuse_living, [store.where])
    if source.read_now(installations.schema) != newest_schema():
        raise ConfigurationError(f"{source.where}: a newer program's: move it with that one")
    filling = f"it is being filled from {source.where}: `move-store` was not finished"
    if target.read_now(served.why_not) == filling:
        return
    moved = source.read_now(served.why_not)
    if moved:
        raise ConfigurationError(f"{source.where}: {moved}")
    if target.read_now(served.why_not) or target.read_now(_holds_anything):
        raise ConfigurationError(f"{target.where}: it holds other messages or templates")
    target.write_now(served.refuse, [filling])


def _holds_anything(connection: Connection) -> bool:
    return any(count for name, count in _counts(connection).items() if name not in _STARTED)


def _counts(connection: Connection) -> dict[str, int]:
    """Count the rows of each table that is moved."""
    counts = {}
    for table in TABLES:
        query = select(func.count()).select_from(table)
        if table is installation:
            query = query.where(installation.c.name.not_in(OWN_VALUES))
        counts[table.name] = connection.execute(query).scalar_one()
    return counts


def _copy(connection: Connection, target: Store, progress: Progress) -> int:
    """Copy every table in the order of its key; return how many texts were changed."""
    changed = 0
    for table in TABLES:
        target.write_now(_empty, [table])
        query = select(table).order_by(*table.primary_key.columns)
        if table is installation:
            query = query.where(installation.c.name.not_in(OWN_VALUES))
        rows = connection.execution_options(yield_per=CHUNK).execute(query)
        for some in rows.mappings().partitions():
            [count] = target.write_now(_add, [(table, [dict(row) for row in some])])
            changed += count
            progress(len(some))
    return changed


@one_by_one
def _empty(connection: Connection, table: Table) -> None:
    if table is installation:
        connection.execute(delete(table).where(table.c.name.not_in(OWN_VALUES)))
    elif connection.dialect.name == "postgresql":
        connection.execute(text(f"TRUNCATE {table.name}"))  # in no time, however much there is
    else:
        connection.execute(delete(table))


@one_by_one
def _add(connection: Connection, some: tuple[Table, list[dict[str, Any]]]) -> int:
    """Add rows to a table; return how many texts had to be changed."""
    table, rows = some
    changed = 0
    if connection.dialect.name == "postgresql":
        fit = [(column.name, partial(_fitting, column.type)) for column in table.columns]
        for row in rows:
            for name, fitting in fit:
                value = fitting(row[name])
                changed += value is not row[name]
                row[name] = value
    connection.execute(insert(table), rows)
    return changed


def _fitting(kind: Any, value: Any) -> Any:
    """Return a value as PostgreSQL holds it: texts without NUL, no longer than the column's."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    length = kind.length if isinstance(kind, String) else None
    return value if length is None or len(value) <= length else value[:length]


def _finish(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
    """Have PostgreSQL number rows after the highest that came, and know what it holds."""
    if connection.dialect.name != "postgresql":
        return batch
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            # A daemon's number is never another's, also where its row is not there any more.
            others = (messages.c.daemon, ledger.c.daemon) if table is daemons else ()
            highest = [
                connection.execute(select(func.max(one))).scalar() or 0 for one in (column, *others)
            ]
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, max(highest) + 1, False)))
        connection.execute(text(f"ANALYZE {table.name}"))
    return batch


@one_by_one
def _give_up(connection: Connection, order: tuple[str, str]) -> None:
    """Let nobody serve what was moved, unless a daemon began to meanwhile."""
    where, words = order
    members.refuse_living(connection, [where])
    served.refuse(connection, [words])
