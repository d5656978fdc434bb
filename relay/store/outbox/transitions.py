"""The one place where a message's state changes: guarded, so that a view of yesterday changes none.

A change names the states that it may come from and, where there is a claim, its fence; both are
conditions of the UPDATE itself. What a caller read before may be old: it learns whether it was.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, text, update

from relay.core import states
from relay.core.states import State
from relay.store.engine.expressions import is_listed
from relay.store.engine.statements import Row, Written, written
from relay.store.outbox.announcements import Announcement, announce
from relay.store.schema import messages


class Change(NamedTuple):
    """That a message in one of the states `sources` becomes `to`.

    values: what else changes of its row. expected: what else must be true of it, such as its fence.
    ordered: by an operator, not by itself.
    """

    sources: tuple[State, ...]
    to: State
    values: Mapping[str, Any] = {}
    expected: Mapping[str, Any] = {}
    ordered: bool = False


def change(connection: Connection, ids: Sequence[str], change: Change) -> set[str]:
    """Make the same change of several messages; return the ids of those that it changed.

    Raise ForbiddenTransition for one that the table does not have.
    """
    states.check(change.sources, change.to, ordered=change.ordered)
    statement, row = _bound(connection, json.dumps(list(ids)), change, many=True)
    changed = set(statement.run(connection, row).scalars().all())
    announce(connection, (_announcement(id, change) for id in ids if id in changed))
    return changed


def change_each(connection: Connection, changes: Sequence[tuple[str, Change]]) -> list[bool]:
    """Make a change of its own of each message, in this order; return which changed theirs.

    Raise ForbiddenTransition, before anything is changed, for one that the table does not have.
    """
    for sources, to, ordered in {(one.sources, one.to, one.ordered) for _, one in changes}:
        states.check(sources, to, ordered=ordered)
    updates = [_bound(connection, id, one) for id, one in changes]
    if len({id for id, _ in changes}) == len(changes) > 1 and _all_change(connection, updates):
        made = [True] * len(changes)
    else:
        made = [statement.run(connection, row).rowcount == 1 for statement, row in updates]
    done = (one for one, is_made in zip(changes, made, strict=True) if is_made)
    announce(connection, (_announcement(id, one) for id, one in done))
    return made


def _announcement(id: str, change: Change) -> Announcement:
    return Announcement(id, change.to, change.values.get("words", ""))


def _all_change(connection: Connection, updates: Sequence[tuple[Written, Row]]) -> bool:
    """Make all changes if none of them comes too late, else none; return whether they are made.

    As a rule none does, and a thousand at once take a tenth of the time of one after the other.
    """
    together: dict[Written, list[Row]] = {}
    for statement, row in updates:
        together.setdefault(statement, []).append(row)
    attempt = connection.begin_nested()
    for statement, rows in together.items():
        if statement.run(connection, *rows).rowcount != len(rows):
            attempt.rollback()
            return False
    attempt.commit()
    return True


def _bound(
    connection: Connection, of: str, change: Change, *, many: bool = False
) -> tuple[Written, Row]:
    """Return the statement for a change, and what it is bound to.

    of: the message, or several as a JSON list.
    """
    sources, to, values, expected, _ = change
    statement = _statement(connection.dialect.name, sources, tuple(expected), tuple(values), many)
    return statement, (of, str(to), *values.values(), *expected.values())


@cache
def _statement(
    engine: str,
    sources: tuple[State, ...],
    expected: tuple[str, ...],
    values: tuple[str, ...],
    many: bool,
) -> Written:
    """Write the guarded UPDATE, once: to write a statement takes longer than to run it.

    It is bound to the message or messages, the new values, the old.
    """
    named = is_listed(messages.c.id, bindparam("of", type_=Text))
    guarded = update(messages).where(
        named if many else messages.c.id == bindparam("of"),
        text(f"messages.state IN {states.in_sql(sources)}"),
        *(messages.c[name].is_not_distinct_from(bindparam(f"old_{name}")) for name in expected),
    )
    new, old = [f"new_{name}" for name in values], [f"old_{name}" for name in expected]
    changed = guarded.values({name: bindparam(f"new_{name}") for name in ("state", *values)})
    whole = changed.returning(messages.c.id) if many else changed
    return written(engine, whole, ["of", "new_state", *new, *old])
