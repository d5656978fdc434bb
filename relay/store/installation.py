"""What an installation remembers: its servers' numbers and pauses, and values by name.

Numbers are given once, in the order in which the settings first named the servers. The mail of a
server that an operator paused is stored and not attempted, also after a restart.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, func, insert, select

from relay.store import values
from relay.store.cluster import versions
from relay.store.engine.database import Store
from relay.store.engine.expressions import lock, upsert
from relay.store.engine.writer import one_by_one
from relay.store.schema import installation, paused, servers

# Clients of Postmark's API take 0 and 1 for servers that do not exist.
FIRST = 2


@one_by_one
def number(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Number servers, where they have none yet; return those of all."""
    lock(connection, "servers")
    known = numbers(connection)
    new = [name for name in names if name not in known]
    if new:
        highest = connection.execute(select(func.max(servers.c.id))).scalar()
        first = FIRST if highest is None else highest + 1
        rows = [{"id": first + index, "name": name} for index, name in enumerate(new)]
        connection.execute(insert(servers), rows)
    return numbers(connection)


def numbers(connection: Connection) -> dict[str, int]:
    """Return the number of every server that ever was in the settings, by name."""
    return {row.name: row.id for row in connection.execute(select(servers))}


async def numbered(store: Store, names: Collection[str]) -> dict[str, int]:
    """Return the numbers of these servers, and of all that ever were in the settings, by name."""
    known = await store.read(numbers)
    if known.keys() >= set(names):
        return known
    return await store.write(number, sorted(names))


@one_by_one
def pause(connection: Connection, order: tuple[str, float]) -> bool:
    """Pause servers, each from a time on; return which were not paused before."""
    server, since = order
    added = upsert(connection, paused).values(server=server, since=since)
    new = added.on_conflict_do_nothing().returning(paused.c.server)
    if connection.execute(new).first() is None:
        return False
    versions.bump(connection, "pauses")
    return True


@one_by_one
def resume(connection: Connection, server: str) -> bool:
    """Let servers go on; return which were paused."""
    if not connection.execute(delete(paused).where(paused.c.server == server)).rowcount:
        return False
    versions.bump(connection, "pauses")
    return True


def paused_servers(connection: Connection) -> dict[str, float]:
    """Return the servers that are paused, each with the time since when it is."""
    query = select(paused.c.server, paused.c.since).order_by(paused.c.server)
    return {row.server: row.since for row in connection.execute(query)}


def schema(connection: Connection) -> str:
    """Return the version of the database's tables."""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


@one_by_one
def remember(connection: Connection, proposal: tuple[str, str]) -> str:
    """Return the remembered value of each name, or remember the one proposed."""
    name, proposed = proposal
    added = upsert(connection, installation).values(name=name, value=proposed)
    connection.execute(added.on_conflict_do_nothing())
    return str(values.find(connection, name))
