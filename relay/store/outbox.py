"""The outbox: where acceptance ends and delivery begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Table, Update, bindparam, func, insert, select, update

from relay.errors import TokenRefused, Unavailable
from relay.replies.addresses import ReplyRoute
from relay.store import ledger, recipients, references, tokens
from relay.store.recipients import Fate
from relay.store.references import NewReceipt
from relay.store.schema import (
    IS_NEW,
    IS_POSTED,
    IS_RETRIED,
    attempts,
    contents,
    events,
    message_metadata,
    messages,
    receipts,
    reply_addresses,
)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message (or, `screened`, a submission) to be stored, and the token it spends.

    `reply_route`: the way of the answers to it, where its Reply-To is a reply address. `receipt`:
    what its writer is to be told.

    `due_at`: when it is to be sent, if that is later; its age counts from then.
    """

    id: str
    server: str
    state: str
    created_at: float
    key: str
    document: str
    kind: Literal["plain", "template"] = "plain"
    due_at: float | None = None
    recipients: str = ""
    subject: str = ""
    sender: str = ""
    tag: str = ""
    stream: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    token: bytes | None = None
    words: str | None = None
    reply_route: ReplyRoute | None = None
    receipt: NewReceipt | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is being sent, under the fence of this claim."""

    id: str
    server: str
    fence: int
    since: float
    attempts: int
    tries: int
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of a claimed message.

    counted: whether the provider got something to judge. crashed: whether our own code failed at
    it. maybe_twice: that it may have been sent before, or was not after all; None leaves that.
    fates: those of recipients that are not their message's.
    """

    claimed: Claimed
    state: str
    due_at: float
    counted: bool
    delivery: str
    outcome: str
    words: str
    started_at: float
    ended_at: float
    provider_id: str | None = None
    give_token_back: bool = False
    crashed: bool = False
    maybe_twice: bool | None = None
    fates: tuple[Fate, ...] = ()


def add(
    connection: Connection, batch: Sequence[NewMessage]
) -> Sequence[TokenRefused | Unavailable | None]:
    """Store messages, each in one commit with the token it spends and what its writer is told.

    A message whose token is gone, or whose reference is taken, is not stored: its result is the
    refusal.
    """
    taken = references.refusals(connection, [message.receipt for message in batch])
    spending = [
        tokens.Spending(message.token, message.id, message.created_at)
        for message, refusal in zip(batch, taken, strict=True)
        if message.token is not None and refusal is None
    ]
    verdicts = iter(tokens.spend(connection, spending))
    results = [
        refusal or (next(verdicts) if message.token is not None else None)
        for message, refusal in zip(batch, taken, strict=True)
    ]
    stored = [message for message, refusal in zip(batch, results, strict=True) if refusal is None]
    _insert(connection, stored)
    return results


def add_together(connection: Connection, batch: Sequence[Sequence[NewMessage]]) -> Sequence[None]:
    """Store groups of messages that spend no token: each group whole, or not at all."""
    _insert(connection, [message for group in batch for message in group])
    return [None] * len(batch)


def _insert(connection: Connection, new: Sequence[NewMessage]) -> None:
    rows: dict[Table, list[dict[str, Any]]] = {
        messages: [_row(message) for message in new],
        contents: [_content(message) for message in new],
        message_metadata: [label for message in new for label in _labels(message)],
        events: [warning for message in new for warning in _warnings(message)],
        reply_addresses: [route for message in new for route in _routes(message)],
        receipts: [references.row(one.id, one.receipt) for one in new if one.receipt],
    }
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), values)
    ledger.record(
        connection,
        [ledger.Entry(one.server, one.created_at, one.state == "screened") for one in new],
    )


def _content(message: NewMessage) -> dict[str, Any]:
    names = ("id", "recipients", "subject", "sender", "tag", "stream", "document")
    return {name: getattr(message, name) for name in names}


def _labels(message: NewMessage) -> list[dict[str, Any]]:
    return [
        {"message": message.id, "name": name.lower(), "value": value}
        for name, value in message.metadata.items()
    ]


def _warnings(message: NewMessage) -> list[dict[str, Any]]:
    return [
        {"message": message.id, "at": message.created_at, "kind": "warning", "words": words[:500]}
        for words in message.warnings
    ]


def _routes(message: NewMessage) -> list[dict[str, Any]]:
    route = message.reply_route
    if route is None:
        return []
    return [{**route._asdict(), "message": message.id, "server": message.server}]


def _row(message: NewMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "server": message.server,
        "state": message.state,
        "created_at": message.created_at,
        "due_at": message.created_at if message.due_at is None else message.due_at,
        "since": message.created_at if message.due_at is None else message.due_at,
        "kind": message.kind,
        "size": len(message.document),
        "key": message.key,
        "words": message.words,
    }


def settle(connection: Connection, batch: Sequence[Sequence[Settlement]]) -> list[list[bool]]:
    """Record the outcomes of calls; one whose claim is no longer its message's changes nothing."""
    flat = [settlement for settlements in batch for settlement in settlements]
    ids = [settlement.claimed.id for settlement in flat]
    fences = {row.id: row.fence for row in connection.execute(_FENCES, {"ids": ids})}
    current = [one for one in flat if fences.get(one.claimed.id) == one.claimed.fence]
    if current:
        connection.execute(_SETTLE, [_change(settlement) for settlement in current])
        connection.execute(insert(attempts), [_attempt(settlement) for settlement in current])
        befell = [_event(settlement) for settlement in current if _is_remarkable(settlement)]
        if befell:
            connection.execute(insert(events), befell)
        for one in current:
            if one.fates:
                recipients.record(connection, one.claimed.id, one.ended_at, one.fates)
        refused = [one for one in current if one.give_token_back]
        if refused:
            ids = [one.claimed.id for one in refused]
            tokens.give_back(connection, ids)
            references.told(connection, ids, refused[0].ended_at)
    return [[fences.get(s.claimed.id) == s.claimed.fence for s in settled] for settled in batch]


def _settle() -> Update:
    """Write the settling statement, once: what it is bound to differs only in values."""
    names = ("state", "due_at", "attempts", "tries", "delivery", "words")
    return (
        update(messages)
        .where(messages.c.id == bindparam("message"))
        .values(
            {name: bindparam(f"new_{name}") for name in names}
            | {
                "crashes": messages.c.crashes + bindparam("crashed"),
                "maybe_twice": func.coalesce(bindparam("new_maybe_twice"), messages.c.maybe_twice),
                # Of a message that was sent to some, what they have it under.
                "provider_id": func.coalesce(bindparam("new_provider_id"), messages.c.provider_id),
                "looks": 0,
                "absences": 0,
            }
        )
    )


_SETTLE = _settle()
_FENCES = select(messages.c.id, messages.c.fence).where(
    messages.c.id.in_(bindparam("ids", expanding=True)), messages.c.state == "sending"
)


def _change(settlement: Settlement) -> dict[str, Any]:
    return {
        "message": settlement.claimed.id,
        "new_state": settlement.state,
        "new_due_at": settlement.due_at,
        "new_attempts": settlement.claimed.attempts + settlement.counted,
        "new_tries": settlement.claimed.tries + 1,
        "new_delivery": settlement.delivery,
        "new_provider_id": settlement.provider_id,
        "new_words": settlement.words[:500],
        "crashed": int(settlement.crashed),
        "new_maybe_twice": settlement.maybe_twice,
    }


def _attempt(settlement: Settlement) -> dict[str, Any]:
    return {
        "message": settlement.claimed.id,
        "number": settlement.claimed.tries + 1,
        "started_at": settlement.started_at,
        "ended_at": settlement.ended_at,
        "delivery": settlement.delivery,
        "outcome": settlement.outcome,
        "words": settlement.words[:500],
    }


def _is_remarkable(settlement: Settlement) -> bool:
    """Tell whether an attempt left more behind than its own outcome."""
    return bool(settlement.maybe_twice) or settlement.state in ("held", "quarantined")


def _event(settlement: Settlement) -> dict[str, Any]:
    kind = "resent" if settlement.maybe_twice else settlement.state
    words = settlement.words[:500]
    return {
        "message": settlement.claimed.id,
        "at": settlement.ended_at,
        "kind": kind,
        "words": words,
    }


class PullBack(NamedTuple):
    """A server whose mail is not to wait longer than `limit` seconds from `now`."""

    server: str
    now: float
    limit: float


def pull_back(connection: Connection, batch: Sequence[PullBack]) -> list[int]:
    """Bring back what a clock that ran ahead put off too far; count it.

    A first attempt is due now, a retry at the limit. What was scheduled waits for its time.
    """
    return [_pull_back(connection, one) for one in batch]


def _pull_back(connection: Connection, order: PullBack) -> int:
    count = 0
    for condition, due_at in ((IS_NEW, order.now), (IS_RETRIED, order.now + order.limit)):
        later = (condition, IS_POSTED, messages.c.server == order.server)
        statement = update(messages).where(*later, messages.c.due_at > due_at)
        count += connection.execute(statement.values(due_at=due_at)).rowcount
    return count
