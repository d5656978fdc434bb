"""What webhooks are told: an event's type, its time, and what identifies its message."""

import json
from collections.abc import Mapping
from typing import Any

from relay.config.webhooks import Webhook
from relay.core.ids import message_id
from relay.core.times import utc
from relay.notifications.alerts.event_counts import publishable
from relay.store.webhooks import Event, NewCall


def calls_of(
    event: Event, webhooks: Mapping[str, Webhook], metadata_key: str, now: float
) -> list[NewCall]:
    """Make the calls that an event is worth: one for every webhook that asks for it.

    Of Relay's own canaries nobody is told.
    """
    return [
        NewCall(
            message_id(),
            webhook.target.name,
            event.message,
            f"message.{event.kind}",
            _body(event, webhook, metadata_key),
            now,
        )
        for webhook in webhooks.values()
        if webhook.wants(event.kind, event.server) and not event.canary
    ]


def _body(event: Event, webhook: Webhook, metadata_key: str) -> str:
    metadata: dict[str, str] = json.loads(event.metadata or "{}")
    metadata.pop(metadata_key, None)
    data: dict[str, Any] = {
        "id": event.message,
        "server": event.server,
        "state": event.state,
        "words": publishable(event.words),
        "reference": event.reference,
        "provider_id": event.provider_id,
        "metadata": metadata,
    }
    if webhook.addresses:
        data["recipients"] = (event.recipient or event.recipients or "").split()
    return body(f"message.{event.kind}", event.at, data)


def body(kind: str, at: float, data: Mapping[str, Any]) -> str:
    """Write a body as Standard Webhooks has it."""
    timestamp = utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": timestamp, "data": data})
