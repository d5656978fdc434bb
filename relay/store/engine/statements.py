"""Statements that run in every commit, written once, as the driver takes them.

SQLAlchemy knows a statement that it has written before, but goes over all values of all rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, Table, bindparam, insert
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.dialects.sqlite import pysqlite

Row = tuple[Any, ...]
# The engines as statements are written for them, with values by their places.
DIALECTS: Mapping[str, Any] = {
    "sqlite": pysqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}


class Written(NamedTuple):
    """A statement as a driver takes it; `in_order` puts the values of a row as it takes those."""

    text: str
    in_order: Callable[[Row], Row]

    def run(self, connection: Connection, *rows: Row) -> CursorResult[Any]:
        """Run it for one row of values, or in turn for several."""
        ordered = list(map(self.in_order, rows))
        return connection.exec_driver_sql(self.text, ordered if len(ordered) > 1 else ordered[0])


def written(engine: str, statement: Any, names: Sequence[str]) -> Written:
    """Write a statement for an engine.

    names: of the parameters, two or more, in the order in which rows have their values.
    """
    compiled = statement.compile(dialect=DIALECTS[engine])
    return Written(str(compiled), itemgetter(*map(names.index, compiled.positiontup)))


def insert_rows(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Insert rows, if there are any; names: of their columns, all that have no server's default."""
    if rows:
        _inserting(connection.dialect.name, table, names).run(connection, *rows)


@cache
def _inserting(engine: str, table: Table, names: tuple[str, ...]) -> Written:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return written(engine, insert(table).values(values), names)
