"""When the operator is told what: pure, without a clock, a store or a mail."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from relay.config.alerts import KINDS, AlertSettings
from relay.notifications.alerts.event_counts import NAMED, EventCount
from relay.store.alerts import Alert, AlertKey

# What was quiet for so long and happens again is told at once, however often it was told before.
QUIET_SECONDS = 4 * 3600.0
# What goes on is told early, with another mail, when so much of its pause is over.
EARLY = 0.5


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so right now, and lasts. since: when it began, as far as that is known."""

    key: AlertKey
    since: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class AlertDue:
    """An alert that the operator is to be told of now; `over`: that it has ended.

    alert: as it stands, with what is new in it. `told` is what it is once they were told.
    """

    alert: Alert
    over: bool
    told: Alert


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the alerts are now, those that are done with, and what is to be told."""

    alerts: Mapping[AlertKey, Alert]
    dropped: Sequence[AlertKey]
    due: Sequence[AlertDue]


def decide(
    standing: Iterable[Alert],
    seen: Mapping[AlertKey, EventCount],
    conditions: Iterable[Condition],
    terms: AlertSettings,
    now: float,
) -> Decisions:
    """Put together what stood and what was seen since, and decide what to tell."""
    alerts = {alert.key: alert for alert in standing}
    for key, sighting in seen.items():
        alerts[key] = _counted(alerts.get(key), key, sighting, now)
    lasting = {condition.key: condition for condition in conditions}
    for key, condition in lasting.items():
        alerts[key] = _lasting(alerts.get(key), condition, now)
    for key, alert in alerts.items():
        if KINDS[key.kind].lasts and key not in lasting and alert.over_at is None:
            alerts[key] = replace(alert, over_at=now)
    dropped = [key for key, alert in alerts.items() if _is_done(alert, alerts, terms, now)]
    kept = {key: alert for key, alert in alerts.items() if key not in dropped}
    return Decisions(kept, dropped, _all_due(kept, terms, now))


def _all_due(alerts: Mapping[AlertKey, Alert], terms: AlertSettings, now: float) -> list[AlertDue]:
    """Return what is due; where anything is, also what would soon make a mail of its own."""
    for share in (1.0, EARLY):
        every = (_alert_due(alert, alerts, terms, now, share) for alert in alerts.values())
        due = [one for one in every if one is not None]
        if not due:
            break
    return due


def _counted(alert: Alert | None, key: AlertKey, sighting: EventCount, now: float) -> Alert:
    known = alert or Alert(key, since=now, last_at=now, count=0)
    reasons = dict(known.reasons)
    for reason, count in sighting.reasons.items():
        reasons[reason] = reasons.get(reason, 0) + count
    return replace(
        known,
        last_at=now,
        count=known.count + sighting.count,
        reasons=reasons,
        ids=(*known.ids, *sighting.ids)[:NAMED],
        words=sighting.words or known.words,
    )


def _lasting(alert: Alert | None, condition: Condition, now: float) -> Alert:
    """Return a condition's alert; one whose end was told has come back and counts once more."""
    if alert is None:
        since = condition.since
        return Alert(condition.key, since, since, 1, words=condition.words)
    if alert.over_at is None:
        return replace(alert, words=condition.words)
    count = alert.count + _end_was_told(alert)
    return replace(alert, count=count, last_at=now, over_at=None, words=condition.words)


def _is_done(
    alert: Alert, others: Mapping[AlertKey, Alert], terms: AlertSettings, now: float
) -> bool:
    """Return whether nothing more is to be said of it, nor to be kept quiet."""
    pause = terms.pause(alert.key.kind, alert.tellings)
    if KINDS[alert.key.kind].lasts:
        if alert.over_at is None:
            return False
        quiet_since = max(alert.over_at, alert.told_at or 0.0)
        said = not _end_is_news(alert) and now - quiet_since >= pause
        return said or _is_covered(alert, others)
    pause = min(pause, QUIET_SECONDS)
    if alert.untold >= terms.least(alert.key.kind):
        return False
    quiet_since = alert.since if alert.told_at is None else max(alert.last_at, alert.told_at)
    return now - quiet_since >= pause


def _alert_due(
    alert: Alert, others: Mapping[AlertKey, Alert], terms: AlertSettings, now: float, share: float
) -> AlertDue | None:
    """Return what is to be told of an alert after a share of its pause; None for nothing."""
    if _is_covered(alert, others):
        return None
    kind = KINDS[alert.key.kind]
    if alert.over_at is not None:
        if now - alert.over_at < kind.calm or not _end_is_news(alert):
            return None
        return AlertDue(alert, over=True, told=replace(alert, told_at=now, told_count=alert.count))
    if not kind.lasts and alert.untold < terms.least(alert.key.kind):
        return None
    pause = share * terms.pause(alert.key.kind, alert.tellings)
    if alert.told_at is not None and now - alert.told_at < pause:
        return None
    count, tellings = alert.count, alert.tellings + 1
    told = replace(alert, told_at=now, told_count=count, tellings=tellings, reasons={}, ids=())
    return AlertDue(alert, over=False, told=told)


def _is_covered(alert: Alert, others: Mapping[AlertKey, Alert]) -> bool:
    """Return whether something worse is known, which is told in its place."""
    return alert.key.kind == "waiting" and alert.key._replace(kind="waiting_long") in others


def _end_is_news(alert: Alert) -> bool:
    """Return whether the operator still thinks that it lasts, or never heard of it at all.

    What came back for a short while, too soon to be told again, ends unheard of.
    """
    heard = not alert.untold or not alert.told_count
    return heard and not _end_was_told(alert)


def _end_was_told(alert: Alert) -> bool:
    return alert.over_at is not None and (alert.told_at or 0.0) >= alert.over_at
