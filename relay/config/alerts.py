"""The kinds of alert; `[alerts]` of the settings: who is told of them, how soon, how often."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from relay.config.fields import Parsed, check
from relay.config.template_files import AlertTexts
from relay.core import addresses
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError
from relay.core.server import Server
from relay.core.text import nearest

# What lasts is over when it has been gone for so long: a provider that comes and goes is not
# worth two mails each time.
CALM_SECONDS = 300.0


class AlertKind(NamedTuple):
    """lasts: it is there or it is not; else it is counted. urgent: it cannot wait until morning.

    calm: for how long it must be gone to be over. slow: told again as rarely as anything is.
    """

    name: str
    lasts: bool = False
    urgent: bool = False
    calm: float = CALM_SECONDS
    slow: bool = False


# The worst first: so they stand in a mail.
KINDS = {
    kind.name: kind
    for kind in (
        AlertKind("disk", lasts=True, urgent=True),
        # While this is known, nothing is told of `waiting`.
        AlertKind("waiting_long", lasts=True, urgent=True),
        AlertKind("breaker", lasts=True),
        AlertKind("waiting", lasts=True),
        AlertKind("quarantined"),
        AlertKind("failed"),
        AlertKind("expired"),
        AlertKind("held"),
        AlertKind("suppressed"),
        AlertKind("dropped"),
        AlertKind("bounced"),
        AlertKind("resent"),
        # What takes days to be one is no other thing after a quarter of an hour.
        AlertKind("silence", lasts=True, calm=0.0, slow=True),
        AlertKind("tokens"),
        AlertKind("keys"),
        AlertKind("screened"),
    )
}

# The reasons of refusals that are about keys, and those about session tokens.
KEY_REASONS = frozenset(
    {"no_header", "unknown_key", "wrong_server", "key_kind", "webhook_secret", "webhook_network"}
)
TOKEN_REASONS = frozenset({"token_missing", "token_unknown", "token_expired", "token_used"})
# States in which a message stays, unsent, until a person does something.
TROUBLES = ("failed", "expired", "quarantined", "held", "suppressed")
# What befalls messages on their way: of alerts themselves, no alert is made.
DELIVERIES = frozenset({*TROUBLES, "dropped", "bounced", "resent"})


# How many of a kind there must be before anybody is told: every robot that tries the door, and
# every page that stood open for too long, is worth nobody's sleep.
AT_LEAST: Mapping[str, int] = {"keys": 5, "tokens": 20, "screened": 50}

_POSITIVE = validate.Range(min=0, min_inclusive=False)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told, by whose delivery, and when. Times are in seconds.

    to: nobody is told by mail where it is empty. urgent_to: who is told what cannot wait, those
    of `to` included. repeat: from one mail to the next on the same thing, the last one for ever.
    breaker: for how long a provider must have failed. waiting, waiting_long: ages of the oldest
    waiting message. digest: after midnight UTC; None for none. texts: what the mails say.
    """

    to: tuple[Address, ...]
    urgent_to: tuple[Address, ...]
    server: str
    repeat: tuple[float, ...]
    at_least: Mapping[str, int]
    breaker: float
    waiting: float
    waiting_long: float
    digest: float | None
    digest_always: bool
    texts: AlertTexts

    def pause(self, kind: str, told: int) -> float:
        """Return the seconds to the next mail on something that was told so often."""
        last = len(self.repeat) - 1
        return self.repeat[last if KINDS[kind].slow else min(max(told - 1, 0), last)]


class _Counts(fields.Field[dict[str, int]]):
    """Numbers by the kind of alert; what is not named keeps its default."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("a table of numbers by kind")
        for name, count in value.items():
            if name not in AT_LEAST:
                raise ValidationError(f"no kind {name}: {', '.join(AT_LEAST)}")
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValidationError(f"{name}: a whole number above 0")
        return {**AT_LEAST, **value}


def clock(value: str) -> float | None:
    """Read a time of day, `07:00`, as seconds after midnight; an empty one is none."""
    found = _CLOCK.fullmatch(value)
    if value and found is None:
        raise ValueError('a time of day looks like "07:00"; "" is none')
    return int(found[1]) * 3600.0 + int(found[2]) * 60.0 if found else None


class AlertsTable(Schema):
    """`[alerts]`"""

    class Meta:
        unknown = RAISE

    to = fields.List(Parsed(addresses.parse), load_default=list, validate=validate.Length(max=20))
    urgent_to = fields.List(
        Parsed(addresses.parse), load_default=list, validate=validate.Length(max=20)
    )
    server = fields.String(load_default="alerts")
    repeat_minutes = fields.List(
        fields.Float(validate=validate.Range(min=1, max=7 * 1440)),
        load_default=lambda: [15, 60, 240, 1440],
        validate=validate.Length(min=1),
    )
    at_least = _Counts(load_default=lambda: dict(AT_LEAST))
    breaker_minutes = fields.Float(load_default=2.0, validate=validate.Range(min=0))
    waiting_hours = fields.Float(load_default=1.0, validate=_POSITIVE)
    waiting_long_hours = fields.Float(load_default=4.0, validate=_POSITIVE)
    digest = Parsed(clock, load_default=7 * 3600.0)
    digest_always = fields.Boolean(load_default=False)


def read(table: Any, servers: Mapping[str, Server], place: str) -> AlertSettings:
    """Check `[alerts]` against the servers that there are; raise ConfigurationError.

    table: None where the settings have none; then nobody is told by mail.
    """
    values = check(AlertsTable(), {} if table is None else table, place)
    name = values["server"].lower()
    if table is not None:
        if not values["to"]:
            raise ConfigurationError(f'{place} to: name who is told: ["ops@example.gov"]')
        if name not in servers:
            words = f"no server {name}; it needs a table of its own, with a plugin that delivers"
            raise ConfigurationError(f"{place} server: {words}{nearest(name, servers)}")
        if servers[name].sender is None:
            raise ConfigurationError(f"{place} server: [servers.{name}] needs a sender")
    return AlertSettings(
        to=tuple(values["to"]),
        urgent_to=tuple(dict.fromkeys([*values["to"], *values["urgent_to"]])),
        server=name if table is not None else "",
        repeat=tuple(minutes * 60 for minutes in values["repeat_minutes"]),
        at_least=MappingProxyType(values["at_least"]),
        breaker=values["breaker_minutes"] * 60,
        waiting=values["waiting_hours"] * 3600,
        waiting_long=values["waiting_long_hours"] * 3600,
        digest=values["digest"],
        digest_always=values["digest_always"],
        texts=AlertTexts(servers[name].templates if table is not None else ()),
    )
