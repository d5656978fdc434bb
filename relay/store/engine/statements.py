"""Statements that run in every commit, written once, as the driver takes them.

SQLAlchemy knows a statement that it has written before, but goes over all values of all rows.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, Dialect, Table, bindparam, insert

Row = tuple[Any, ...]


class Written(NamedTuple):
    """A statement as a driver takes it; `in_order` puts the values of a row as it takes those."""

    text: str
    in_order: Callable[[Row], Row]

    def run(self, connection: Connection, *rows: Row) -> CursorResult[Any]:
        """Run it for one row of values, or in turn for several."""
        ordered = list(map(self.in_order, rows))
        return connection.exec_driver_sql(self.text, ordered if len(ordered) > 1 else ordered[0])


def written(dialect: Dialect, statement: Any, names: Sequence[str]) -> Written:
    """Write a statement; names: of the parameters, in the order in which rows have their values.

    There are two or more of them.
    """
    by_position: Any = type(dialect)
    style = "qmark" if dialect.name == "sqlite" else "format"
    compiled = statement.compile(dialect=by_position(paramstyle=style))
    return Written(str(compiled), itemgetter(*map(names.index, compiled.positiontup)))


def insert_rows(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Insert rows, if there are any; names: of their columns, all that have no server's default."""
    if rows:
        _inserting(connection.dialect, table, names).run(connection, *rows)


@cache
def _inserting(dialect: Dialect, table: Table, names: tuple[str, ...]) -> Written:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return written(dialect, insert(table).values(values), names)
