"""What the installation remembers of itself, by name."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from relay.store.schema import installation


def remember(connection: Connection, batch: Sequence[tuple[str, str]]) -> list[str]:
    """Return the remembered value of each name, or remember the one proposed."""
    values = []
    for name, proposed in batch:
        query = select(installation.c.value).where(installation.c.name == name)
        value = connection.execute(query).scalar()
        if value is None:
            connection.execute(insert(installation).values(name=name, value=proposed))
            value = proposed
        values.append(value)
    return values
