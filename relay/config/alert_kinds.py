"""The kinds of alert: what happens now and then, and what lasts until it is over."""

from typing import NamedTuple

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
