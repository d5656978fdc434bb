"""The servers' numbers: given once, in the order in which the settings first named them."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, insert, select

from relay.store.engine.database import Store
from relay.store.schema import servers

# Clients of Postmark's API take 0 and 1 for servers that do not exist.
FIRST = 2


def number(connection: Connection, batch: Sequence[Sequence[str]]) -> list[dict[str, int]]:
    """Number servers, where they have none yet; return those of all."""
    results = []
    for names in batch:
        known = numbers(connection)
        new = [name for name in names if name not in known]
        if new:
            highest = connection.execute(select(func.max(servers.c.id))).scalar()
            first = FIRST if highest is None else highest + 1
            rows = [{"id": first + index, "name": name} for index, name in enumerate(new)]
            connection.execute(insert(servers), rows)
        results.append(numbers(connection))
    return results


def numbers(connection: Connection) -> dict[str, int]:
    """Return the number of every server that ever was in the settings, by name."""
    return {row.name: row.id for row in connection.execute(select(servers))}


async def numbered(store: Store, names: Collection[str]) -> dict[str, int]:
    """Return the numbers of these servers, and of all that ever were in the settings, by name."""
    known = await store.read(numbers)
    if known.keys() >= set(names):
        return known
    return await store.write(number, sorted(names))
