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


def alert_email(tellings: Sequence[AlertDue], terms: AlertSettings, now: float) -> AlertEmail:
    """Write one mail on everything that is to be told now; its subject is the worst of it."""
    alike = [list(some) for _, some in groupby(sorted(tellings, key=_weight), key=_likeness)]
    sections = [_section(some, terms, now) for some in alike]
    pauses = [
        terms.pause(one.alert.key.kind, one.told.tellings) for one in tellings if not one.over
    ]
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


def _likeness(telling: AlertDue) -> tuple[bool, int, str]:
    """Return what tellings of one section share: they ask the same of whoever reads them."""
    key = telling.alert.key
    return telling.over, _ORDER.index(key.kind), key.plugin


def _weight(telling: AlertDue) -> tuple[tuple[bool, int, str], bool, str]:
    """Return the place of a telling in a mail: the worst first, what is over last."""
    server = telling.alert.key.server
    return _likeness(telling), not server, server


def _section(tellings: Sequence[AlertDue], terms: AlertSettings, now: float) -> AlertEmail:
    kind, over = tellings[0].alert.key.kind, tellings[0].over
    return _written(f"{kind}_over" if over else kind, _model(tellings, terms, now), terms)


def _model(tellings: Sequence[AlertDue], terms: AlertSettings, now: float) -> dict[str, Any]:
    alerts = [one.alert for one in tellings]
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
        "cases": [_case(one, is_alone=len(alerts) == 1) for one in tellings],
    }


def _places(names: Sequence[str]) -> str:
    more = len(names) - NAMED_SERVERS
    named = ", ".join(names[:NAMED_SERVERS])
    return f"{named} and {more} more" if more > 0 else named


def _case(telling: AlertDue, *, is_alone: bool) -> dict[str, str]:
    """Return what a section says of one server; what was so is not said of what is over."""
    alert, over = telling.alert, telling.over
    name = alert.key.server or EVERYWHERE
    named = name if KINDS[alert.key.kind].lasts else f"{name}: {alert.untold}"
    reasons = sorted(alert.reasons.items(), key=lambda one: -one[1])
    return {
        "name": "" if is_alone else named,
        "before": _before(telling),
        "since": shown(alert.since),
        "last": shown(alert.last_at) if alert.last_at > alert.since and not over else "",
        "until": shown(alert.over_at) if over and alert.over_at is not None else "",
        "reasons": ", ".join(f"{reason} {count}" for reason, count in reasons),
        "words": "" if over else alert.words,
        "ids": " ".join(alert.ids),
    }


def _before(telling: AlertDue) -> str:
    """Say what the operator was told before."""
    alert = telling.alert
    if telling.over or alert.told_at is None:
        return ""
    when = shown(alert.told_at)
    if not KINDS[alert.key.kind].lasts:
        return f"{alert.untold} since {when}, {alert.count} in all"
    return f"told before, {when}: it {'came back' if alert.untold else 'goes on'}"


def _mail(letter: AlertEmail, terms: AlertSettings, now: float, again: str = "") -> AlertEmail:
    model = {"text": letter.text, "host": platform.node(), "now": shown(now), "again": again}
    return AlertEmail(f"[Relay] {letter.subject}", terms.texts.render("mail", model))


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
