"""The alerts' words: template files beside this one, each with its subject in the first line."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relay.alerts.judgement import Telling
from relay.alerts.kinds import KINDS
from relay.alerts.terms import Terms
from relay.mustachio import Template, parse
from relay.times import age, shown

FOLDER = Path(__file__).parent / "texts"
RULE = "\n" + "-" * 40 + "\n\n"
# What a kind without a server of its own is about.
EVERYWHERE = "Relay"


@dataclass(frozen=True, slots=True)
class Letter:
    """What one mail says."""

    subject: str
    text: str


def alert_letter(tellings: Sequence[Telling], terms: Terms, now: float) -> Letter:
    """Write one mail on everything that is to be told now."""
    sections = [_section(telling, terms, now) for telling in tellings]
    pauses = [terms.pause(one.told.tellings) for one in tellings if not one.over]
    again = _long(min(pauses)) if pauses else ""
    places = dict.fromkeys(one.alert.key.server or EVERYWHERE for one in tellings)
    if len(sections) == 1:
        return _mail(sections[0], now, again)
    subject = f"{len(sections)} alerts: {', '.join(places)}"
    text = RULE.join(f"{one.subject}\n\n{one.text}" for one in sections)
    return _mail(Letter(subject, text), now, again)


def letter(name: str, model: Mapping[str, Any], now: float) -> Letter:
    """Write a mail of a template file of its own."""
    return _mail(_written(_template(name, ""), model), now)


def _section(telling: Telling, terms: Terms, now: float) -> Letter:
    kind = telling.alert.key.kind
    name = f"{kind}_over" if telling.over else kind
    return _written(_template(name, "section"), _model(telling, terms, now))


def _model(telling: Telling, terms: Terms, now: float) -> dict[str, Any]:
    alert = telling.alert
    reasons = sorted(alert.reasons.items(), key=lambda one: -one[1])
    limit = terms.waiting_long if alert.key.kind == "waiting_long" else terms.waiting
    return {
        "place": alert.key.server or EVERYWHERE,
        "server": alert.key.server,
        "plugin": alert.key.plugin,
        "number": alert.untold,
        "s": "" if alert.untold == 1 else "s",
        "before": _before(telling),
        "since": shown(alert.since),
        "last": shown(alert.last_at) if alert.last_at > alert.since and not telling.over else "",
        "until": shown(alert.over_at) if alert.over_at is not None else "",
        "duration": _long((alert.over_at or now) - alert.since),
        "limit": _long(limit),
        "reasons": ", ".join(f"{reason} {count}" for reason, count in reasons),
        "words": alert.words,
        "ids": " ".join(alert.ids),
    }


def _before(telling: Telling) -> str:
    """Say what the operator was told before."""
    alert = telling.alert
    if telling.over or alert.told_at is None:
        return ""
    when = shown(alert.told_at)
    if not KINDS[alert.key.kind].lasts:
        return f"{alert.untold} since {when}, {alert.count} in all"
    return f"told before, {when}: it {'came back' if alert.untold else 'goes on'}"


def _mail(letter: Letter, now: float, again: str = "") -> Letter:
    model = {"text": letter.text, "host": platform.node(), "now": shown(now), "again": again}
    text = _template("mail", "").render(model, escape=False)
    return Letter(f"[Relay] {letter.subject}", text)


def _written(template: Template, model: Mapping[str, Any]) -> Letter:
    subject, _, text = template.render(model, escape=False).partition("\n")
    return Letter(subject, text.lstrip("\n"))


@cache
def _template(name: str, layout: str) -> Template:
    content = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    if not layout:
        return parse(content)
    return parse((FOLDER / f"{layout}.txt").read_text(encoding="utf-8"), content)


def _long(seconds: float) -> str:
    """Write a duration in one unit: `90 minutes`, `4 hours`, `2.5 days`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds >= length and not seconds % length):
            number = f"{seconds / length:.1f}".removesuffix(".0")
            return f"{number} {unit}{'' if number == '1' else 's'}"
    return age(seconds)
