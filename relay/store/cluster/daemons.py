"""The daemons that share a database: each says now and then that it lives, or has lapsed.

Every time here is the database's: that of their machines may differ. What was being sent by one
that is not heard of any more is in doubt, and its own word on it counts no longer.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from relay.core.errors import ConfigurationError
from relay.core.states import State
from relay.store.cluster import leases
from relay.store.engine.expressions import clock_time
from relay.store.engine.writer import one_by_one
from relay.store.schema import IS_UNDECIDED, daemons, messages

# How often a daemon says that it lives, and for how long it counts as living without a word.
HEARTBEAT_SECONDS = 5.0
LAPSED_SECONDS = 30.0
# It stops sending so long before others may say that it lapsed.
MARGIN_SECONDS = 5.0
# For how long one that lapsed is listed.
LISTED_SECONDS = 86400.0


class Registration(NamedTuple):
    """What a daemon says of itself when it joins the others."""

    host: str
    pid: int
    version: str
    settings: str


class Heartbeat(NamedTuple):
    """A daemon's word that it lives, and how it is.

    offset: by how much its clock is ahead, in seconds. heard: how many changes it knows of, by
    topic. outages: the providers that fail it.
    """

    daemon: int
    address: str
    settings: str
    offset: float
    heard: Mapping[str, int]
    outages: Sequence[Mapping[str, Any]]


class Member(NamedTuple):
    """A daemon as the others see it. `sending` is how many messages it has claimed.

    age: seconds since it was heard of. heard, outages: as in its last heartbeat.
    """

    id: int
    host: str
    pid: int
    version: str
    address: str
    settings: str
    started_at: float
    age: float
    offset: float
    heard: Mapping[str, int]
    outages: Sequence[Mapping[str, Any]]
    is_living: bool
    is_leader: bool
    sending: int

    @property
    def name(self) -> str:
        """What it is called where a person reads it."""
        return f"daemon {self.id} on {self.host}"


class Identity:
    """The number of this process's daemon among those of its database.

    0 while it has none: on a database of its own, and for commands. `announced`: the events that
    webhooks of its settings ask for.
    """

    def __init__(self) -> None:
        self.number = 0
        self.announced: Collection[str] = frozenset()


def announced(connection: Connection) -> Collection[str]:
    """Return the events that webhooks ask for, by the settings of whoever writes here."""
    identity: Identity = connection.get_execution_options()["identity"]
    return identity.announced


def own_number(connection: Connection) -> int:
    """Return the number of the daemon whose connection this is; 0 where it has none."""
    identity: Identity = connection.get_execution_options()["identity"]
    return identity.number


def join(connection: Connection, new: Registration) -> int:
    """Register a daemon; return its number, which no other ever has."""
    values = {**new._asdict(), "started_at": clock_time(), "heartbeat_at": clock_time()}
    statement = insert(daemons).values(values).returning(daemons.c.id)
    return int(connection.execute(statement).scalar_one())


def beat(connection: Connection, heartbeat: Heartbeat) -> bool:
    """Say that a daemon lives; return whether it still counts as living."""
    columns = daemons.c
    statement = update(daemons).where(columns.id == heartbeat.daemon, columns.ended_at.is_(None))
    values = {
        "heartbeat_at": clock_time(),
        "address": heartbeat.address,
        "settings": heartbeat.settings,
        "offset": heartbeat.offset,
        "heard": json.dumps(dict(heartbeat.heard), sort_keys=True),
        "outages": json.dumps(list(heartbeat.outages)),
    }
    return connection.execute(statement.values(values)).rowcount == 1


def leave(connection: Connection, daemon: int) -> None:
    """Drop a daemon that stopped: what it left `sending` is nobody's."""
    connection.execute(delete(daemons).where(daemons.c.id == daemon))


def end_lapsed(connection: Connection) -> list[int]:
    """Call those ended that were not heard of for too long; return their numbers."""
    columns = daemons.c
    silent = (columns.ended_at.is_(None), columns.heartbeat_at < clock_time() - LAPSED_SECONDS)
    ended = update(daemons).where(*silent).values(ended_at=clock_time()).returning(columns.id)
    return list(connection.execute(ended).scalars())


def reported(connection: Connection, daemon: int, at: float) -> None:
    """Say up to when what a daemon's observers saw is written down."""
    connection.execute(update(daemons).where(daemons.c.id == daemon).values(reported_at=at))


def last_lapsed(connection: Connection) -> float:
    """Return when others last found that a daemon was not heard of any more; 0 for never."""
    return connection.execute(select(func.max(daemons.c.ended_at))).scalar() or 0.0


def forget(connection: Connection) -> None:
    """Drop those that lapsed long ago."""
    old = daemons.c.ended_at < clock_time() - LISTED_SECONDS
    connection.execute(delete(daemons).where(old))


def living() -> Select[tuple[int]]:
    """Make the query for the numbers of the daemons that count as living."""
    return select(daemons.c.id).where(daemons.c.ended_at.is_(None))


@one_by_one
def refuse_living(connection: Connection, where: str) -> None:
    """Raise ConfigurationError if a daemon runs on the database that is called so."""
    end_lapsed(connection)
    for one in members(connection):
        if one.is_living:
            words = f"{one.name} was heard of {one.age:.0f} s ago: stop it"
            hint = f"if it is gone, try again in {LAPSED_SECONDS:.0f} s"
            raise ConfigurationError(f"{where}: {words}; {hint}")


def members(connection: Connection) -> list[Member]:
    """List the daemons that live, and those that lapsed within a day, in the order they came."""
    leader = leases.holder(connection, leases.LEADER)
    is_sending = (IS_UNDECIDED, messages.c.state == State.SENDING)
    query = select(messages.c.daemon, func.count()).where(*is_sending).group_by(messages.c.daemon)
    sending = {row[0]: row[1] for row in connection.execute(query)}
    age = (clock_time() - daemons.c.heartbeat_at).label("age")
    rows = connection.execute(select(daemons, age).order_by(daemons.c.id))
    return [
        Member(
            id=row.id,
            host=row.host,
            pid=row.pid,
            version=row.version,
            address=row.address,
            settings=row.settings,
            started_at=row.started_at,
            age=row.age,
            offset=row.offset,
            heard=json.loads(row.heard),
            outages=json.loads(row.outages),
            is_living=row.ended_at is None,
            is_leader=row.id == leader,
            sending=sending.get(row.id, 0),
        )
        for row in rows
    ]


def outages(connection: Connection) -> list[Mapping[str, Any]]:
    """Return the providers that fail other daemons."""
    others = (daemons.c.ended_at.is_(None), daemons.c.id != own_number(connection))
    rows = connection.execute(select(daemons.c.outages).where(*others).order_by(daemons.c.id))
    return [one for row in rows for one in json.loads(row.outages)]


def deaf(connection: Connection, topic: str, number: int) -> list[Member]:
    """Return the daemons that live and have not heard of a topic's change of a number."""
    return [
        one for one in members(connection) if one.is_living and one.heard.get(topic, 0) < number
    ]
