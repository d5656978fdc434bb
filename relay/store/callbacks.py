"""What providers told of messages: each told thing once, in one commit with what follows of it."""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Connection, delete

from relay.core.message import ProviderEvent
from relay.core.secret import Secret
from relay.core.states import TAKEN
from relay.store import suppressions
from relay.store.engine.expressions import upsert
from relay.store.engine.writer import one_by_one
from relay.store.outbox import in_doubt, resend
from relay.store.outbox.announcements import Announcement, announce
from relay.store.outbox.history import NewEvent, happened, note
from relay.store.outbox.in_doubt import Seen
from relay.store.outbox.resend import Return, SecondSending
from relay.store.schema import callbacks
from relay.store.suppressions import Word

# Providers repeat a call for hours; nobody repeats one after so long.
KEPT_SECONDS = 14 * 86400.0


class ToldEvents(NamedTuple):
    """What a provider told in one call: events of messages of these servers, all of one group.

    secret: what erased addresses are hashed with. second: what is sent where a message came back,
    by the event's identity.
    """

    group: str
    servers: Sequence[str]
    events: Sequence[ProviderEvent]
    now: float
    secret: Secret
    second: Mapping[str, SecondSending] = MappingProxyType({})


class Taken(NamedTuple):
    """What came of one event.

    new: whether it was told for the first time. id, server: of its message; "" where there is none
    here. before: the state that it was in; settled: whether it is sent by this word. word: what
    this says of the recipient's address, where that is news. again: the id of its second sending;
    "" where none was stored. canary: whether that is Relay's own, which counts nowhere.
    """

    event: ProviderEvent
    new: bool
    id: str = ""
    server: str = ""
    before: str = ""
    settled: bool = False
    word: Word | None = None
    again: str = ""
    canary: bool = False


def digest_of(group: str, identity: str) -> bytes:
    """Return the form in which a told thing is remembered."""
    return hashlib.sha256(f"{group}\n{identity}".encode("utf-8", "replace")).digest()


def remember(connection: Connection, digest: bytes, now: float) -> bool:
    """Remember that something was told; return whether that is new."""
    added = upsert(connection, callbacks).values(digest=digest, at=now)
    new = added.on_conflict_do_nothing().returning(callbacks.c.digest)
    return connection.execute(new).first() is not None


@one_by_one
def forget(connection: Connection, now: float) -> int:
    """Forget what was told long before each of these times; count it."""
    return connection.execute(delete(callbacks).where(callbacks.c.at < now - KEPT_SECONDS)).rowcount


@one_by_one
def take(connection: Connection, told: ToldEvents) -> list[Taken]:
    """Take what providers told, with all that follows; what was told before changes nothing."""
    return [_take(connection, told, event) for event in told.events]


def _take(connection: Connection, told: ToldEvents, event: ProviderEvent) -> Taken:
    if not remember(connection, digest_of(told.group, event.identity), told.now):
        return Taken(event, new=False)
    at = min(event.at or told.now, told.now)
    row = resend.message_of(connection, event, told.servers)
    word = _word(event, told.group, at, row)
    if word is not None and _is_erased(connection, word, row, told.secret):
        word = word._replace(address=suppressions.stand_in(told.secret, word.address), message=None)
    if word is not None and not suppressions.note(connection, [word])[0]:
        word = None
    if row is None:
        return Taken(event, new=True, word=word)
    words = f"the provider told that it is {event.kind}"
    settled = (
        _is_settled_by(event, row)
        and not resend.is_held(connection, row.id)
        and in_doubt.settle(connection, row, event.provider_id, words, told.now)
    )
    # Of what was cleared, no word brings an address back.
    recipient = event.recipient if row.cleared_at is None else ""
    words = ": ".join(part for part in (recipient, event.words) if part)
    note(connection, [NewEvent(row.id, at, event.kind, words)])
    announce(connection, [Announcement(row.id, event.kind, event.words, recipient[:320])])
    again = _sent_again(connection, told, event, row)
    return Taken(event, True, row.id, row.server, row.state, settled, word, again, row.canary)


def _is_erased(connection: Connection, word: Word, row: Seen | None, secret: Secret) -> bool:
    """Return whether a word is on an address that was erased: it is not to come back by it."""
    erased = suppressions.stand_in(secret, word.address)
    if suppressions.is_known(connection, word.server, erased):
        return True
    return row is not None and row.cleared_at is not None and happened(connection, row.id, "erased")


def _sent_again(connection: Connection, told: ToldEvents, event: ProviderEvent, row: Seen) -> str:
    """Store the second sending of what came back, if there is to be one; return its id."""
    second = told.second.get(event.identity)
    if second is None or row.state not in TAKEN:
        return ""
    back = Return(event.recipient.strip().lower(), told.group, told.now)
    is_sent = resend.send_again(connection, row.id, second, back)
    return second.message.id if is_sent else ""


def _word(event: ProviderEvent, group: str, at: float, row: Seen | None) -> Word | None:
    """Return what an event says of its recipient's address; None if nothing."""
    address, id = event.recipient.strip().lower(), row.id if row is not None else None
    if not address or not ("@" in address and len(address) <= 320):
        return None
    if event.kind == "resubscribed":
        return Word(group, address, "lifted", at, None, id, event.words)
    if event.kind == "bounced" and event.permanent:
        return Word(group, address, event.reason or "bounced", at, None, id, event.words)
    if event.kind == "complained":
        return Word(group, address, event.reason or "complained", at, None, id, event.words)
    if event.kind == "unsubscribed":
        return Word(group, address, event.reason or "unsubscribed", at, None, id, event.words)
    return None


def _is_settled_by(event: ProviderEvent, row: Seen) -> bool:
    """Return whether a message that nobody knew the fate of is known to be sent by this event.

    Only our own id proves it. What is held for an office may have reached others: they are no
    doubt.
    """
    return bool(event.message) and row.is_open
