"""What is stored about an address, as it is handed to the person: in sections, some rows at a time.

No key, digest or password is in it, and of messages of others no more than which they are.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, select

from relay.core.mentions import Mentions
from relay.core.times import utc
from relay.store.person import places
from relay.store.person.search import Found, batches, rows_of
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
)

# Messages may be megabytes each.
MESSAGES = 5

Section = tuple[str, Callable[[Connection], list[dict[str, Any]]]]

_NUMBERED = ("server", "name", "alias", "version")
# What of a row is handed out where it belongs to no message of the person's own.
_SHOWN: Mapping[Table, Sequence[str]] = {
    attempts: ("message", "number", "ended_at", "outcome", "words"),
    events: ("message", "at", "kind", "words"),
    recipients: ("message", "address", "state", "at", "words"),
    suppressions: ("server", "address", "reason", "since", "until", "words"),
    idempotency: ("answer", "expires_at"),
    alerts: ("kind", "server", "since", "last_at", "reasons", "words"),
    alert_reports: ("seen",),
    acts: ("at", "who", "way", "verb", "target", "before", "after"),
    operators: ("name", "role", "created_at", "seen_at"),
    templates: _NUMBERED,
    template_versions: _NUMBERED,
}
# And what of a message of his own, by the name of the list.
_OF_MESSAGE: Mapping[str, tuple[Table, Sequence[str]]] = {
    "labels": (message_metadata, ("name", "value")),
    "attempts": (attempts, ("started_at", "ended_at", "delivery", "outcome", "words")),
    "events": (events, ("at", "kind", "words")),
    "receipts": (receipts, ("reference", "address", "done_at")),
    "reply_addresses": (reply_addresses, ("writer", "expires_at")),
}
_MESSAGE = ("id", "server", "state", "created_at", "cleared_at", "provider_id", "words")


def sections(found: Found, mentions: Mentions) -> Iterator[Section]:
    """Return the parts of an export, each with its section's name; a section may have several."""
    own = [one.id for one in found.own]
    for ids in batches(own, MESSAGES):
        yield "messages", partial(_messages, ids=ids, mentions=mentions)
    for some in batches(found.others):
        rows = [{**one._asdict(), "created_at": _time(one.created_at)} for one in some]
        yield "mentioned_in", partial(_known, rows)
    mine = set(own)
    for table in _SHOWN:
        keys = [row.key for row in found.rows.get(table.name, ()) if row.message not in mine]
        for some_keys in batches(keys):
            yield table.name, partial(_rows, table=table, keys=some_keys)


class Document:
    """Writes sections as one JSON object, piece by piece."""

    def __init__(self, address: str, now: float) -> None:
        self._begin = f'{{\n"address": {json.dumps(address)},\n"exported_at": "{_time(now)}"'
        self._section = ""

    def piece(self, section: str, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of some rows of a section; sections come one after the other."""
        text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        if section == self._section:
            return f",\n{text}"
        before = "\n]" if self._section else self._begin
        self._section = section
        return f'{before},\n"{section}": [\n{text}'

    def end(self) -> str:
        """Return the end of the text."""
        return "\n]\n}\n" if self._section else f"{self._begin}\n}}\n"


def _known(rows: list[dict[str, Any]], connection: Connection) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "is_own"} for row in rows]


def _rows(
    connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    columns = [table.c[name] for name in _SHOWN[table]]
    query = select(*columns).where(rows_of(table, keys))
    return [_shown(row) for row in connection.execute(query).mappings()]


def _messages(
    connection: Connection, ids: Sequence[str], mentions: Mentions
) -> list[dict[str, Any]]:
    columns = [messages.c[name] for name in _MESSAGE] + [contents.c.document, contents.c.origin]
    query = select(*columns).join(contents, contents.c.id == messages.c.id)
    rows = connection.execute(query.where(messages.c.id.in_(ids)).order_by(messages.c.id))
    made = {row["id"]: _shown(row) for row in rows.mappings()}
    for name, (table, shown) in _OF_MESSAGE.items():
        of = select(table.c.message, *(table.c[one] for one in shown))
        for row in connection.execute(of.where(table.c.message.in_(ids))).mappings():
            values = _shown(row)
            made[values.pop("message")].setdefault(name, []).append(values)
    for one in made.values():
        # Nobody else who got it saw who got it in secret.
        if isinstance(one["document"], dict) and "bcc" in one["document"]:
            kept = [pair for pair in one["document"]["bcc"] if mentions.are_in(pair)]
            one["document"]["bcc"] = kept
    return list(made.values())


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row as it is written: times as text, and JSON as what it holds."""
    return {
        name: _time(value)
        if isinstance(value, float)
        else places.read(value)
        if isinstance(value, str)
        else value
        for name, value in row.items()
    }


def _time(at: float) -> str:
    return utc(at).isoformat(timespec="seconds")
