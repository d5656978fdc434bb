"""The alerts' mails: what is told at one time, the worst first, what is alike in one section."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from relay.config.alerts import KINDS, AlertSettings
from relay.core.times import age, shown
from relay.notifications.alerts.rules import AlertDue

RULE = "\n" + "-" * 40 + "\n\n"
# What a kind without a server of its own is about.
EVERYWHERE = "Relay"
# How many servers a subject names.
NAMED_SERVERS = 3
_ORDER = list(KINDS)


@dataclass(frozen=True, slots=True)
class AlertEmail:
    """What one mail says."""

    subject: str
    text: str


def alert_email(dues: Sequence[AlertDue], terms: AlertSettings, now: float) -> AlertEmail:
    """Write one mail on everything that is to be told now; its subject is the worst of it."""
    alike = [list(some) for _, some in groupby(sorted(dues, key=_weight), key=_likeness)]
    sections = [_section(some, terms, now) for some in alike]
    pauses = [terms.pause(one.alert.key.kind, one.told.tellings) for one in dues if not one.over]
    again = _long(min(pauses)) if pauses else ""
    if len(sections) == 1:
        return _mail(sections[0], terms, now, again)
    subject = f"{sections[0].subject}, and {len(sections) - 1} more"
    contents = "".join(f"* {one.subject}\n" for one in sections)
    told = [f"{one.subject}\n\n{one.text}" for one in sections]
    return _mail(AlertEmail(subject, RULE.join([contents, *told])), terms, now, again)


def email(name: str, model: Mapping[str, Any], terms: AlertSettings, now: float) -> AlertEmail:
    """Write a mail of a text of its own."""
    return _mail(_written(name, model, terms), terms, now)


def _likeness(due: AlertDue) -> tuple[bool, int, str]:
    """Return what alerts of one section share: they ask the same of whoever reads them."""
    key = due.alert.key
    return due.over, _ORDER.index(key.kind), key.plugin


def _weight(due: AlertDue) -> tuple[tuple[bool, int, str], bool, str]:
    """Return the place of an alert in a mail: the worst first, what is over last."""
    server = due.alert.key.server
    return _likeness(due), not server, server


def _section(dues: Sequence[AlertDue], terms: AlertSettings, now: float) -> AlertEmail:
    kind, over = dues[0].alert.key.kind, dues[0].over
    return _written(f"{kind}_over" if over else kind, _model(dues, terms, now), terms)


def _model(dues: Sequence[AlertDue], terms: AlertSettings, now: float) -> dict[str, Any]:
    alerts = [one.alert for one in dues]
    key, number = alerts[0].key, sum(alert.untold for alert in alerts)
    lasted = [(alert.over_at or now) - alert.since for alert in alerts]
    limit = terms.waiting_long if key.kind == "waiting_long" else terms.waiting
    return {
        "place": _places([alert.key.server or EVERYWHERE for alert in alerts]),
        "server": key.server if len(alerts) == 1 else "",
        "plugin": key.plugin,
        "number": number,
        "s": "" if number == 1 else "s",
        "longest": _long(max(lasted)),
        "shortest": _long(min(lasted)),
        "limit": _long(limit),
        "cases": [_case(one, is_alone=len(alerts) == 1) for one in dues],
    }


def _places(names: Sequence[str]) -> str:
    more = len(names) - NAMED_SERVERS
    named = ", ".join(names[:NAMED_SERVERS])
    return f"{named} and {more} more" if more > 0 else named


def _case(due: AlertDue, *, is_alone: bool) -> dict[str, str]:
    """Return what a section says of one server; what was so is not said of what is over."""
    alert, over = due.alert, due.over
    name = alert.key.server or EVERYWHERE
    named = name if KINDS[alert.key.kind].lasts else f"{name}: {alert.untold}"
    reasons = sorted(alert.reasons.items(), key=lambda one: -one[1])
    return {
        "name": "" if is_alone else named,
        "before": _before(due),
        "since": shown(alert.since),
        "last": shown(alert.last_at) if alert.last_at > alert.since and not over else "",
        "until": shown(alert.over_at) if over and alert.over_at is not None else "",
        "reasons": ", ".join(f"{reason} {count}" for reason, count in reasons),
        "words": "" if over else alert.words,
        "ids": " ".join(alert.ids),
    }


def _before(due: AlertDue) -> str:
    """Say what the operator was told before."""
    alert = due.alert
    if due.over or alert.told_at is None:
        return ""
    when = shown(alert.told_at)
    if not KINDS[alert.key.kind].lasts:
        return f"{alert.untold} since {when}, {alert.count} in all"
    return f"told before, {when}: it {'came back' if alert.untold else 'goes on'}"


def _mail(section: AlertEmail, terms: AlertSettings, now: float, again: str = "") -> AlertEmail:
    model = {"text": section.text, "host": platform.node(), "now": shown(now), "again": again}
    return AlertEmail(f"[Relay] {section.subject}", terms.texts.render("mail", model))


def _written(name: str, model: Mapping[str, Any], terms: AlertSettings) -> AlertEmail:
    subject, _, text = terms.texts.render(name, model).partition("\n")
    return AlertEmail(subject, text.lstrip("\n"))


def _long(seconds: float) -> str:
    """Write a duration in one unit: `90 minutes`, `4 hours`, `2.5 days`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds >= length and not seconds % length):
            number = f"{seconds / length:.1f}".removesuffix(".0")
            return f"{number} {unit}{'' if number == '1' else 's'}"
    return age(seconds)
