"""Which alerts still stand: neither over by themselves nor mended by a person since."""

from collections.abc import Sequence

from relay.config.alerts import KINDS
from relay.core.states import UNSEEN, State
from relay.store import alerts as stored
from relay.store.alerts import Alert
from relay.store.engine.database import Connection
from relay.store.outbox import unsent
from relay.store.outbox.unsent import Selection

# What a person mends message by message: with the last of them there is nothing more to do.
_MENDED_SINGLY = frozenset({*UNSEEN, State.HELD})


def divided(connection: Connection) -> tuple[Sequence[Alert], Sequence[Alert]]:
    """Return the alerts that stand now, and those of which only their end is still to be told."""
    alerts = stored.standing(connection)
    stand = [alert for alert in alerts if _stands(connection, alert)]
    return stand, [alert for alert in alerts if alert not in stand]


def _stands(connection: Connection, alert: Alert) -> bool:
    kind, server, _ = alert.key
    if KINDS[kind].lasts:
        return alert.over_at is None
    if kind not in _MENDED_SINGLY:
        return True
    return bool(unsent.page(connection, Selection(kind, server), None, 1).rows)
