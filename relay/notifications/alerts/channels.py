"""Alerts beside mail: a webhook, Slack, Teams. What fails is often mail."""

import json
from collections.abc import Sequence
from typing import Any

from relay.config.alerts import KINDS, AlertSettings
from relay.config.webhooks import Target
from relay.core.ids import message_id
from relay.notifications.alerts.emails import AlertEmail, alert_email
from relay.notifications.alerts.rules import AlertDue
from relay.notifications.webhooks import bodies
from relay.store.webhooks import NewCall

ALERT, TEST = "alert", "alert.test"
# More of a text than this no channel takes.
MOST_CHARACTERS = 3000
# https://docs.slack.dev/messaging/formatting-message-text#escaping: else `<!channel>` calls all.
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def alert_calls(dues: Sequence[AlertDue], terms: AlertSettings, now: float) -> list[NewCall]:
    """Make the calls that tell what is to be told now: one for each channel."""
    if not dues or not terms.channels:
        return []
    said = alert_email(dues, terms, now)
    data = {"subject": said.subject, "text": said.text, "alerts": [_alert(one) for one in dues]}
    return [_call(target, ALERT, said, data, now) for target in terms.channels]


def test_calls(said: AlertEmail, terms: AlertSettings, now: float) -> list[NewCall]:
    """Make the calls of a test."""
    data = {"subject": said.subject, "text": said.text, "alerts": []}
    return [_call(target, TEST, said, data, now) for target in terms.channels]


def _call(target: Target, kind: str, said: AlertEmail, data: dict[str, Any], now: float) -> NewCall:
    written = {
        "standard": lambda: bodies.body(kind, now, data),
        "slack": lambda: json.dumps({"text": _slack(said)}),
        "teams": lambda: json.dumps(_teams(said)),
    }[target.form]()
    return NewCall(message_id(), target.name, None, kind, written, now)


def _alert(due: AlertDue) -> dict[str, Any]:
    alert = due.alert
    return {
        **alert.key._asdict(),
        "urgent": KINDS[alert.key.kind].urgent,
        "over": due.over,
        "since": alert.since,
        "count": alert.untold,
        "ids": list(alert.ids),
    }


def _slack(said: AlertEmail) -> str:
    """Write a text for Slack's incoming webhooks."""
    return f"*{said.subject}*\n{said.text[:MOST_CHARACTERS]}".translate(_SLACK)


def _teams(said: AlertEmail) -> dict[str, Any]:
    """Write a card for a workflow of Teams: plain text runs, in which nothing is markup."""
    lines = said.text[:MOST_CHARACTERS].splitlines()
    texts = [(said.subject, {"weight": "Bolder"}), *((line, {}) for line in lines if line)]
    blocks = [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
        for text, style in texts
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
