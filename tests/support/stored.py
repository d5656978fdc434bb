"""Messages in any state, put straight into a store; and what a store holds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, text, update

from relay.site import Site
from relay.store.acts import By
from relay.store.engine.database import Store
from relay.store.engine.sqlite import Sqlite
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.schema import attempts, events, messages


def by(who: str) -> By:
    """Whoever orders something, by a command."""
    return By(who, "command")


CREATED = 1_790_000_000.0
DOCUMENT = '{"sender":["relay@example.gov",""],"to":[["desk@example.gov",""]],"text":"Hello."}'


def new_id(number: int, at: float = CREATED) -> str:
    """An id as one made at a time would be; larger numbers are younger."""
    milliseconds = f"{int(at * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"


def put(
    store: Store,
    number: int,
    state: str,
    *,
    server: str = "contactform",
    at: float = CREATED,
    happened: Sequence[tuple[str, float]] = (),
    tried: Sequence[tuple[str, float]] = (),
    **columns: Any,
) -> str:
    """Store a message: `happened` are kinds of events, `tried` outcomes of attempts, with times."""
    id = new_id(number, at)
    new = NewMessage(
        id,
        server,
        state,
        at,
        "application",
        DOCUMENT,
        recipients="desk@example.gov",
        subject="An idea",
        sender="relay@example.gov",
        tag="Form",
        stream="outbound",
        metadata={"permit": "7"},
    )
    store.write_now(enqueue.add, [new])

    def finish(connection: Connection, batch: Sequence[None]) -> Sequence[None]:
        if columns:
            connection.execute(update(messages).where(messages.c.id == id).values(**columns))
        for kind, when in happened:
            connection.execute(insert(events).values(message=id, at=when, kind=kind, words=kind))
        for place, (outcome, when) in enumerate(tried, 1):
            row = {"message": id, "number": place, "started_at": when, "ended_at": when}
            row |= {"delivery": "postmark", "outcome": outcome, "words": f"said {outcome}"}
            connection.execute(insert(attempts).values(row))
        return batch

    store.write_now(finish, [None])
    return id


def rows(store: Store, query: str, **values: Any) -> list[dict[str, Any]]:
    """What a query gives."""
    return store.read_now(
        lambda connection: [
            dict(row._mapping) for row in connection.execute(text(query), values).all()
        ]
    )


def row(store: Store, id: str) -> dict[str, Any]:
    """A message's row with its contents."""
    [found] = rows(store, "SELECT * FROM messages JOIN contents USING (id) WHERE id = :id", id=id)
    return found


def happened(store: Store, id: str) -> list[tuple[str, str]]:
    """A message's events: kinds and words, in order."""
    found = rows(store, "SELECT kind, words FROM events WHERE message = :id ORDER BY id", id=id)
    return [(one["kind"], one["words"]) for one in found]


def dies(site: Site) -> None:
    """Let a site's daemon be gone, as others see it after a `kill -9`."""
    if site.store.shared is not None:
        site.membership.leave()
    elif isinstance(site.store._engine, Sqlite) and site.store._engine._lock is not None:
        site.store._engine._lock.close()
