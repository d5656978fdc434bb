"""What people ordered: written in the commit that does it, listed newest first."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, insert, or_, select

from relay.store.engine.writer import one_by_one
from relay.store.schema import acts

Way = Literal["console", "command", "api"]


class By(NamedTuple):
    """Who orders something, by which way, and from which address ("" of commands).

    who: an operator's name, the system's user, or the id of a key.
    """

    who: str
    way: Way
    origin: str = ""


class Act(NamedTuple):
    """Something that somebody did: to what, what was before, and what is after.

    target: a message's id, a server, a name. It never names a person's address: there it is that
    one's digest.
    """

    at: float
    by: By
    verb: str
    target: str
    before: str = ""
    after: str = ""


class Wanted(NamedTuple):
    """Which acts are listed: `word` is who did them, what was done, or to what; "" is any.

    since, before: epoch seconds. below: an act's id.
    """

    word: str = ""
    since: float | None = None
    before: float | None = None
    below: int | None = None


class Page(NamedTuple):
    """Acts with their ids, newest first, and the id below which the next page starts."""

    rows: Sequence[tuple[int, Act]]
    below: int | None


class Acted(NamedTuple):
    """An operation of the store with its argument, and the acts that its result is."""

    operation: Callable[[Connection, Sequence[Any]], Sequence[Any]]
    argument: Any
    acts: Callable[[Any], Sequence[Act]]


@one_by_one
def acted(connection: Connection, order: Acted) -> Any:
    """Carry an operation out and note who ordered it, in one commit; return its result."""
    [result] = order.operation(connection, [order.argument])
    if isinstance(result, Exception):
        raise result
    add(connection, order.acts(result))
    return result


def noted(connection: Connection, batch: Sequence[Act]) -> Sequence[None]:
    """Note acts that change nothing in the store."""
    add(connection, batch)
    return [None] * len(batch)


def add(connection: Connection, done: Sequence[Act]) -> None:
    """Note acts, in the commit that does them."""
    if done:
        connection.execute(insert(acts), [_row(one) for one in done])


def page(connection: Connection, wanted: Wanted, limit: int) -> Page:
    """List acts, newest first."""
    query = select(acts).order_by(acts.c.id.desc()).limit(limit + 1)
    if wanted.word:
        named = (acts.c.who, acts.c.target, acts.c.verb)
        query = query.where(or_(*(column == wanted.word for column in named)))
    if wanted.since is not None:
        query = query.where(acts.c.at >= wanted.since)
    if wanted.before is not None:
        query = query.where(acts.c.at < wanted.before)
    if wanted.below is not None:
        query = query.where(acts.c.id < wanted.below)
    rows = [(row.id, _act(row)) for row in connection.execute(query)]
    more = len(rows) > limit
    return Page(rows[:limit], rows[limit - 1][0] if more else None)


def of(connection: Connection, target: str) -> Sequence[Act]:
    """Return what was done to one thing, oldest first."""
    query = select(acts).where(acts.c.target == target).order_by(acts.c.id)
    return [_act(row) for row in connection.execute(query)]


def everything(connection: Connection) -> Iterator[Act]:
    """Return all acts, oldest first, for an export."""
    result = connection.execute(
        select(acts).order_by(acts.c.id), execution_options={"yield_per": 1000}
    )
    for row in result:
        yield _act(row)


def _row(act: Act) -> dict[str, Any]:
    by = act.by._asdict()
    return {
        **by,
        **{name: getattr(act, name)[:200] for name in ("target", "before", "after")},
        "at": act.at,
        "verb": act.verb,
    }


def _act(row: Any) -> Act:
    by = By(row.who, row.way, row.origin)
    return Act(row.at, by, row.verb, row.target, row.before, row.after)
