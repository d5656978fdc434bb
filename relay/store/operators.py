"""The people who may use the console, and their sessions, as rows.

Of links and sessions the digests alone are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from relay.store.engine.expressions import lock
from relay.store.engine.writer import one_by_one
from relay.store.schema import operator_sessions, operators

# By what a person proves who it is: a session begins only where none of it changed meanwhile.
_PROOF = ("password", "totp_secret", "totp_step", "recovery_codes", "subject", "link")
_DAY = 86400


class Person(NamedTuple):
    """Somebody who may use the console; what the columns mean is said where the table is."""

    id: int
    name: str
    role: str
    password: str | None
    totp_secret: str | None
    totp_step: int
    recovery_codes: str
    subject: str | None
    link: bytes | None
    link_until: float | None
    created_at: float
    seen_at: float | None
    removed_at: float | None


class Session(NamedTuple):
    """A person's session: since when, when last used, and from where it began."""

    person: Person
    created_at: float
    seen_at: float
    address: str


class Change(NamedTuple):
    """Other values of a person's row, where it is still as `expected` says.

    ends_sessions: whether all the person's sessions end with it.
    """

    id: int
    values: Mapping[str, Any]
    expected: Mapping[str, Any] = {}
    ends_sessions: bool = False


class NewSession(NamedTuple):
    """A session that begins, where the person is still who proved to be it.

    spent: what of the proof is good once, as other values of the person's row.
    """

    digest: bytes
    person: Person
    now: float
    address: str
    spent: Mapping[str, Any] = {}


class Ending(NamedTuple):
    """The sessions of a person that end: all but the one that has a digest."""

    operator: int
    kept: bytes = b""


def listed(connection: Connection) -> Sequence[Person]:
    """Return all who are not removed, by name."""
    query = _people().where(operators.c.removed_at.is_(None)).order_by(operators.c.name)
    return [Person(*row) for row in connection.execute(query)]


def by_name(connection: Connection, name: str) -> Person | None:
    """Find somebody by name, removed ones too."""
    row = connection.execute(_people().where(operators.c.name == name)).first()
    return None if row is None else Person(*row)


def by_subject(connection: Connection, subject: str) -> Person | None:
    """Find somebody by whom the identity provider means."""
    row = connection.execute(_people().where(operators.c.subject == subject)).first()
    return None if row is None else Person(*row)


def by_link(connection: Connection, digest: bytes, now: float) -> Person | None:
    """Find whose link this is, while it is good."""
    query = _people().where(operators.c.link == digest, operators.c.link_until > now)
    row = connection.execute(query.where(operators.c.removed_at.is_(None))).first()
    return None if row is None else Person(*row)


@one_by_one
def add(connection: Connection, values: Mapping[str, Any]) -> int | None:
    """Add each person; None where the name is taken. One who was removed comes back."""
    lock(connection, "operators")
    known = by_name(connection, values["name"])
    if known is None:
        added = insert(operators).values(values).returning(operators.c.id)
        return int(connection.execute(added).scalar_one())
    if known.removed_at is None:
        return None
    forgotten = {
        "password": None,
        "totp_secret": None,
        "totp_step": 0,
        "recovery_codes": "[]",
        "subject": None,
        "link": None,
        "link_until": None,
        "seen_at": None,
        "removed_at": None,
    }
    mine = update(operators).where(operators.c.id == known.id)
    connection.execute(mine.values({**forgotten, **values}))
    return known.id


@one_by_one
def add_first(connection: Connection, values: Mapping[str, Any]) -> int | None:
    """Add the first person; None where there is somebody, or was."""
    lock(connection, "operators")
    if connection.execute(select(func.count()).select_from(operators)).scalar_one():
        return None
    added = insert(operators).values(values).returning(operators.c.id)
    return int(connection.execute(added).scalar_one())


@one_by_one
def change(connection: Connection, one: Change) -> bool:
    """Change each row; False where it is not as expected any more."""
    query = update(operators).where(operators.c.id == one.id, operators.c.removed_at.is_(None))
    for name, value in one.expected.items():
        query = query.where(operators.c[name].is_not_distinct_from(value))
    is_changed = bool(connection.execute(query.values(dict(one.values))).rowcount)
    if is_changed and one.ends_sessions:
        end_sessions(connection, [Ending(one.id)])
    return is_changed


@one_by_one
def demote(connection: Connection, one: Change) -> bool:
    """Change each row of an admin who is not the last one; False for the last."""
    lock(connection, "operators")
    others = select(func.count()).where(
        operators.c.role == "admin", operators.c.removed_at.is_(None), operators.c.id != one.id
    )
    if not connection.execute(others).scalar_one():
        return False
    [changed] = change(connection, [one])
    return changed


@one_by_one
def begin_session(connection: Connection, one: NewSession) -> bool:
    """Begin sessions; False where the person's row changed since it was read."""
    proof = {name: getattr(one.person, name) for name in _PROOF}
    values = {**one.spent, "seen_at": one.now}
    [is_same] = change(connection, [Change(one.person.id, values, proof)])
    if is_same:
        times = {"created_at": one.now, "seen_at": one.now}
        whose = {"digest": one.digest, "operator": one.person.id, "address": one.address}
        connection.execute(insert(operator_sessions).values({**whose, **times}))
    return is_same


def session(connection: Connection, digest: bytes) -> Session | None:
    """Find a session of somebody who is not removed."""
    own = operator_sessions.c
    query = select(
        *_columns(), own.created_at.label("began"), own.seen_at.label("used"), own.address
    )
    query = query.join(operators, operators.c.id == own.operator)
    query = query.where(own.digest == digest, operators.c.removed_at.is_(None))
    row = connection.execute(query).first()
    return None if row is None else Session(Person(*row[:-3]), *row[-3:])


@one_by_one
def touch(connection: Connection, seen: tuple[bytes, int, float]) -> None:
    """Note that sessions were used: digest, person, time."""
    digest, operator, now = seen
    mine = update(operator_sessions).where(operator_sessions.c.digest == digest)
    connection.execute(mine.values(seen_at=now))
    connection.execute(update(operators).where(operators.c.id == operator).values(seen_at=now))


@one_by_one
def end_session(connection: Connection, digest: bytes) -> int:
    """End sessions by their digests; count them."""
    mine = delete(operator_sessions).where(operator_sessions.c.digest == digest)
    return connection.execute(mine).rowcount


@one_by_one
def end_sessions(connection: Connection, one: Ending) -> int:
    """End sessions of people; count them."""
    own = operator_sessions.c
    mine = delete(operator_sessions).where(own.operator == one.operator, own.digest != one.kept)
    return connection.execute(mine).rowcount


def sessions(connection: Connection, operator: int) -> int:
    """Count a person's sessions."""
    query = select(func.count()).where(operator_sessions.c.operator == operator)
    return int(connection.execute(query).scalar_one())


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Delete sessions that ended long ago; count them."""
    old = operator_sessions.c.created_at < now - _DAY
    return connection.execute(delete(operator_sessions).where(old)).rowcount


def _columns() -> list[Any]:
    return [operators.c[name] for name in Person._fields]


def _people() -> Any:
    return select(*_columns())
