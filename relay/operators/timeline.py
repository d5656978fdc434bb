"""All that happened to a message: posted, checked, mapped, tried, told of, ordered about.

What somebody else said stands beside what it means.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from relay.core import origin
from relay.core.origin import CONTROL, EMPTY, LEFT_OUT, READ, UNUSED, Origin
from relay.core.states import State
from relay.core.text import without_addresses
from relay.core.times import age
from relay.delivery.suppression_filter import NO_MAIL
from relay.operators.provider_words import meaning
from relay.store import acts
from relay.store.acts import Act
from relay.store.engine.database import Connection
from relay.store.outbox import references
from relay.store.outbox.outcomes import recipients_of
from relay.store.queries import listing
from relay.store.queries.listing import Attempt, Event, StoredMessage
from relay.store.schema import BROKEN


class Entry(NamedTuple):
    """Something that happened at a time: in our words, in whose it was said, and what these mean.

    kind: posted, checks, mapping, attempt, look_up, told, order or note; for how it is shown.
    """

    at: float
    kind: str
    headline: str
    words: str = ""
    meaning: str = ""


class Told(NamedTuple):
    """All that is stored of a message for its page: also what people ordered about it.

    fates: what became of recipients whose fate is not their message's, and when. reference: what
    its writer asks by; "" where there is none.
    """

    found: StoredMessage
    acts: Sequence[Act]
    fates: Mapping[str, tuple[str, float]]
    reference: str


# What happened besides attempts: which kind of entry it is, and its headline.
EVENTS: Mapping[str, tuple[str, str]] = {
    "warning": ("note", "Warning"),
    "interrupted": ("note", "The attempt was interrupted"),
    "restored": ("note", "Put back from a backup"),
    "resent": ("look_up", "Queued again"),
    "absent": ("look_up", "Looked up: not there"),
    "looked_up": ("look_up", "Looked up: no answer"),
    "found": ("look_up", "It is sent"),
    "late": ("told", "A late answer"),
    State.HELD: ("note", "Held for a person"),
    State.EXPIRED: ("note", "Given up"),
    State.QUARANTINED: ("note", "Quarantined"),
    "returned": ("note", "It came back and was sent again"),
    "second": ("note", "A second sending"),
    "answered": ("note", "Answered by the office"),
    "answer": ("note", "An office's answer"),
    "receipt": ("note", "Its writer was told"),
    "delivered": ("told", "Delivered"),
    "bounced": ("told", "It came back"),
    "complained": ("told", "The reader called it spam"),
    "unsubscribed": ("told", "The reader wants no more mail"),
    "resubscribed": ("told", "The reader wants mail again"),
    "retried": ("order", "Queued again"),
    "released": ("order", "Released"),
    State.CANCELLED: ("order", "Cancelled"),
    "dismissed": ("order", "Dismissed"),
    "dropped": ("order", "Dropped"),
    "readdressed": ("order", "Sent again to another address"),
    "erased": ("order", "Erased"),
}

_MEANINGS = {
    "interrupted": "Nobody knows whether the provider took it: it is in doubt.",
    "restored": "Whatever waited when the backup was taken may have been sent since.",
    "absent": "The provider does not have it: it is sent again after two such answers.",
    "looked_up": "That says nothing about the message; it is looked up again.",
    "resent": "It may arrive twice.",
    "delivered": "The recipient's mail server took it from the provider.",
    "bounced": "The recipient's mail server gave it back.",
    "complained": "To spare our good name with the provider, the address gets no more mail.",
    "late": "What was decided meanwhile stands.",
}

# Events whose words are Relay's own, whatever the message is.
_OWN_WORDS = ("interrupted", "restored", "absent")

_OUTCOMES = {
    State.SENT: "Sent by {}",
    "partly": "Sent by {} to some of the recipients",
    "deferred": "Put off by {}",
    State.FAILED: "Refused for good by {}",
    State.EXPIRED: "Put off by {}, and given up",
    State.IN_DOUBT: "Handed to {}, whose answer was lost",
    State.SUPPRESSED: "Not sent: the recipients get no mail",
    State.HELD: "Held",
    State.QUARANTINED: "No mail can be made of it",
}

_CLIENTS = {
    "script": "by a page's script",
    "form": "by a form in a browser",
    "application": "by an application",
}

# What happens next by itself, in states that have a time for it.
NEXT: Mapping[str, str] = {
    State.QUEUED: "due",
    State.SCHEDULED: "scheduled: due",
    State.SENDING: "its claim ends: then it is in doubt",
    State.IN_DOUBT: "is looked up at the provider",
}

# Where a field's value stands, or what became of it instead.
PLACES: Mapping[str, str] = {
    "from": "the sender's name",
    "to": "the recipients",
    "cc": "the copies",
    "bcc": "the blind copies",
    "reply_to": "Reply-To",
    "subject": "the subject",
    "tag": "the tag",
    "header": "a header",
    "body": "the text",
    "model": "the template's model",
    "attachment": "an attachment",
    EMPTY: "nothing was filled in",
    CONTROL: "tells Relay how to treat the form",
    LEFT_OUT: "left out: this caller must not choose it",
    READ: "was read, and is not in the message as it was",
    UNUSED: "nobody used it",
}


def gather(connection: Connection, id: str) -> Told | None:
    """Read all that is stored of a message; None where there is none."""
    found = listing.find(connection, id)
    if found is None:
        return None
    return Told(
        found,
        acts.of(connection, id),
        recipients_of(connection, id),
        references.told_number(connection, id),
    )


def without_contents(told: Told) -> Told:
    """Return the same for whoever sees no contents: no address, subject or field stands in it."""
    found = told.found
    row = found.row
    # Why a submission was kept back is Relay's own to say; of what others say there is the meaning.
    if row.state != State.SCREENED and row.kind != BROKEN:
        row = row._replace(words=_harmless(row.words or ""))
    whence = origin.load(found.content.origin)
    content = found.content._replace(
        recipients="",
        subject="",
        document="",
        origin=origin.dump(whence) if whence else None,
    )
    cleaned = StoredMessage(
        row,
        content,
        [one._replace(words=_harmless(one.words)) for one in found.attempts],
        [
            one if one.kind in _OWN_WORDS else one._replace(words=_harmless(one.words))
            for one in found.events
        ],
    )
    return Told(cleaned, (), {}, "")


def _harmless(words: str) -> str:
    """Return what somebody's words mean, where that is known, and nothing of the words."""
    if words.startswith(NO_MAIL):
        return without_addresses(words)
    known = meaning(words)
    return known.means.rstrip(".") if known else ""


def fields(whence: Origin | None) -> list[tuple[str, str]]:
    """Return where each of a form's fields went: its name and the places in words."""
    if whence is None:
        return []
    return [
        (name, ", ".join(PLACES.get(place, place) for place in places.split()))
        for name, places in whence.fields.items()
    ]


def timeline(told: Told) -> list[Entry]:
    """Return what happened, oldest first."""
    found, whence = told.found, origin.load(told.found.content.origin)
    row = found.row
    entries = [_posted(found, whence)]
    if whence is not None:
        entries += _checks(row.created_at, whence)
    if row.state == State.SCREENED:
        entries.append(Entry(row.created_at, "note", "Kept back as a robot's", row.words or ""))
    elif row.kind == BROKEN:
        entries.append(Entry(row.created_at, "note", "A plugin failed at it", row.words or ""))
    acts_left = list(told.acts)
    for event in found.events:
        act = next((one for one in acts_left if one.at == event.at), None)
        if act is not None:
            acts_left.remove(act)
        entries.append(_event(event, act))
    entries += [_attempt(one) for one in found.attempts]
    entries += [_act(act) for act in acts_left]
    if row.cleared_at is not None:
        words = "What it said is gone; what became of it stays."
        entries.append(Entry(row.cleared_at, "note", "Contents cleared", "", words))
    return sorted(entries, key=lambda one: one.at)


def _posted(found: StoredMessage, whence: Origin | None) -> Entry:
    row = found.row
    key = f" with the key {row.key}" if row.key else ""
    by = _CLIENTS.get(whence.client, "") if whence else ""
    page = f" on {whence.page}" if whence and whence.page else ""
    if row.state == State.SCREENED or whence is not None:
        return Entry(row.created_at, "posted", f"Posted {by}{page}{key}".replace("  ", " "))
    headline = f"Accepted{key}" if key else "Accepted"
    return Entry(row.created_at, "posted", headline)


def _checks(at: float, whence: Origin) -> Iterator[Entry]:
    passed = []
    if whence.authenticators:
        kind = f", a {whence.kind} key" if whence.kind in ("secret", "publishable") else ""
        passed.append(f"who calls: {' or '.join(whence.authenticators)}{kind}")
    if whence.has_token:
        old = f", made {age(whence.token_age)} before" if whence.token_age is not None else ""
        passed.append(f"session token{old}")
    else:
        passed.append("no session token was needed")
    if whence.screens:
        passed.append(f"no robot's: {', '.join(whence.screens)}")
    yield Entry(at, "checks", "Checks passed", "; ".join(passed))
    if whence.fields:
        unused = [name for name, place in whence.fields.items() if place == UNUSED]
        more = f" and {whence.more} more" if whence.more else ""
        words = f"nobody used: {', '.join(unused)}" if unused else "every field was used"
        count = len(whence.fields)
        noun = "field" if count == 1 else "fields"
        yield Entry(at, "mapping", f"{count} {noun}{more} became a message", words)


def _event(event: Event, act: Act | None) -> Entry:
    kind, headline = EVENTS.get(event.kind, ("note", event.kind))
    is_persons = act is not None or event.words.startswith("by ")
    if event.kind == "found" and is_persons:
        kind, headline = "order", "A person found it at the provider"
    means = _MEANINGS.get(event.kind, "")
    if not means:
        known = meaning(event.words) if kind in ("told", "note", "look_up") else None
        means = known.means if known else ""
    return Entry(event.at, kind, headline, _with_way(event.words, act), means)


def _with_way(words: str, act: Act | None) -> str:
    """Add to an event by which way it was ordered."""
    if act is None:
        return words
    origin_of = f" from {act.by.origin}" if act.by.origin else ""
    return f"{words} ({act.by.way}{origin_of})"


def _attempt(one: Attempt) -> Entry:
    headline = _OUTCOMES.get(one.outcome, f"{one.outcome} by {{}}").format(one.delivery)
    seconds = f"{one.ended_at - one.started_at:.2f} s"
    known = meaning(one.words)
    means = known.means if known else ""
    return Entry(
        one.ended_at, "attempt", f"Attempt {one.number}: {headline} ({seconds})", one.words, means
    )


def _act(act: Act) -> Entry:
    change = f"{act.before} > {act.after}" if act.before and act.after else act.after
    return Entry(act.at, "order", f"{act.verb}, by {act.by.who}", _with_way(change, act).strip())
