"""What was not sent, as an operator picks it: by state and server, newest first, by key."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from relay.core.states import OPEN, UNSEEN, State
from relay.store.outbox.operator_actions import is_dismissed
from relay.store.queries.listing import MessageRow, Page, paged, rows_of
from relay.store.schema import IS_MAIL, IS_NEW, IS_RETRIED, IS_UNSENT, ledger, messages

# What somebody may have to do something about, now or later; and what is over without being sent.
OPEN_STATES = (*OPEN, *UNSEEN)
CLOSED_STATES = (State.CANCELLED, State.SUPPRESSED)

CHUNK = 500


class Selection(NamedTuple):
    """Messages that were not sent: of a state (None: all open ones), of a server (None: of any).

    dismissed: also those that a person has dismissed.
    """

    state: str | None = None
    server: str | None = None
    dismissed: bool = False


def page(
    connection: Connection, selection: Selection, below: str | None, limit: int
) -> Page[MessageRow]:
    """List what was not sent, newest first, below an id."""
    query = _selected(rows_of(messages, MessageRow), selection)
    return paged(connection, query, MessageRow, below, limit)


def ids(connection: Connection, selection: Selection) -> Iterator[Sequence[str]]:
    """Return the ids of all that is selected, a chunk at a time, newest first."""
    query, below = _selected(select(messages.c.id), selection).limit(CHUNK), None
    while True:
        chunk = query if below is None else query.where(messages.c.id < below)
        found = connection.execute(chunk).scalars().all()
        if not found:
            return
        yield found
        below = found[-1]


def counts(connection: Connection) -> dict[str, int]:
    """Count what is not sent and not over, by state, without what a person has dismissed.

    It reads all that was not sent: for a command.
    """
    query = select(messages.c.state, func.count()).where(
        IS_UNSENT, IS_MAIL, messages.c.state.in_(OPEN_STATES), ~is_dismissed()
    )
    return {row[0]: row[1] for row in connection.execute(query.group_by(messages.c.state))}


def waiting_servers(connection: Connection) -> set[str]:
    """Name the servers that have mail waiting to be attempted."""
    servers = connection.execute(select(ledger.c.server).distinct()).scalars().all()
    conditions = (IS_NEW, IS_RETRIED)
    return {
        server
        for server in servers
        if any(
            connection.execute(
                select(messages.c.id).where(condition, messages.c.server == server).limit(1)
            ).first()
            for condition in conditions
        )
    }


def _selected(query: Select[Any], selection: Selection) -> Select[Any]:
    states = OPEN_STATES if selection.state is None else (selection.state,)
    query = query.where(IS_UNSENT, IS_MAIL, messages.c.state.in_(states))
    if selection.server is not None:
        query = query.where(messages.c.server == selection.server)
    if not selection.dismissed:
        query = query.where(~is_dismissed())
    return query.order_by(messages.c.id.desc())
