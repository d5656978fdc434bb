"""Servers that an operator paused: their mail is stored and not attempted, also after a restart."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from relay.store.schema import paused


def pause(connection: Connection, batch: Sequence[tuple[str, float]]) -> list[bool]:
    """Pause servers, each from a time on; return which were not paused before."""
    return [_pause(connection, server, since) for server, since in batch]


def _pause(connection: Connection, server: str, since: float) -> bool:
    if server in servers(connection):
        return False
    connection.execute(insert(paused).values(server=server, since=since))
    return True


def resume(connection: Connection, batch: Sequence[str]) -> list[bool]:
    """Let servers go on; return which were paused."""
    return [
        connection.execute(delete(paused).where(paused.c.server == server)).rowcount == 1
        for server in batch
    ]


def servers(connection: Connection) -> dict[str, float]:
    """Return the servers that are paused, each with the time since when it is."""
    query = select(paused.c.server, paused.c.since).order_by(paused.c.server)
    return {row.server: row.since for row in connection.execute(query)}
