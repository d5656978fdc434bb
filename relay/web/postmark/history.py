"""A stored message in Postmark's words: where it stands, what it says, what happened to it.

Times are in UTC. A status has one of Postmark's three words: Queued (to be sent yet, or in doubt),
Sent (the provider has it), Processed (nothing more will be done, and it was not sent).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from relay.core.addresses import Address
from relay.core.message import Message
from relay.core.mime import as_bytes
from relay.core.states import State
from relay.core.times import utc
from relay.store import documents
from relay.store.queries.listing import Attempt, StoredMessage
from relay.store.queries.search import MessageSummary

STATUSES: Mapping[str, str] = {
    State.QUEUED: "Queued",
    State.SENDING: "Queued",
    State.IN_DOUBT: "Queued",
    State.SENT: "Sent",
    State.FAILED: "Processed",
    State.EXPIRED: "Processed",
    State.CANCELLED: "Processed",
    State.SUPPRESSED: "Processed",
    State.QUARANTINED: "Processed",
}

# Clients know six types of events and break on any other. What the provider took is no event:
# "Delivered" is a promise about the recipient's server: the mailbox's, or the provider's webhook's.
TRANSIENT, BOUNCED, DELIVERED = "Transient", "Bounced", "Delivered"
EVENT_TYPES: Mapping[str, str] = {
    "deferred": TRANSIENT,
    State.IN_DOUBT: TRANSIENT,
    State.FAILED: BOUNCED,
    "bounced": BOUNCED,
    "delivered": DELIVERED,
}
# What stands in an attempt's words before the recipients that the provider left out.
TAKEN_WITHOUT = "taken without "


class ServerNames(NamedTuple):
    """What is the same for all messages of a server: who delivers them, and how they are labelled.

    own_label: the name under which the relay itself labels messages.
    """

    stream: str
    sandboxed: bool
    own_label: str


def shown_message(listed: MessageSummary, names: ServerNames) -> dict[str, Any]:
    """Return a message in Postmark's names, without its parts."""
    message = listed.message
    sandboxed = listed.delivery == "mailbox" if listed.delivery else names.sandboxed
    labels = {name: value for name, value in message.metadata.items() if name != names.own_label}
    return {
        "Tag": message.tag,
        "MessageID": message.id,
        "MessageStream": message.stream or names.stream,
        "To": _mailboxes(message.to),
        "Cc": _mailboxes(message.cc),
        "Bcc": _mailboxes(message.bcc),
        "Recipients": [address.email for address in message.recipients],
        "ReceivedAt": written(listed.created_at),
        "From": str(message.sender),
        "Subject": listed.subject,
        "Attachments": [one.name for one in message.attachments],
        "Status": STATUSES.get(listed.state, "Queued"),
        "TrackOpens": message.track_opens or False,
        "TrackLinks": message.track_links or "None",
        "Metadata": labels,
        "Sandboxed": sandboxed,
    }


class _Event(NamedTuple):
    at: float
    type: str
    words: str
    server: str
    recipients: Sequence[str]


def events(stored: StoredMessage, message: Message) -> list[dict[str, Any]]:
    """Return what happened to a message, an event for each recipient, oldest first."""
    everybody = [address.email for address in message.recipients]
    happened = [
        *(event for attempt in stored.attempts for event in _attempted(attempt, everybody)),
        *_noted(stored, everybody),
    ]
    return [
        {
            "Recipient": recipient,
            "Type": event.type,
            "ReceivedAt": written(event.at),
            "Details": _explained(event),
        }
        for event in sorted(happened, key=lambda event: event.at)
        for recipient in event.recipients
    ]


def _attempted(attempt: Attempt, everybody: Sequence[str]) -> Iterator[_Event]:
    """Return what an attempt did; that the provider took the message is no event."""
    at, words, server = attempt.ended_at, attempt.words, attempt.delivery
    if attempt.outcome != State.SENT:
        if type := EVENT_TYPES.get(attempt.outcome):
            yield _Event(at, type, words, server, everybody)
        return
    _, _, without = words.partition(TAKEN_WITHOUT)
    dropped = {email.strip().lower() for email in without.split(",")}
    if left_out := [email for email in everybody if email.lower() in dropped]:
        yield _Event(at, BOUNCED, "the provider took it without this recipient", server, left_out)
    if server == "mailbox":
        yield _Event(at, DELIVERED, words, server, everybody)


def _noted(stored: StoredMessage, everybody: Sequence[str]) -> Iterator[_Event]:
    """Return what happened besides the attempts."""
    for event in stored.events:
        if type := EVENT_TYPES.get(event.kind):
            # What a provider told is of one recipient, who stands before its words.
            named = event.words.partition(": ")[0].lower()
            whose = [email for email in everybody if email.lower() == named]
            yield _Event(event.at, type, event.words, "", whose or everybody)
    row = stored.row
    if row.state == State.EXPIRED:
        words = f"too old to be tried again; last: {row.words}"
        yield _Event(row.due_at, BOUNCED, words, row.delivery or "", everybody)


def _explained(event: _Event) -> dict[str, Any]:
    if event.type == BOUNCED:
        return {"Summary": event.words}
    return {
        "DeliveryMessage": event.words,
        "DestinationServer": event.server,
        "DestinationIP": "",
    }


def details(stored: StoredMessage, names: ServerNames) -> dict[str, Any]:
    """Return a message in Postmark's names, with its parts, its source and its history."""
    row = stored.row
    message = documents.load(row.id, stored.content.document)
    listed = MessageSummary(
        message, stored.content.subject, row.state, row.delivery, row.created_at
    )
    parts = {"TextBody": message.text, "HtmlBody": message.html, "Body": _source(message)}
    happened = {"MessageEvents": events(stored, message)}
    return shown_message(listed, names) | parts | happened


def dump(stored: StoredMessage) -> dict[str, Any]:
    """Return a message's source."""
    return {"Body": _source(documents.load(stored.row.id, stored.content.document))}


def _source(message: Message) -> str:
    """Return a message as it would be mailed; "" for one that cannot be written so."""
    try:
        return as_bytes(message).decode("utf-8", "replace")
    except ValueError:
        return ""


def _mailboxes(given: Sequence[Address]) -> list[dict[str, str | None]]:
    return [{"Email": address.email, "Name": address.name or None} for address in given]


def written(seconds: float) -> str:
    """Write a moment as Postmark does, with seven digits of a second, in UTC."""
    return utc(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")
