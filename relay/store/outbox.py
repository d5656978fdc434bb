"""The outbox: where acceptance ends and delivery begins."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, insert, or_, select, update
from sqlalchemy.engine import Row

from relay.errors import TokenRefused
from relay.store import ledger, tokens
from relay.store.schema import (
    IS_QUEUED,
    attempts,
    contents,
    events,
    message_metadata,
    messages,
)

# The most messages that one claim takes.
MAX_CLAIM = 1000

REVIVABLE_STATES = ("failed", "in_doubt", "expired")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message (or, `screened`, a submission) to be stored, and the token it spends.

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


class Lane(NamedTuple):
    """Messages that can share one call to a provider, and how many of them it takes."""

    name: str
    max_batch: int


class ClaimOrder(NamedTuple):
    """Which due messages to claim: of these servers, by lane, for so many calls.

    Of the servers in `first_only` nothing that was tried before.
    """

    now: float
    calls: int
    lanes: Mapping[str, Lane]
    first_only: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that is being sent, under the fence of this claim."""

    id: str
    server: str
    fence: int
    since: float
    attempts: int
    tries: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of a claimed message; `attempts` and `tries` are the new counts."""

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


def add(connection: Connection, batch: Sequence[NewMessage]) -> Sequence[TokenRefused | None]:
    """Store messages, each in one commit with the token it spends.

    A message whose token is gone is not stored: its result is the refusal.
    """
    spending = [
        tokens.Spending(message.token, message.id, message.created_at)
        for message in batch
        if message.token is not None
    ]
    verdicts = iter(tokens.spend(connection, spending))
    results = [next(verdicts) if message.token is not None else None for message in batch]
    stored = [message for message, refusal in zip(batch, results, strict=True) if refusal is None]
    _insert(connection, stored)
    return results


def add_together(connection: Connection, batch: Sequence[Sequence[NewMessage]]) -> Sequence[None]:
    """Store groups of messages that spend no token: each group whole, or not at all."""
    _insert(connection, [message for group in batch for message in group])
    return [None] * len(batch)


def _insert(connection: Connection, new: Sequence[NewMessage]) -> None:
    rows = {
        messages: [_row(message) for message in new],
        contents: [_content(message) for message in new],
        message_metadata: [label for message in new for label in _labels(message)],
        events: [warning for message in new for warning in _warnings(message)],
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


def claim(connection: Connection, batch: Sequence[ClaimOrder]) -> list[list[list[Claimed]]]:
    """Claim due messages as `sending`, oldest due first: a list of them for each call."""
    return [_claim(connection, order) for order in batch]


def _claim(connection: Connection, order: ClaimOrder) -> list[list[Claimed]]:
    largest = max((lane.max_batch for lane in order.lanes.values()), default=0)
    query = (
        select(messages)
        .where(IS_QUEUED, messages.c.due_at <= order.now)
        .where(messages.c.server.in_(order.lanes))
        .order_by(messages.c.due_at)
        .limit(min(order.calls * largest, MAX_CLAIM))
        .with_for_update(skip_locked=True)
    )
    if order.first_only:
        query = query.where(or_(messages.c.tries == 0, messages.c.server.not_in(order.first_only)))
    calls = _by_call(connection.execute(query), order)
    if calls:
        ids = [claimed.id for call in calls for claimed in call]
        values = {"state": "sending", "fence": messages.c.fence + 1}
        connection.execute(update(messages).where(messages.c.id.in_(ids)).values(values))
    return calls


def _by_call(rows: Iterable[Row[Any]], order: ClaimOrder) -> list[list[Claimed]]:
    """Share out rows: a call takes messages of one lane, as many as the lane allows."""
    calls: list[list[Claimed]] = []
    filling: dict[str, list[Claimed]] = {}
    for row in rows:
        lane = order.lanes[row.server]
        call = filling.get(lane.name)
        if call is None or len(call) == lane.max_batch:
            if len(calls) == order.calls:
                continue
            call = filling[lane.name] = []
            calls.append(call)
        call.append(Claimed(row.id, row.server, row.fence + 1, row.since, row.attempts, row.tries))
    return calls


def settle(connection: Connection, batch: Sequence[Sequence[Settlement]]) -> list[list[bool]]:
    """Record the outcomes of calls; one whose claim is no longer its message's changes nothing."""
    flat = [settlement for settlements in batch for settlement in settlements]
    query = select(messages.c.id, messages.c.fence).where(
        messages.c.id.in_([settlement.claimed.id for settlement in flat]),
        messages.c.state == "sending",
    )
    fences = {row.id: row.fence for row in connection.execute(query)}
    current = [one for one in flat if fences.get(one.claimed.id) == one.claimed.fence]
    if current:
        columns = ("state", "due_at", "attempts", "tries", "delivery", "provider_id", "words")
        statement = update(messages).where(messages.c.id == bindparam("message"))
        statement = statement.values({name: bindparam(f"new_{name}") for name in columns})
        connection.execute(statement, [_change(settlement) for settlement in current])
        connection.execute(insert(attempts), [_attempt(settlement) for settlement in current])
        tokens.give_back(connection, [s.claimed.id for s in current if s.give_token_back])
    return [[fences.get(s.claimed.id) == s.claimed.fence for s in settled] for settled in batch]


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


def doubt_interrupted(connection: Connection, batch: Sequence[str]) -> list[int]:
    """Put in doubt whatever a stopped daemon left `sending`, for these reasons; count it."""
    return [
        connection.execute(
            update(messages)
            .where(messages.c.state == "sending")
            .values(state="in_doubt", words=words)
        ).rowcount
        for words in batch
    ]


def revive(connection: Connection, batch: Sequence[tuple[str, float]]) -> list[bool]:
    """Queue messages again that failed, expired or are in doubt; tell which ones did."""
    return [
        connection.execute(
            update(messages)
            .where(messages.c.id == id, messages.c.state.in_(REVIVABLE_STATES))
            .values(state="queued", due_at=now, since=now)
        ).rowcount
        == 1
        for id, now in batch
    ]
