"""Whether a database may be served: not one whose mail is elsewhere, or may have been sent since.

What a dump put back is known by a row that says of itself in which transaction, table and database
it was written: put back, it was written by another one, or copied into another.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, literal_column, select

from relay.core.errors import ConfigurationError
from relay.store import values
from relay.store.engine.writer import one_by_one
from relay.store.schema import installation

# Names in `installation`: why a database is not served; and the row that tells of a dump.
NOT_SERVED, ORIGIN = "not_served", "origin"

_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_THIS_WRITING: ColumnElement[str] = literal_column(
    f"pg_current_xact_id()::xid || '/' || 'installation'::regclass::oid || '/' || {_DATABASE}"
)
_ITS_WRITING: ColumnElement[str] = literal_column(f"xmin || '/' || tableoid || '/' || {_DATABASE}")


@one_by_one
def check(connection: Connection, where: str) -> None:
    """Raise ConfigurationError for a database that may not be served."""
    words = why_not(connection)
    if words:
        raise ConfigurationError(f"{where}: {words}")
    if is_put_back(connection):
        hint = "what waited in it may have been sent since: `run.py restore --check`"
        raise ConfigurationError(f"{where}: it was put back from a dump, and {hint}")


def why_not(connection: Connection) -> str:
    """Return why a database is not served, in the words that were kept; "" where it is."""
    return values.find(connection, NOT_SERVED) or ""


@one_by_one
def refuse(connection: Connection, words: str) -> None:
    """Let nobody serve a database from here on, and say why; "" ends that."""
    if words:
        values.put(connection, NOT_SERVED, words)
    else:
        connection.execute(delete(installation).where(installation.c.name == NOT_SERVED))


def is_put_back(connection: Connection) -> bool:
    """Return whether a dump was put back, and nobody has said since that it may be served."""
    if connection.dialect.name != "postgresql":
        return False
    query = select(installation.c.value, _ITS_WRITING).where(installation.c.name == ORIGIN)
    found = connection.execute(query).first()
    if found is None:
        mark(connection, [None])
        return False
    said, is_so = found
    return bool(said != is_so)


def mark(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
    """Note of a server's database that it is no dump's, or may be served although it is."""
    values.put(connection, ORIGIN, _THIS_WRITING)
    return batch
