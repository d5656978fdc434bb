"""Calls to webhooks: made of what was announced, kept until they are taken or given up."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)

from relay.store.engine.expressions import member, upsert
from relay.store.engine.writer import one_by_one
from relay.store.schema import (
    contents,
    messages,
    receipts,
    webhook_calls,
    webhook_events,
    webhook_targets,
)

# How old a call may become, and for how long it is listed once it is over.
MAX_AGE_SECONDS = 72 * 3600.0
KEPT_SECONDS = 7 * 86400.0
# Where nothing but failures comes for so long, nothing is called any more.
PATIENCE_SECONDS = 86400.0


class Event(NamedTuple):
    """Something that was announced, and what is stored of its message; `metadata` as JSON."""

    id: int
    message: str
    kind: str
    at: float
    words: str
    recipient: str
    server: str
    state: str
    provider_id: str | None
    reference: str | None
    recipients: str | None
    metadata: str | None
    canary: bool = False


class NewCall(NamedTuple):
    """A call that is to be made; `body` is what is sent, as JSON."""

    id: str
    target: str
    message: str | None
    kind: str
    body: str
    since: float


class Call(NamedTuple):
    """A call as it is stored: see the columns of the table."""

    id: str
    target: str
    message: str | None
    kind: str
    body: str
    since: float
    due_at: float | None
    tries: int
    answer: str
    tried_at: float | None
    taken_at: float | None


class Outcome(NamedTuple):
    """What came of a call: taken, to be made again at `due_at`, or given up.

    since: the call's as it was made; of one that was ordered again meanwhile nothing came yet.
    """

    id: str
    since: float
    at: float
    answer: str
    taken: bool
    due_at: float | None = None


class Outcomes(NamedTuple):
    """What came of calls to one target; `gone`: that it says that it is no more."""

    target: str
    each: Sequence[Outcome]
    gone: bool = False


class TargetState(NamedTuple):
    """How a target does: since when all calls fail, and since when it is switched off."""

    failing_since: float | None = None
    off_since: float | None = None


class Counts(NamedTuple):
    """A target's calls: how many wait and since when, and when one was taken last."""

    waiting: int = 0
    oldest: float | None = None
    taken_at: float | None = None


def announced(connection: Connection, limit: int) -> Sequence[Event]:
    """Return what was announced and no calls were made of yet, oldest first."""
    columns = (
        *(webhook_events.c[name] for name in Event._fields[:6]),
        *(messages.c.server, messages.c.state, messages.c.provider_id, receipts.c.reference),
        contents.c.recipients,
        member(func.nullif(contents.c.document, ""), "metadata"),
        messages.c.canary,
    )
    query = (
        select(*columns)
        .join(messages, messages.c.id == webhook_events.c.message)
        .outerjoin(contents, contents.c.id == messages.c.id)
        .outerjoin(receipts, receipts.c.message == messages.c.id)
    )
    rows = connection.execute(query.order_by(webhook_events.c.id).limit(limit))
    return [Event(*row) for row in rows]


@one_by_one
def make(connection: Connection, made: Mapping[int, Sequence[NewCall]]) -> int:
    """Store the calls that are made of announced events, by the event; each once; count them."""
    done = delete(webhook_events).where(webhook_events.c.id.in_(made))
    mine = connection.execute(done.returning(webhook_events.c.id)).scalars().all()
    return add(connection, [call for id in mine for call in made[id]])


def add(connection: Connection, calls: Sequence[NewCall]) -> int:
    """Store calls that are due at once; count them."""
    if calls:
        rows = [{**one._asdict(), "due_at": one.since} for one in calls]
        connection.execute(insert(webhook_calls), rows)
    return len(calls)


def due(connection: Connection, target: str, now: float, limit: int) -> Sequence[Call]:
    """Return calls to a target that are to be made now, those that wait longest first."""
    query = _calls().where(webhook_calls.c.target == target, webhook_calls.c.due_at <= now)
    rows = connection.execute(query.order_by(webhook_calls.c.due_at).limit(limit))
    return [Call(*row) for row in rows]


def page(connection: Connection, target: str, below: str | None, limit: int) -> Sequence[Call]:
    """List calls to a target, newest first, from below an id on."""
    query = _calls().where(webhook_calls.c.target == target)
    if below is not None:
        query = query.where(webhook_calls.c.id < below)
    rows = connection.execute(query.order_by(webhook_calls.c.id.desc()).limit(limit))
    return [Call(*row) for row in rows]


def targets(connection: Connection) -> dict[str, TargetState]:
    """Return how targets do, by name: all that ever failed."""
    return {
        row.name: TargetState(row.failing_since, row.off_since)
        for row in connection.execute(select(webhook_targets))
    }


def counts(connection: Connection) -> dict[str, Counts]:
    """Count the calls to each target."""
    calls = webhook_calls.c
    waits = calls.due_at.is_not(None)
    numbers = (func.sum(case((waits, 1), else_=0)), func.min(case((waits, calls.since))))
    query = select(calls.target, *numbers, func.max(calls.taken_at)).group_by(calls.target)
    return {name: Counts(*rest) for name, *rest in connection.execute(query)}


@one_by_one
def settle(connection: Connection, one: Outcomes) -> bool:
    """Record what came of calls; return whether their target is switched off by it."""
    rows = [
        {
            "of": each.id,
            "old_since": each.since,
            "new_due_at": each.due_at,
            "new_answer": each.answer[:200],
            "new_tried_at": each.at,
            "new_taken_at": each.at if each.taken else None,
        }
        for each in one.each
    ]
    connection.execute(_SETTLING, rows)
    before = targets(connection).get(one.target, TargetState())
    last = max(each.at for each in one.each)
    failing = None if any(each.taken for each in one.each) else before.failing_since or last
    is_over = failing is not None and last - failing >= PATIENCE_SECONDS
    goes_off = before.off_since is None and (one.gone or is_over)
    after = TargetState(failing, last if goes_off else before.off_since)
    if after != before:
        _put(connection, one.target, after)
    return goes_off


@one_by_one
def switch_on(connection: Connection, order: tuple[str, float]) -> bool:
    """Let a target be called again, with all that waits; return whether it was off."""
    name, now = order
    was = targets(connection).get(name, TargetState()).off_since is not None
    _put(connection, name, TargetState())
    waiting = update(webhook_calls).where(
        webhook_calls.c.target == name, webhook_calls.c.due_at > now
    )
    connection.execute(waiting.values(due_at=now))
    return was


@one_by_one
def fire(connection: Connection, order: tuple[str, float]) -> str:
    """Make a call again, whatever came of it; return its target, "" where there is no such call."""
    id, now = order
    again = update(webhook_calls).where(webhook_calls.c.id == id)
    again = again.values(due_at=now, since=now, tries=0, taken_at=None)
    return connection.execute(again.returning(webhook_calls.c.target)).scalar() or ""


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Call no more what nobody took in time, drop what is over since days; count that."""
    old = webhook_calls.c.since < now - MAX_AGE_SECONDS
    late = update(webhook_calls).where(old, webhook_calls.c.due_at.is_not(None))
    connection.execute(late.values(due_at=None))
    left = webhook_events.c.at < now - MAX_AGE_SECONDS  # no webhook is there any more
    connection.execute(delete(webhook_events).where(left))
    over = webhook_calls.c.since < now - KEPT_SECONDS
    return connection.execute(delete(webhook_calls).where(over)).rowcount


def clear(connection: Connection, ids: Sequence[str]) -> None:
    """Drop the calls about messages that are over."""
    over = and_(webhook_calls.c.message.in_(ids), webhook_calls.c.due_at.is_(None))
    connection.execute(delete(webhook_calls).where(over))


def _put(connection: Connection, name: str, state: TargetState) -> None:
    added = upsert(connection, webhook_targets).values(name=name, **state._asdict())
    changed = added.on_conflict_do_update(index_elements=["name"], set_=state._asdict())
    connection.execute(changed)


def _calls() -> Select[Any]:
    return select(*(webhook_calls.c[name] for name in Call._fields))


_SETTLING = (
    update(webhook_calls)
    .where(webhook_calls.c.id == bindparam("of"), webhook_calls.c.since == bindparam("old_since"))
    .values(
        tries=webhook_calls.c.tries + 1,
        **{name: bindparam(f"new_{name}") for name in ("due_at", "answer", "tried_at", "taken_at")},
    )
)
