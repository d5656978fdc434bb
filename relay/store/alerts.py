"""What an operator is told of, as it stands: stored, so that a restart tells nothing twice.

What changed of the alerts, and the mails that say so, are one commit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from relay.store import values, webhooks
from relay.store.cluster import daemons, leases
from relay.store.engine.writer import one_by_one
from relay.store.outbox import enqueue
from relay.store.outbox.enqueue import NewMessage
from relay.store.schema import alert_reports, alerts, installation
from relay.store.webhooks import NewCall

# Under these names it is remembered up to when what this daemon saw is written down, and until
# which daemon's end what others did not write down is known.
LOOKED, LAPSED = "looked", "lapsed"


class NotLeading(Exception):
    """Another daemon leads by now: what this one was about to tell is that one's."""


class AlertKey(NamedTuple):
    """What an alert is about: `server` "" is the installation.

    plugin: one that delivers, or the reason of refusals; "" for none.
    """

    kind: str
    server: str
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that goes wrong, since when, how often, and what the operator was told of it.

    reasons, ids: of what was not told yet. told_count: how many were told by `told_at`, in so many
    `tellings`. over_at: since when it is over; None while it lasts.
    """

    key: AlertKey
    since: float
    last_at: float
    count: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    words: str = ""
    told_at: float | None = None
    told_count: int = 0
    tellings: int = 0
    over_at: float | None = None

    @property
    def untold(self) -> int:
        """Count what happened since the operator was told last."""
        return self.count - self.told_count


@dataclass(frozen=True, slots=True)
class Change:
    """What one look changes: alerts put in the place of the old, alerts that are done with, mails.

    calls: to those who are told beside mail. remembered: values by name, for the looks to come.
    reported: the reports of other daemons that are in it. leader: the daemon that must lead yet for
    any of it to be made.
    """

    put: Sequence[Alert] = ()
    dropped: Sequence[AlertKey] = ()
    mails: Sequence[NewMessage] = ()
    calls: Sequence[NewCall] = ()
    remembered: Mapping[str, float] = field(default_factory=dict)
    reported: Sequence[int] = ()
    leader: int = 0

    def __bool__(self) -> bool:
        told = self.mails or self.calls
        return bool(self.put or self.dropped or told or self.remembered or self.reported)


def standing(connection: Connection) -> list[Alert]:
    """Return all alerts, by kind and server."""
    query = select(alerts).order_by(alerts.c.kind, alerts.c.server, alerts.c.plugin)
    return [_alert(row._mapping) for row in connection.execute(query)]


def remembered(connection: Connection) -> dict[str, float]:
    """Return what earlier looks remembered, by name."""
    query = select(installation).where(installation.c.name.startswith(_PREFIX, autoescape=True))
    return {row.name.removeprefix(_PREFIX): float(row.value) for row in connection.execute(query)}


class Report(NamedTuple):
    """What a daemon saw up to a time, as JSON."""

    seen: str
    at: float


@one_by_one
def report(connection: Connection, one: Report) -> None:
    """Leave what this daemon saw to the one that leads."""
    connection.execute(insert(alert_reports).values(seen=one.seen))
    daemons.reported(connection, daemons.own_number(connection), one.at)


def reports(connection: Connection) -> list[tuple[int, str]]:
    """Return what daemons left to the one that leads, in their order, each with its number."""
    query = select(alert_reports.c.id, alert_reports.c.seen).order_by(alert_reports.c.id)
    return [(row.id, row.seen) for row in connection.execute(query)]


@one_by_one
def change(connection: Connection, one: Change) -> None:
    """Make changes, each whole or not at all; raise NotLeading for one of a daemon that led."""
    if one.leader and leases.holder(connection, leases.LEADER, lock=True) != one.leader:
        raise NotLeading
    connection.execute(delete(alert_reports).where(alert_reports.c.id.in_(one.reported)))
    if one.leader and LOOKED in one.remembered:
        daemons.reported(connection, one.leader, one.remembered[LOOKED])
    for key in [*one.dropped, *(alert.key for alert in one.put)]:
        connection.execute(delete(alerts).where(*_is(key)))
    if one.put:
        connection.execute(insert(alerts), [_row(alert) for alert in one.put])
    for name, value in one.remembered.items():
        values.put(connection, _PREFIX + name, repr(value))
    if one.mails:
        enqueue.add_together(connection, [one.mails])
    webhooks.add(connection, one.calls)


_PREFIX = "alerts: "


def _is(key: AlertKey) -> list[Any]:
    return [alerts.c[name] == value for name, value in key._asdict().items()]


_PLAIN = ("since", "last_at", "count", "words", "told_at", "told_count", "tellings", "over_at")


def _row(alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in _PLAIN}
    values |= {"reasons": json.dumps(dict(alert.reasons)), "ids": " ".join(alert.ids)}
    return {**alert.key._asdict(), **values}


def _alert(row: Mapping[Any, Any]) -> Alert:
    return Alert(
        AlertKey(row["kind"], row["server"], row["plugin"]),
        reasons=json.loads(row["reasons"]),
        ids=tuple(row["ids"].split()),
        **{name: row[name] for name in _PLAIN},
    )
