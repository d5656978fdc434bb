"""What a person has to decide, in groups of the same state, server and cause."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, select

from relay.core.states import UNSEEN, State
from relay.store.outbox.operator_actions import is_dismissed
from relay.store.schema import BROKEN, IS_MAIL, IS_UNSENT, messages

# What a person decides about; of what is in doubt, what no look-up has settled for so long.
STATES = (State.HELD, State.IN_DOUBT, *UNSEEN)
DOUBT_SECONDS = 1800.0
# Groups are made of so many messages of a state, the newest ones; a group itself has no end.
LOOKED_AT = 2000
CHUNK = 500

_PARTICULARS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}"), "(id)"),
    (re.compile(r"[\w.+-]+@[\w.-]+\w"), "(address)"),
    (re.compile(r"\b[0-9a-fA-F]{12,}\b"), "(number)"),
    (re.compile(r"\b\d{4,}\b"), "(number)"),
)


class Group(NamedTuple):
    """Messages that a person has to decide about for the same cause.

    broken: submissions that a plugin failed at, which are no messages yet.
    """

    state: State
    server: str
    cause: str
    broken: bool


class GroupSummary(NamedTuple):
    """What a group is shown with: how many are among those looked at, some ids, since when."""

    group: Group
    number: int
    ids: list[str]
    oldest: float
    newest: float


def groups(connection: Connection, now: float) -> list[GroupSummary]:
    """Return the groups, the largest first."""
    found: dict[Group, GroupSummary] = {}
    for state in STATES:
        for id, group, at in _rows(connection, state, None, now, LOOKED_AT):
            known = found.get(group)
            if known is None:
                found[group] = GroupSummary(group, 1, [id], at, at)
            else:
                ids = [*known.ids, id][:5]
                found[group] = known._replace(number=known.number + 1, ids=ids, oldest=at)
    return sorted(found.values(), key=lambda one: -one.number)


def members(connection: Connection, wanted: Group, now: float) -> Iterator[list[str]]:
    """Return the ids of all that is in a group, a chunk at a time, newest first."""
    below: str | None = None
    while True:
        rows = list(_rows(connection, wanted.state, below, now, CHUNK, wanted.server))
        ids = [id for id, group, _ in rows if group == wanted]
        if ids:
            yield ids
        if len(rows) < CHUNK:
            return
        below = rows[-1][0]


def cause_of(words: str) -> str:
    """Return words without what is one message's alone: its id, an address, long numbers."""
    for pattern, instead in _PARTICULARS:
        words = pattern.sub(instead, words)
    return words[:200]


def _rows(
    connection: Connection,
    state: State,
    below: str | None,
    now: float,
    limit: int,
    server: str | None = None,
) -> Iterator[tuple[str, Group, float]]:
    columns = ("id", "server", "words", "kind", "created_at")
    query = select(*(messages.c[name] for name in columns)).where(
        IS_UNSENT, IS_MAIL, messages.c.state == state, ~is_dismissed()
    )
    if below is not None:
        query = query.where(messages.c.id < below)
    if server is not None:
        query = query.where(messages.c.server == server)
    if state == State.IN_DOUBT:
        query = query.where(messages.c.created_at < now - DOUBT_SECONDS)
    for row in connection.execute(query.order_by(messages.c.id.desc()).limit(limit)):
        group = Group(state, row.server, cause_of(row.words or ""), row.kind == BROKEN)
        yield row.id, group, row.created_at
