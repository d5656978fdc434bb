"""How often what daemons keep in memory was changed, so that all of them hear of every change.

An operation that changes such a thing calls `bump` in the same commit.
"""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import Connection, select, text

from relay.store.engine.expressions import upsert
from relay.store.engine.writer import one_by_one
from relay.store.schema import versions

# `mail`: what waits in the outbox, where no daemon put it there.
Topic = Literal["keys", "pauses", "suppressions", "mail"]

# What daemons listen to. One word for all: PostgreSQL tells equal ones of a commit once.
CHANNEL = "relay_changed"


def bump(connection: Connection, topic: Topic) -> int:
    """Note a change, and tell whoever listens once it is committed; return its number."""
    added = upsert(connection, versions).values(topic=topic, number=1)
    statement = added.on_conflict_do_update(
        index_elements=["topic"], set_={"number": versions.c.number + 1}
    ).returning(versions.c.number)
    number = int(connection.execute(statement).scalar_one())
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))
    return number


def numbers(connection: Connection) -> Mapping[str, int]:
    """Return the number of the last change, by topic."""
    return {row.topic: row.number for row in connection.execute(select(versions))}


@one_by_one
def mail_waits(connection: Connection, nothing: None) -> int:
    """Have all daemons look for mail that none of them stored."""
    return bump(connection, "mail")
