"""Where the address of a person may stand: every column of text that is not Relay's own."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table

from relay.core.mentions import Mentions
from relay.store.schema import (
    acts,
    alert_reports,
    alerts,
    attempts,
    contents,
    events,
    idempotency,
    message_metadata,
    messages,
    operators,
    receipts,
    recipients,
    reply_addresses,
    suppressions,
    template_versions,
    templates,
    webhook_calls,
    webhook_events,
)

_TEMPLATE = ("name", "alias", "subject", "html", "text", "layout")

COLUMNS: Mapping[Table, Sequence[str]] = {
    contents: ("recipients", "subject", "sender", "tag", "stream", "document", "origin"),
    messages: ("provider_id", "words", "writer"),
    message_metadata: ("name", "value"),
    receipts: ("address", "mailbox"),
    reply_addresses: ("writer",),
    recipients: ("address", "words"),
    attempts: ("words",),
    events: ("words",),
    idempotency: ("answer",),
    suppressions: ("address", "words"),
    alerts: ("reasons", "words"),
    alert_reports: ("seen",),
    webhook_calls: ("body", "answer"),
    webhook_events: ("words", "recipient"),
    acts: ("who", "target", "before", "after"),
    operators: ("name", "subject"),
    templates: _TEMPLATE,
    template_versions: _TEMPLATE,
}

# What goes with its message: while that is not over, it is needed.
OF_MESSAGES = (contents, messages, message_metadata, receipts, reply_addresses, recipients)
# What the installation says of itself: whoever is named there is an operator or chosen by one.
OWN = (operators, templates, template_versions)


def key(table: Table) -> Sequence[Column[Any]]:
    """Return the columns that a table's rows are told apart by."""
    return list(table.primary_key)


def message_column(table: Table) -> Column[Any] | None:
    """Return the column that names the message a row belongs to; None where there is none."""
    if table in (contents, messages):
        return table.c.id
    return table.c.message if "message" in table.c and table is not suppressions else None


def read(text: str | None) -> Any:
    """Return what a column holds: the value, where that is JSON, else the text."""
    if text and text[0] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text or ""


def without(mentions: Mentions, text: str | None) -> str | None:
    """Return a column's text without the address."""
    value = read(text)
    if not mentions.are_in(value):
        return text
    erased = mentions.without(value)
    return erased if isinstance(erased, str) else json.dumps(erased, separators=(",", ":"))
