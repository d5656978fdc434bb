"""What an operator should know of a PostgreSQL server before daemons rely on it."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select, text

from relay.store.cluster import daemons
from relay.store.cluster.membership import OFFSET_SECONDS, clock_offset
from relay.store.cluster.versions import CHANNEL
from relay.store.engine import server_facts
from relay.store.engine.migrate import current_schema, newest_schema
from relay.store.engine.postgresql import Postgresql

# How long a word to all daemons may take to be heard here.
HEAR_SECONDS = 3.0


def notes(server: Postgresql) -> Iterator[str]:
    """Name what a server lacks; raise ConfigurationError for one that no daemon can work with."""
    facts = server.examine()
    with server.watching() as connection:
        current = current_schema(connection)
        living = _living(connection) if current == newest_schema() else 0
        yield from server_facts.warnings(facts, living)
        if current not in (None, newest_schema()):
            yield (
                f"the database's schema is {current}, this program's {newest_schema()}: "
                "an older one is brought up to date when a daemon starts"
            )
        offset = clock_offset(connection)
        if abs(offset) > OFFSET_SECONDS:
            way = "ahead of" if offset > 0 else "behind"
            yield f"this machine's clock is {abs(offset):.0f} seconds {way} the database's"
        connection.execute(text(f"NOTIFY {CHANNEL}"))
        if not server.wait_for_change(connection, HEAR_SECONDS):
            yield "LISTEN hears nothing: connect to the server itself, without a pooler between"


def has_schema(server: Postgresql) -> bool:
    """Whether the tables are there as this program knows them."""
    with server.watching() as connection:
        return current_schema(connection) == newest_schema()


def _living(connection: Connection) -> int:
    query = select(func.count()).select_from(daemons.living().subquery())
    return connection.execute(query).scalar_one()
