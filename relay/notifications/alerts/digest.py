"""The daily digest: what came in, what became of it, and what goes on, by server."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from relay.config.alerts import KINDS, AlertSettings
from relay.core.states import State
from relay.core.times import age, shown
from relay.store import alerts as stored
from relay.store.alerts import Alert
from relay.store.engine.database import Connection
from relay.store.queries import statistics

DAY_SECONDS = 86400.0
# Under these names it is remembered when the last digest was due, and the last event before it.
DIGEST, EVENT = "digest", "digest event"

# What is a line of the digest, and whether it is a problem.
_LINES: Mapping[str, bool] = {
    "accepted": False,
    State.SENT: False,
    State.SCREENED: False,
    State.FAILED: True,
    State.EXPIRED: True,
    State.QUARANTINED: True,
    State.SUPPRESSED: True,
    State.HELD: True,
    "in doubt": True,
    "maybe twice": True,
    "bounced": True,
    "complained": True,
    "waiting": False,
    "oldest waiting": False,
}
_EVENTS = {"resent": "maybe twice", "bounced": "bounced", "complained": "complained"}
_NOW: Mapping[str, str] = {
    State.QUEUED: "waiting",
    State.SENDING: "waiting",
    State.IN_DOUBT: "in doubt",
}


class Digest(NamedTuple):
    """The model of the digest's mail, and whether there is any problem in it."""

    model: Mapping[str, Any]
    has_problems: bool


class Span(NamedTuple):
    """From one digest to the next: in epoch seconds, and in the numbers of events."""

    since: float
    until: float
    after: int
    upto: int


def due_at(terms: AlertSettings, now: float) -> float | None:
    """Return the last moment, up to now, at which a digest is due; None where none is wanted."""
    if terms.digest is None or not terms.to:
        return None
    moment = now // DAY_SECONDS * DAY_SECONDS + terms.digest
    return moment if moment <= now else moment - DAY_SECONDS


def make(connection: Connection, span: Span, terms: AlertSettings) -> Digest:
    """Count everything of a span, by server."""
    counts: dict[str, dict[str, int]] = {}
    oldest: dict[str, float] = {}

    def add(server: str, line: str, number: int) -> None:
        of_server = counts.setdefault(server, {})
        of_server[line] = of_server.get(line, 0) + number

    for one in statistics.accepted(connection, span.since):
        add(one.server, State.SCREENED if one.what == State.SCREENED else "accepted", one.number)
        if one.what == State.SENT:
            add(one.server, State.SENT, one.number)
    for one in statistics.unsent(connection, span.since):
        if one.what in _LINES or one.what in _NOW:
            add(one.server, _NOW.get(one.what, one.what), one.number)
        if one.what in _NOW:
            oldest[one.server] = min(one.oldest, oldest.get(one.server, one.oldest))
    for one in statistics.happened(connection, list(_EVENTS), span.after, span.upto):
        add(one.server, _EVENTS[one.what], one.number)
    standing = [one for one in stored.standing(connection) if _goes_on(one)]
    late = any(span.until - since >= terms.waiting for since in oldest.values())
    problems = _problems(counts.values())
    title = ", ".join(f"{number} {name}" for name, number in problems.items())
    model = {
        "title": title or ("mail waits" if late or standing else "none"),
        "since": shown(span.since),
        "now": shown(span.until),
        "servers": [
            {"server": name, "lines": _lines(counts[name], oldest.get(name), span.until)}
            for name in sorted(counts)
        ],
        "standing": {"lines": [_standing(one) for one in standing]} if standing else None,
    }
    return Digest(model, bool(problems or late or standing))


def _problems(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum up what is a problem, over all servers."""
    found: dict[str, int] = {}
    for of_server in counts:
        for line, number in of_server.items():
            if _LINES[line]:
                found[line] = found.get(line, 0) + number
    return {line: found[line] for line in _LINES if line in found}


def _lines(counts: Mapping[str, int], oldest: float | None, now: float) -> list[dict[str, str]]:
    values = {name: str(number) for name, number in counts.items()}
    if oldest is not None:
        values["oldest waiting"] = age(now - oldest)
    return [
        {"name": name.ljust(16), "value": values[name].rjust(7)}
        for name in _LINES
        if name in values
    ]


def _goes_on(alert: Alert) -> bool:
    return KINDS[alert.key.kind].lasts and alert.over_at is None


def _standing(alert: Alert) -> str:
    about = " ".join(part for part in alert.key if part)
    return f"{about} since {shown(alert.since)}"
