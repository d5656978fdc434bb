"""Why a message is as it is, in one sentence, and what a person can do about it.

The console and `queue show` say the same: both ask here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay.core.server import Server
from relay.core.states import UNSEEN, WAITING, State
from relay.core.times import age, shown
from relay.delivery.suppression_filter import NO_MAIL
from relay.operators.provider_words import Meaning, meaning
from relay.store.outbox import readdressing
from relay.store.outbox.operator_actions import APPLIES_TO
from relay.store.queries.listing import Event, MessageRow, StoredMessage
from relay.store.schema import BROKEN


class Why(NamedTuple):
    """Why a message is in its state, what to do, and the orders that apply to it.

    sentence: one, in plain words. remedy: what a person does, "" where nothing is to be done.
    orders: names as the commands have them; those about what is no message yet end in _submission.
    """

    sentence: str
    remedy: str = ""
    orders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is around a message: the settings, pauses, and what the running daemon says.

    settings: the file's name. pauses: since when servers are paused. outages: the providers that
    fail, as a daemon tells of them; stuck: the servers for whose mail there is no other way.
    silence: why no daemon can be asked; "" where one answered.
    """

    servers: Mapping[str, Server]
    now: float
    settings: str = "settings.toml"
    pauses: Mapping[str, float] = field(default_factory=dict)
    outages: Sequence[Mapping[str, Any]] = ()
    stuck: Collection[str] = ()
    silence: str = ""


class Hindrance(NamedTuple):
    """Why a message waits, and what a person does about that."""

    words: str
    remedy: str = ""


NOTHING = "Nothing: it goes on by itself."

# What robots do, by the reasons that the shipped plugins give.
_ROBOTS = {
    "honeypot": "a field was filled in that people do not see",
    "fill_time": "it was posted sooner than people can fill the form in",
}


def explain(found: StoredMessage, around: Circumstances) -> Why:
    """Say why a message is as it is."""
    row = found.row
    why = _EXPLAIN[State(row.state)](found, around)
    sentence = why.sentence
    if row.maybe_twice:
        sentence += " It may have been delivered twice."
    if row.cleared_at is not None:
        sentence += f" What it said was cleared at {shown(row.cleared_at)}."
    return Why(sentence, why.remedy, tuple(_orders(found)))


def outage(one: Mapping[str, Any]) -> str:
    """Say since when a provider fails, in which words, and when it is asked again."""
    at = one["next_probe"]
    probe = "it is asked again just now" if at is None else f"next probe at {shown(at)}"
    name, since = f"{one['plugin']} of {one['group']}", shown(one["since"])
    return f"{name} fails since {since}: {one['words']}; {probe}"


def is_dismissed(found: StoredMessage) -> bool:
    """Return whether a person has seen what became of it, and nobody revived it since."""
    decided = [one.kind for one in found.events if one.kind in ("dismissed", "retried", "released")]
    return found.row.state in UNSEEN and decided[-1:] == ["dismissed"]


def hindrances(row: MessageRow, around: Circumstances) -> list[Hindrance]:
    """Return what a message waits for."""
    return [*_set_against(row, around), *_delays(row, around)] or [_turn(row, around.now)]


def _orders(found: StoredMessage) -> Iterator[str]:
    """Return the orders that apply, the likeliest first."""
    row = found.row
    if row.state == State.SCREENED or row.kind == BROKEN:
        if row.cleared_at is None:
            yield from ("release_submission", "drop_submission")
        return
    for order in ("retry", "release", "found", "cancel", "dismiss"):
        applies = row.state in APPLIES_TO[order]
        # Both queue it; a state has the one that its name suggests.
        is_other = order == "release" and row.state == State.IN_DOUBT
        is_other |= order == "retry" and row.state == State.QUARANTINED
        is_gone = order in ("retry", "release") and row.cleared_at is not None
        is_seen = order == "dismiss" and is_dismissed(found)
        if applies and not (is_other or is_gone or is_seen):
            yield order
    if not readdressing.objection(row):
        yield "readdress"


def _waiting(found: StoredMessage, around: Circumstances) -> Why:
    reasons = hindrances(found.row, around)
    sentence = f"It waits, because {', and because '.join(one.words for one in reasons)}."
    remedies = dict.fromkeys(one.remedy for one in reasons if one.remedy)
    return Why(sentence, " ".join(remedies) or NOTHING)


def _set_against(row: MessageRow, around: Circumstances) -> Iterator[Hindrance]:
    """Return what people have set so that a message waits."""
    known = around.servers.get(row.server)
    if known is None:
        yield Hindrance(
            f"{around.settings} has no server {row.server}",
            f"Put the server back into {around.settings} and `run.py reload`, or cancel it.",
        )
        return
    for name in dict.fromkeys((row.server, known.group or row.server)):
        server = around.servers.get(name, known)
        if name in around.pauses:
            since = shown(around.pauses[name])
            yield Hindrance(f"{name} is paused since {since}", f"`run.py resume {name}`.")
        if not server.enabled:
            yield Hindrance(
                f"{name} is not enabled",
                f"Set `enabled = true` for {name} in {around.settings} and `run.py reload`.",
            )
        elif row.tries and not server.queue_enabled:
            yield Hindrance(
                f"retries of {name} are not enabled",
                f"Set `queue_enabled = true` for {name} in {around.settings} and `run.py reload`.",
            )


def _delays(row: MessageRow, around: Circumstances) -> Iterator[Hindrance]:
    """Return what in the running daemon a message waits for."""
    if around.silence:
        none = around.silence.startswith("no daemon runs")
        yield Hindrance(around.silence, "Start it: `run.py serve`." if none else "`run.py status`.")
    elif row.state in WAITING and row.server in around.stuck:
        for one in around.outages:
            if row.server in one["servers"]:
                yield Hindrance(outage(one), _remedy(one["words"]))


def _turn(row: MessageRow, now: float) -> Hindrance:
    """Say why a message waits that nothing hinders."""
    if row.state == State.IN_DOUBT:
        return Hindrance("nobody knows whether the provider took it")
    if row.due_at <= now:
        return Hindrance("its turn has not come: others are being sent")
    wait = age(row.due_at - now)
    if not row.tries:
        return Hindrance(f"its time has not come: in {wait}")
    words = f" ({row.words})" if row.words else ""
    put_off = f"attempt {row.tries} was put off{words}; the next is in {wait}"
    return Hindrance(put_off, _remedy(row.words or ""))


def _remedy(words: str) -> str:
    known = meaning(words)
    return known.remedy if known else ""


def _sending(found: StoredMessage, around: Circumstances) -> Why:
    ends = shown(found.row.due_at)
    return Why(
        f"An attempt runs; if it brings no answer by {ends}, it is in doubt and is looked up.",
        NOTHING,
    )


def _in_doubt(found: StoredMessage, around: Circumstances) -> Why:
    row = found.row
    lost = _latest(found, "interrupted", "restored")
    because = f" ({lost.words})" if lost else f" ({row.words})" if row.words else ""
    against = [*_set_against(row, around), *_delays(row, around)]
    if against:
        next_look = f"it waits, because {', and because '.join(one.words for one in against)}"
    else:
        looks = f", after {_times(row.looks, 'look-up')}" if row.looks else ""
        next_look = f"it is looked up at the provider at {shown(row.due_at)}{looks}"
    remedy = " ".join(one.remedy for one in against if one.remedy) or (
        "Nothing yet. Who finds it at the provider: `queue found`; who knows that it is not there: "
        "`queue retry`."
    )
    words = f"nobody knows whether the provider took it{because}: {next_look}"
    return Why(f"{words[:1].upper()}{words[1:]}.", remedy)


def _held(found: StoredMessage, around: Circumstances) -> Why:
    words = (_latest(found, State.HELD) or _none).words or found.row.words or ""
    if words.startswith(NO_MAIL):
        return Why(
            f"It is held for an office whose address gets no mail: {words.partition(';')[0]}.",
            "When the address works again, `queue replay ADDRESS`; or send it to another one: "
            "`queue readdress`; or `queue cancel`.",
        )
    if any(one.outcome == State.IN_DOUBT for one in found.attempts) or _latest(
        found, "interrupted", "restored"
    ):
        reason = words.removesuffix("; a person must decide") or "its answer was lost"
        return Why(
            f"It is held, because a person must decide whether it is sent again: {reason}.",
            "Look for it at the provider. There: `queue found`. Not there: `queue release`. Not "
            "wanted any more: `queue cancel`.",
        )
    return Why(
        f"It is held until a person has looked at it: {words or 'no reason was written down'}.",
        "Send it as it is: `queue release`; or never: `queue cancel`.",
    )


def _failed(found: StoredMessage, around: Circumstances) -> Why:
    words = _last_words(found)
    known = meaning(words) or Meaning("", "")
    means = f" {known.means}" if known.means else ""
    sentence = f"The provider refused it for good: {words or 'it gave no reason'}.{means}"
    return _left(found, sentence, known.remedy)


def _expired(found: StoredMessage, around: Circumstances) -> Why:
    row = found.row
    server = around.servers.get(row.server)
    most = f" of {server.max_age / 3600:g} hours" if server else ""
    words = _last_words(found)
    last = f"; the last said: {words}" if words else ""
    sentence = f"It was given up after {_times(row.tries, 'attempt')} and its time{most}{last}."
    return _left(found, sentence, _remedy(words))


def _left(found: StoredMessage, sentence: str, remedy: str) -> Why:
    """Explain what was not sent and stays until a person has seen it."""
    if is_dismissed(found):
        return Why(f"{sentence} A person has seen that and dismissed it.")
    if "`queue readdress`" in remedy:
        return Why(sentence, f"{remedy} Else `queue dismiss`.")
    again = "Then `queue retry`" if remedy else "Once the reason is mended, `queue retry`"
    return Why(sentence, f"{remedy} {again}; else `queue dismiss`.".strip())


def _quarantined(found: StoredMessage, around: Circumstances) -> Why:
    row = found.row
    if row.kind == BROKEN:
        if row.cleared_at is not None:
            return Why(f"A plugin failed at this form ({row.words}), and a person dropped it.")
        return Why(
            f"A plugin failed at this form, which is kept as it came: {row.words}.",
            "Mend the plugin, `run.py reload`, then `screened release`; or `screened drop`.",
        )
    if is_dismissed(found):
        return Why(f"It broke what was to send it ({row.words}); a person has dismissed it.")
    if row.crashes:
        return Why(
            f"Sending it failed badly {_times(row.crashes, 'time')}, so it is not tried again by "
            f"itself: {row.words or 'the daemon stopped over it'}.",
            "Look for what the log says of it, mend the plugin, then `queue release`; else "
            "`queue dismiss`.",
        )
    return Why(
        f"No mail can be made of what is stored: {row.words or 'it cannot be read'}.",
        "Ask its writer to send it again, then `queue dismiss`.",
    )


def _cancelled(found: StoredMessage, around: Circumstances) -> Why:
    event = _latest(found, State.CANCELLED)
    whose = f" {event.words}" if event and event.words else ""
    return Why(f"It was cancelled{whose}, so it is never sent.")


def _suppressed(found: StoredMessage, around: Circumstances) -> Why:
    words = _last_words(found) or "none of its recipients gets mail"
    return Why(
        f"It was not even tried: {words}.",
        "Where the address works again, lift it (`suppressions lift`), then send it again: "
        "`queue readdress`.",
    )


def _screened(found: StoredMessage, around: Circumstances) -> Why:
    reason = found.row.words or "no reason was written down"
    means = f": {_ROBOTS[reason]}" if reason in _ROBOTS else ""
    if found.row.cleared_at is not None:
        return Why(f"It was taken for a robot's ({reason}{means}).")
    return Why(
        f"It was taken for a robot's ({reason}{means}); whoever posted it was told that it is "
        "sent.",
        "If a person wrote it: `screened release`. Else nothing, or `screened drop`.",
    )


def _sent(found: StoredMessage, around: Circumstances) -> Why:
    row = found.row
    if row.delivery == "mailbox":
        return Why(
            "The embedded mailbox took it; nobody else got it.",
            "To send mail, list another delivery plugin for its server.",
        )
    own = f" under its id {row.provider_id}" if row.provider_id not in (None, "", row.id) else ""
    taken = f"It was taken by {row.delivery or 'the provider'} at {shown(row.due_at)}{own}"
    came_back = _latest(found, "bounced", "complained")
    if came_back is not None:
        became = "it came back" if came_back.kind == "bounced" else "its reader called it spam"
        again = _latest(found, "returned")
        more = f", and it was {again.words}" if again else ""
        words = f": {came_back.words}" if came_back.words else ""
        remedy = "" if again else "Ask for another address, then `queue readdress`."
        return Why(f"{taken}; at {shown(came_back.at)} {became}{words}{more}.", remedy)
    delivered = _latest(found, "delivered")
    if delivered is not None:
        return Why(f"{taken}; the recipient's server has it since {shown(delivered.at)}.")
    return Why(f"{taken}; nothing was heard of it since.")


def _latest(found: StoredMessage, *kinds: str) -> Event | None:
    """Return the last event of some kinds."""
    return next((one for one in reversed(found.events) if one.kind in kinds), None)


def _last_words(found: StoredMessage) -> str:
    """Return what was said last, as its row has it or its last attempt."""
    said = found.row.words or (found.attempts[-1].words if found.attempts else "")
    return said.rstrip(".")


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_none = Event(0.0, "", "")

_EXPLAIN: Mapping[State, Callable[[StoredMessage, Circumstances], Why]] = {
    State.QUEUED: _waiting,
    State.SCHEDULED: _waiting,
    State.SENDING: _sending,
    State.IN_DOUBT: _in_doubt,
    State.HELD: _held,
    State.SENT: _sent,
    State.FAILED: _failed,
    State.EXPIRED: _expired,
    State.CANCELLED: _cancelled,
    State.SUPPRESSED: _suppressed,
    State.QUARANTINED: _quarantined,
    State.SCREENED: _screened,
}
