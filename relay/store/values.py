"""What a database keeps of itself by name, one value each; every name has one place that writes it.

Nothing here knows what they mean.
"""

from sqlalchemy import ColumnElement, Connection, delete, select

from relay.store.engine.expressions import upsert
from relay.store.schema import installation


def find(connection: Connection, name: str) -> str | None:
    """Return a value; None where there is none."""
    value: str | None = connection.execute(
        select(installation.c.value).where(installation.c.name == name)
    ).scalar()
    return value


def put(connection: Connection, name: str, value: str | ColumnElement[str]) -> None:
    """Keep a value, in the place of the one before."""
    added = upsert(connection, installation).values(name=name, value=value)
    values = {"value": added.excluded.value}
    connection.execute(added.on_conflict_do_update(index_elements=["name"], set_=values))


def remove(connection: Connection, name: str) -> None:
    """Keep a value no longer."""
    connection.execute(delete(installation).where(installation.c.name == name))
