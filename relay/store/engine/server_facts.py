"""What a PostgreSQL server is and allows, and what of it keeps a daemon from working with it."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from relay.store.engine.connecting import SAFE_COMMITS
from relay.store.engine.failures import words

# The oldest server that is tested, as `server_version_num` says it.
OLDEST = 140000

# Of one daemon: to write, to read, to hear of the others; and one for commands beside it.
CONNECTIONS = 7

_FACTS = text("""
    SELECT current_setting('server_version_num')::int AS version,
        current_setting('server_encoding') AS encoding,
        pg_is_in_recovery() AS is_standby,
        current_setting('transaction_read_only')::bool AS is_read_only,
        current_schema() AS schema,
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('fsync')::bool AS fsync,
        current_setting('full_page_writes')::bool AS full_page_writes,
        (SELECT min(most) FROM (
            SELECT current_setting('max_connections')::int
                - current_setting('superuser_reserved_connections')::int AS most
            UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user
            UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()
        ) limits WHERE most >= 0) AS connections,
        (SELECT min(relname::text) FROM pg_class
            WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'
            AND relname IN ('messages', 'contents', 'daemons', 'leases', 'alembic_version')
            AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
        ) AS forbidden
""")


class Facts(NamedTuple):
    """What a server says of itself, to this user and in this database.

    schema: where tables are made; None for nowhere. connections: how many there may be at most.
    forbidden: a table that is there and may not be read or written; None for none.
    """

    version: int
    encoding: str
    is_standby: bool
    is_read_only: bool
    schema: str | None
    may_create: bool
    synchronous_commit: str
    fsync: bool
    full_page_writes: bool
    connections: int
    forbidden: str | None


def ask(connection: Connection) -> Facts:
    """Ask a server for its facts."""
    return Facts(*connection.execute(_FACTS).one())


def obstacle(facts: Facts) -> str | None:
    """Say, in one line, why no daemon can work with such a server, and what to do; or None."""
    if facts.version < OLDEST:
        words = f"PostgreSQL {facts.version // 10000} is too old"
        return f"{words}: take {OLDEST // 10000} or a later one"
    if facts.is_standby:
        return "the server is a standby, which cannot be written: name the primary"
    if facts.is_read_only:
        return "the database is read only: switch default_transaction_read_only off"
    if facts.encoding != "UTF8":
        return f"its encoding is {facts.encoding}: make the database with ENCODING 'UTF8'"
    if facts.schema is None:
        return "no schema of its search_path is there: CREATE SCHEMA, or mend the search_path"
    if not facts.may_create:
        words = f"its user may not make tables in the schema {facts.schema}"
        return f"{words}: GRANT CREATE ON SCHEMA {facts.schema} to it"
    if facts.forbidden:
        return f"its user may not write to the table {facts.forbidden}: make it the tables' owner"
    if facts.synchronous_commit not in SAFE_COMMITS:
        words = f"synchronous_commit is {facts.synchronous_commit} again after it was set to on"
        return f"{words}: connect to the server itself, or to a pooler in session mode"
    return None


def pooler(first: Connection, second: Connection) -> str | None:
    """Say that sessions do not last, as behind a pooler that shares them out by transaction.

    first, second: two connections; while the second one uses what the first had, the first gets
    something else.
    """
    try:
        before = _session(first)
        first.rollback()
        second.execute(text("SELECT 1"))
        after = _session(first)
    except DBAPIError as error:
        return f"a second connection gets no answer ({words(error.orig)}): is there a pooler?"
    if before == after:
        return None
    said = "between this machine and the server a pooler shares sessions out by transaction"
    return f"{said}: connect to the server itself, or set the pooler's pool_mode to session"


def _session(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def warnings(facts: Facts, living: int) -> Iterator[str]:
    """Name what may lose mail, or keeps one more daemon away from those that live."""
    if not facts.fsync:
        yield "fsync is off on the server: when its machine fails, mail that was taken is lost"
    if not facts.full_page_writes:
        yield "full_page_writes is off on the server: when its machine fails, tables may break"
    needed = (living + 1) * CONNECTIONS
    if facts.connections < needed:
        words = f"the server allows {facts.connections} connections"
        yield f"{words}; {living + 1} daemons and their commands need {needed}"
