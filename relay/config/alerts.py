"""The kinds of alert; `[alerts]` of the settings: who is told of them, how soon, how often."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay.config.fields import check
from relay.config.schema import AlertsTable, AlertWebhookTable
from relay.config.template_files import AlertTexts
from relay.config.webhooks import Target, check_url, read_target
from relay.core.addresses import Address
from relay.core.errors import ConfigurationError
from relay.core.server import Server
from relay.core.states import TROUBLES, State
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
        # One that arrives ends it at once.
        AlertKind("canary", lasts=True, urgent=True, calm=0.0),
        # A person switches a webhook on: that is over at once.
        AlertKind("webhook", lasts=True, urgent=True, calm=0.0),
        AlertKind("broken"),
        AlertKind("breaker", lasts=True),
        AlertKind("waiting", lasts=True),
        AlertKind("refused"),
        AlertKind("settings"),
        AlertKind(State.QUARANTINED),
        AlertKind(State.FAILED),
        AlertKind(State.EXPIRED),
        AlertKind(State.HELD),
        AlertKind(State.SUPPRESSED),
        AlertKind("dropped"),
        AlertKind("bounced"),
        AlertKind("unanswered"),
        AlertKind("resent"),
        # What takes days to be one is no other thing after a quarter of an hour.
        AlertKind("silence", lasts=True, calm=0.0, slow=True),
        AlertKind("day_used"),
        AlertKind("tokens"),
        AlertKind("keys"),
        AlertKind(State.SCREENED),
    )
}

# The reasons of refusals that are about keys, and those about session tokens.
KEY_REASONS = frozenset(
    {
        *("no_header", "unknown_key", "key_expired", "key_revoked", "wrong_server", "key_kind"),
        *("webhook_secret", "webhook_network"),
    }
)
TOKEN_REASONS = frozenset({"token_missing", "token_unknown", "token_expired", "token_used"})
# The reasons that point at a page or the settings, where many posts are refused for one of them.
FORM_REASONS = frozenset(
    {
        "origin",
        "unsure",
        "recipient",
        "sender",
        "header",
        "invalid",
        "malformed",
        "too_large",
        "media_type",
        "attachments",
        "template",
        "scheduling",
        "idempotency_key",
    }
)
# What befalls messages on their way: of alerts themselves, no alert is made.
DELIVERIES = frozenset({*TROUBLES, "dropped", "bounced", "resent"})


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is told, by whose delivery, and when. Times are in seconds.

    to: nobody is told by mail where it is empty. urgent_to: who is told what cannot wait, those
    of `to` included. repeat: from one mail to the next on the same thing, the last one for ever.
    breaker: for how long a provider must have failed. waiting, waiting_long: ages of the oldest
    waiting message. digest: after midnight UTC; None for none. channels: who is told beside mail.
    texts: what the mails say.
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
    channels: tuple[Target, ...]
    texts: AlertTexts = field(compare=False)

    def pause(self, kind: str, told: int) -> float:
        """Return the seconds to the next mail on something that was told so often."""
        last = len(self.repeat) - 1
        return self.repeat[last if KINDS[kind].slow else min(max(told - 1, 0), last)]

    def least(self, kind: str) -> int:
        """Return how many of a kind there must be before anybody is told."""
        return self.at_least.get(kind, 1)


def read(table: Any, servers: Mapping[str, Server], place: str) -> AlertSettings:
    """Check `[alerts]` against the servers that there are; raise ConfigurationError.

    table: None where the settings have none; then nobody is told by mail.
    """
    values = check(AlertsTable(), {} if table is None else table, place)
    values["channels"] = tuple(_channels(values, place))
    name = values["server"] if values["to"] else ""
    if table is not None and not values["to"] and not values["channels"]:
        raise ConfigurationError(f'{place} to: name who is told: ["ops@example.gov"]')
    if name:
        if name not in servers:
            words = f"no server {name}; it needs a table of its own, with a plugin that delivers"
            raise ConfigurationError(f"{place} server: {words}{nearest(name, servers)}")
        if servers[name].sender is None:
            raise ConfigurationError(f"{place} server: [servers.{name}] needs a sender")
    values["urgent_to"] = tuple(dict.fromkeys([*values["to"], *values["urgent_to"]]))
    values["server"] = name
    texts = AlertTexts(servers[name].templates if name else ())
    return AlertSettings(**values, texts=texts)


def _channels(values: dict[str, Any], place: str) -> Iterator[Target]:
    """Take the channels beside mail out of the table's values."""
    networks = tuple(values.pop("networks"))
    if table := values.pop("webhook"):
        here = f"{place.rstrip(']')}.webhook]"
        yield read_target("alerts.webhook", check(AlertWebhookTable(), table, here), here)
    for form in ("slack", "teams"):
        url = values.pop(form)
        if url is not None:
            check_url(url, networks, f"{place} {form}")
            yield Target(f"alerts.{form}", url, networks=networks, form=form)
