"""Messages on their way in: stored with all that belongs to them, in one commit."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Table, insert

from relay.core.errors import SubmissionError
from relay.core.ids import timestamp
from relay.core.message import Message
from relay.core.reply_address import ReplyRoute
from relay.core.server import Server
from relay.core.states import WAITING, State
from relay.store import documents, proofs, tokens
from relay.store.cluster.daemons import own_number
from relay.store.engine.statements import insert_rows
from relay.store.outbox import ledger, references
from relay.store.outbox.announcements import Announcement, announce
from relay.store.outbox.history import NewEvent, note
from relay.store.outbox.references import NewReceipt
from relay.store.proofs import ProofUse
from relay.store.schema import (
    BROKEN,
    contents,
    message_metadata,
    messages,
    receipts,
    reply_addresses,
)
from relay.store.tokens import TokenUse


class NewMessage(NamedTuple):
    """A message (or a submission that is kept back) to be stored, and what it spends.

    `token`, `proof`: the session token, and what its writer proved themselves with.

    `reply_route`: the way of the answers to it, where its Reply-To is a reply address. `receipt`:
    what its writer is to be told.

    `due_at`: when it is to be sent, if that is later; its age counts from then. `origin`: what is
    written down of where it came from, for its page. `canary`: that it is Relay's own and counts
    nowhere.
    """

    id: str
    server: str
    state: State
    created_at: float
    key: str
    document: str
    kind: Literal["plain", "template", "form"] = "plain"
    due_at: float | None = None
    recipients: str = ""
    subject: str = ""
    sender: str = ""
    writer: str = ""
    tag: str = ""
    stream: str = ""
    metadata: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    token: TokenUse | None = None
    proof: ProofUse | None = None
    words: str | None = None
    reply_route: ReplyRoute | None = None
    receipt: NewReceipt | None = None
    origin: str | None = None
    canary: bool = False


def new_message(
    message: Message,
    server: Server,
    key: str,
    warnings: Sequence[str] = (),
    *,
    labels: Sequence[str] = (),
    token: TokenUse | None = None,
    proof: ProofUse | None = None,
    reply_route: ReplyRoute | None = None,
    receipt: NewReceipt | None = None,
    held: str = "",
    origin: str | None = None,
    canary: bool = False,
) -> NewMessage:
    """Make the row of a message that is queued, or scheduled for later, or held.

    key: the id of the key that brought it. warnings: for its history. labels: names in its
    metadata by which it can be searched. held: why it is held. canary: that it counts nowhere.
    """
    waiting = State.QUEUED if message.send_at is None else State.SCHEDULED
    subject = message.subject
    if subject is None:
        given = (message.model or {}).get("subject", "")
        subject = given if isinstance(given, str) else ""
    return NewMessage(
        id=message.id,
        server=server.name,
        state=State.HELD if held else waiting,
        words=held or None,
        due_at=message.send_at,
        created_at=timestamp(message.id),
        key=key,
        kind="plain" if message.template is None else "template",
        recipients=" ".join([address.email.lower() for address in message.recipients]),
        subject=subject,
        sender=message.sender.email.lower(),
        # Where Reply-To is a reply address, the writer stands beside that, and ends with it.
        writer="" if reply_route else " ".join([one.email.lower() for one in message.reply_to]),
        tag=message.tag or "",
        stream=message.stream or "",
        metadata={name: message.metadata[name] for name in labels} if labels else {},
        document=documents.dump(message),
        warnings=tuple(warnings),
        token=token,
        proof=proof,
        reply_route=reply_route,
        receipt=receipt,
        origin=origin,
        canary=canary,
    )


def add(connection: Connection, batch: Sequence[NewMessage]) -> Sequence[SubmissionError | None]:
    """Store messages, each in one commit with what it spends and what its writer is told.

    A message whose token or proof is gone, or whose reference is taken, is not stored and spends
    nothing: its result is the refusal.
    """
    results: list[SubmissionError | None] = [None] * len(batch)
    for check in (_take_references, _spend_proofs, _spend_tokens):
        left = [index for index, refusal in enumerate(results) if refusal is None]
        found = check(connection, [batch[index] for index in left])
        for index, refusal in zip(left, found, strict=True):
            results[index] = refusal
    told = list(zip(batch, results, strict=True))
    # What was spent before something else was found to be gone.
    proofs.give_back(connection, [one.id for one, refusal in told if one.proof and refusal])
    _insert(connection, [one for one, refusal in told if refusal is None])
    return results


def _take_references(
    connection: Connection, batch: Sequence[NewMessage]
) -> Sequence[SubmissionError | None]:
    return references.refusals(connection, [one.receipt for one in batch])


def _spend_proofs(
    connection: Connection, batch: Sequence[NewMessage]
) -> Sequence[SubmissionError | None]:
    new = [proofs.Spending(one.proof, one.id, one.created_at) for one in batch if one.proof]
    results = iter(proofs.spend(connection, new))
    return [next(results) if one.proof else None for one in batch]


def _spend_tokens(
    connection: Connection, batch: Sequence[NewMessage]
) -> Sequence[SubmissionError | None]:
    new = [tokens.Spending(one.token, one.id, one.created_at) for one in batch if one.token]
    results = iter(tokens.spend(connection, new))
    return [next(results) if one.token else None for one in batch]


def add_together(connection: Connection, batch: Sequence[Sequence[NewMessage]]) -> Sequence[None]:
    """Store groups of messages that spend no token: each group whole, or not at all."""
    _insert(connection, [message for group in batch for message in group])
    return [None] * len(batch)


def _insert(connection: Connection, new: Sequence[NewMessage]) -> None:
    daemon = own_number(connection)
    insert_rows(connection, messages, MESSAGE, [_row(message, daemon) for message in new])
    insert_rows(connection, contents, CONTENT, list(map(attrgetter(*CONTENT), new)))
    labels = [(one.id, name.lower(), value) for one in new for name, value in one.metadata.items()]
    insert_rows(connection, message_metadata, ("message", "name", "value"), labels)
    rows: dict[Table, list[dict[str, Any]]] = {
        reply_addresses: [
            {**one.reply_route._asdict(), "message": one.id, "server": one.server}
            for one in new
            if one.reply_route
        ],
        receipts: [references.row(one.id, one.receipt) for one in new if one.receipt],
    }
    for table, values in rows.items():
        if values:
            connection.execute(insert(table), values)
    note(
        connection,
        (NewEvent(one.id, one.created_at, "warning", said) for one in new for said in one.warnings),
    )
    ledger.record(
        connection,
        [(one.server, one.created_at, ledger.STORED[one.state]) for one in new if not one.canary],
    )
    announce(connection, (said for one in new for said in _announcements(one)))


def _announcements(message: NewMessage) -> Iterator[Announcement]:
    """Return what became of a message by being stored: accepted, kept back, or both."""
    if message.state != State.SCREENED and message.kind != BROKEN:
        yield Announcement(message.id, "accepted")
    if message.state not in WAITING:
        yield Announcement(message.id, message.state, message.words or "")


CONTENT = ("id", "recipients", "subject", "sender", "tag", "stream", "document", "origin")
COUNTS = ("fence", "attempts", "tries")
AS_THEY_ARE = ("id", "server", "state", "created_at", "kind", "key", "words", "writer", "canary")
MESSAGE = (*AS_THEY_ARE, "due_at", "since", "size", "daemon", *COUNTS)
_as_they_are = attrgetter(*AS_THEY_ARE)


def _row(message: NewMessage, daemon: int) -> tuple[Any, ...]:
    due_at = message.created_at if message.due_at is None else message.due_at
    return (*_as_they_are(message), due_at, due_at, len(message.document), daemon, 0, 0, 0)
