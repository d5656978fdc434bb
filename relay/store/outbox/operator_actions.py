"""What an operator orders about messages: each order is done, with an event, where it applies.

A message is guarded by its state: what it does not apply to is left as it is, and the verdict says
why. Whatever would be sent again though it may have been sent needs the operator's word for it.
A scheduled message may be cancelled by whoever scheduled it, until its time has come.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from relay.core.states import DOUBTFUL, UNSEEN, WAITING, State
from relay.core.times import shown
from relay.store.engine.writer import one_by_one
from relay.store.outbox import ledger, references
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.transitions import Change, change
from relay.store.schema import BROKEN, IS_MAIL, attempts, events, messages

# Events after which nobody knows whether the provider has a message, and the one that tells.
_LOST = ("interrupted", "restored")
_CLEARED_UP = "absent"
# Who ordered, in the words of a history, where nobody said more.
SOMEBODY = "the operator"
_MEANWHILE = "it changed in the meantime"
_TOLD = "its writer was told that it was not delivered, and will hear no more of it"


class Order(NamedTuple):
    """An order about messages, given at a time.

    twice: whether the operator agreed to a message that may arrive twice. who: the one who ordered.
    """

    ids: Sequence[str]
    now: float
    twice: bool = False
    who: str = SOMEBODY


class Verdict(NamedTuple):
    """What came of an order for one message: its state before and after, or why nothing was done.

    `before` is "" for a message that is not there, `after` is "" where the order does not apply.
    server: the message's, where it is one.
    """

    id: str
    before: str
    after: str
    words: str
    server: str = ""

    @property
    def done(self) -> bool:
        """Whether the order was carried out."""
        return bool(self.after)


class _Action(NamedTuple):
    done: str
    states: tuple[State, ...]
    after: State | None
    sends: bool


_RETRY = _Action("retried", (State.QUEUED, *UNSEEN, State.IN_DOUBT), State.QUEUED, sends=True)
_RELEASE = _Action(
    "released", (State.HELD, State.QUARANTINED, State.IN_DOUBT), State.QUEUED, sends=True
)
_CANCEL = _Action(State.CANCELLED, (*WAITING, State.HELD), State.CANCELLED, sends=False)
_FOUND = _Action("found", (*DOUBTFUL, *UNSEEN), State.SENT, sends=False)
_DISMISS = _Action("dismissed", UNSEEN, None, sends=False)


@one_by_one
def retry(connection: Connection, order: Order) -> list[Verdict]:
    """Queue what failed, expired, is quarantined or in doubt; try now what is queued for later."""
    return _carry_out(connection, order, _RETRY)


@one_by_one
def release(connection: Connection, order: Order) -> list[Verdict]:
    """Queue messages that are held, quarantined or in doubt."""
    return _carry_out(connection, order, _RELEASE)


@one_by_one
def cancel(connection: Connection, order: Order) -> list[Verdict]:
    """Never send messages that wait: queued, scheduled, held."""
    return _carry_out(connection, order, _CANCEL)


@one_by_one
def found(connection: Connection, order: Order) -> list[Verdict]:
    """Call messages sent that a person found at the provider."""
    return _carry_out(connection, order, _FOUND)


@one_by_one
def dismiss(connection: Connection, order: Order) -> list[Verdict]:
    """Note that a person has seen what failed, expired or is quarantined; it may be cleared."""
    return _carry_out(connection, order, _DISMISS)


_ACTIONS = {
    retry: _RETRY,
    release: _RELEASE,
    cancel: _CANCEL,
    found: _FOUND,
    dismiss: _DISMISS,
}
OPERATIONS = {operation.__name__: operation for operation in _ACTIONS}
# The states to which each operation applies, and those operations after which mail is sent.
APPLIES_TO = {operation.__name__: action.states for operation, action in _ACTIONS.items()}
SENDING = tuple(operation.__name__ for operation, action in _ACTIONS.items() if action.sends)


def doubtful(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these messages the provider may have, though they are not called sent."""
    query = select(messages.c.id, messages.c.state).where(messages.c.id.in_(ids))
    states = {row.id: row.state for row in connection.execute(query)}
    lost = _latest(connection, attempts, ids, attempts.c.outcome == State.IN_DOUBT)
    for id, at in _latest(connection, events, ids, events.c.kind.in_(_LOST)).items():
        lost[id] = max(at, lost.get(id, at))
    clear = _latest(connection, events, ids, events.c.kind == _CLEARED_UP)
    unsure = {id for id, state in states.items() if state == State.IN_DOUBT}
    # What is held was left to a person while it was in doubt: one absence was not enough.
    return unsure | {
        id for id, at in lost.items() if states[id] == State.HELD or clear.get(id, at - 1) < at
    }


def is_dismissed(row: Any = messages.c) -> ColumnElement[bool]:
    """Make the condition that a person dismissed a message, and nobody revived it since.

    row: what its id and state are columns of.
    """
    latest = (
        select(events.c.kind)
        .where(
            events.c.message == row.id,
            events.c.kind.in_((_DISMISS.done, _RETRY.done, _RELEASE.done)),
        )
        .order_by(events.c.id.desc())
        .limit(1)
    )
    dismissed: ColumnElement[bool] = func.coalesce(latest.scalar_subquery(), "") == _DISMISS.done
    may_be: ColumnElement[bool] = row.state.in_(UNSEEN)
    return may_be & dismissed


def _latest(
    connection: Connection, table: Any, ids: Sequence[str], condition: ColumnElement[bool]
) -> dict[str, float]:
    at = table.c.ended_at if table is attempts else table.c.at
    query = select(table.c.message, func.max(at)).where(table.c.message.in_(ids), condition)
    return {row[0]: row[1] for row in connection.execute(query.group_by(table.c.message))}


def _carry_out(connection: Connection, order: Order, action: _Action) -> list[Verdict]:
    ids = list(dict.fromkeys(order.ids))
    columns = [messages.c[name] for name in ("id", "server", "state", "kind", "cleared_at")]
    query = select(*columns, is_dismissed()).where(IS_MAIL)
    rows = {row.id: row for row in connection.execute(query.where(messages.c.id.in_(ids)))}
    unsure = doubtful(connection, ids) if action.sends else set()
    told = references.told_of_loss(connection, ids) if action.sends else set()
    verdicts = []
    for id in ids:
        row = rows.get(id)
        objection = _objection(row, action, unsure=id in unsure and not order.twice)
        after = "" if objection or row is None else action.after or row.state
        words = f"{action.done}; {_TOLD}" if id in told else action.done
        before, server = (row.state, row.server) if row else ("", "")
        verdicts.append(Verdict(id, before, after, objection or words, server))
    agreed = [verdict for verdict in verdicts if verdict.done]
    changed = _changed(connection, agreed, order, action, unsure)
    _note(connection, [one for one in agreed if one.id in changed], order, action, unsure)
    if action.after is not None:
        counts = ledger.BECAME[action.after]
        ledger.record(connection, ((rows[id].server, order.now, counts) for id in changed))
    return [
        one._replace(after="", words=_MEANWHILE) if one.done and one.id not in changed else one
        for one in verdicts
    ]


def _objection(row: Any, action: _Action, *, unsure: bool) -> str:
    """Say why an order does not apply to a message; "" where it does."""
    if row is None:
        return "there is no such message"
    if row.state not in action.states:
        return f"it is {row.state}; only what is {', '.join(action.states)} can be {action.done}"
    if action is _DISMISS:
        return "it was dismissed before" if row[-1] else ""
    if row.kind == BROKEN:
        return "it is no message yet: `run.py screened release` makes it one"
    if action.sends and row.cleared_at is not None:
        return f"its contents were cleared on {shown(row.cleared_at)}"
    if unsure:
        return "the provider may have it, so that it may arrive twice; nobody agreed to that"
    return ""


def _changed(
    connection: Connection,
    agreed: Sequence[Verdict],
    order: Order,
    action: _Action,
    unsure: set[str],
) -> set[str]:
    """Change what an order applies to, where it is still as it was read; return their ids."""
    if action.after is None:
        return {verdict.id for verdict in agreed}
    values: dict[str, Any] = {"due_at": order.now}
    expected: dict[str, Any] = {}
    if action.sends:
        values |= {"since": order.now, "looks": 0, "absences": 0}
        expected["cleared_at"] = None
    alike: dict[tuple[State, bool], list[str]] = {}
    for one in agreed:
        alike.setdefault((State(one.before), one.id in unsure), []).append(one.id)
    changed: set[str] = set()
    for (before, risky), ids in alike.items():
        more = {"maybe_twice": True} if risky else {}
        one_change = Change((before,), action.after, values | more, expected, ordered=True)
        changed |= change(connection, ids, one_change)
    return changed


def _note(
    connection: Connection,
    done: Sequence[Verdict],
    order: Order,
    action: _Action,
    unsure: set[str],
) -> None:
    noted = []
    for verdict in done:
        twice = "; it may be delivered twice" if verdict.id in unsure else ""
        words = f"by {order.who}; it was {verdict.before}{twice}"
        noted.append(NewEvent(verdict.id, order.now, action.done, words))
    note(connection, noted)


class Cancelling(NamedTuple):
    """A server's message that is to be cancelled, and the id of the key that asks for it."""

    id: str
    server: str
    key: str
    now: float


@one_by_one
def cancel_scheduled(connection: Connection, one: Cancelling) -> str | None:
    """Cancel scheduled messages.

    Return None for each that was cancelled, else the state that it is in; "" where the server never
    scheduled such a message.
    """
    mine = (messages.c.id == one.id, messages.c.server == one.server)
    cancelling = Change((State.SCHEDULED,), State.CANCELLED, {}, {"server": one.server})
    if change(connection, [one.id], cancelling):
        words = f"with key {one.key}"
        note(connection, [NewEvent(one.id, one.now, State.CANCELLED, words)])
        return None
    # The age of what was scheduled counts from its time, not from when it came in.
    query = select(messages.c.state).where(*mine, messages.c.since > messages.c.created_at)
    state = connection.execute(query).scalar()
    return "" if state is None or state == State.SCREENED else str(state)
