"""A person whose address stands in every place that a store has for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from relay.core.reply_address import ReplyRoute
from relay.store.acts import By
from relay.store.engine.database import Store
from relay.store.outbox import enqueue, references
from relay.store.outbox.enqueue import NewMessage
from relay.store.schema import (
    acts,
    alert_reports,
    alerts,
    attempts,
    events,
    idempotency,
    metadata,
    operators,
    recipients,
    suppressions,
    templates,
    webhook_calls,
    webhook_events,
)
from tests.support.stored import CREATED, new_id

BY = By("ann", "command")
NOW = CREATED + 1000.0
DESK = "desk@example.gov"
SENT = ("written", "received", "labelled", "mentioned")


def message(number: int, state: str = "sent", **values: Any) -> NewMessage:
    """A message of the contact form's, from the writer `writer` if there is one."""
    writer, to = values.pop("writer", ""), values.pop("to", [DESK])
    document = {
        "sender": ["relay@example.gov", ""],
        "to": [[one, ""] for one in to],
        "subject": "An idea",
        "text": values.pop("text", "Hello."),
        **({"reply_to": [[writer, "A Resident"]]} if writer else {}),
        **values.pop("document", {}),
    }
    return NewMessage(
        new_id(number),
        "contactform",
        state,
        CREATED,
        "application",
        json.dumps(document, separators=(",", ":")),
        recipients=" ".join(to).lower(),
        subject="An idea",
        sender="relay@example.gov",
        writer=writer.lower(),
        **values,
    )


def submission(number: int, state: str, kind: str, fields: dict[str, Any]) -> NewMessage:
    """A submission that was kept back."""
    document = json.dumps({"fields": fields}, separators=(",", ":"))
    id = new_id(number)
    return NewMessage(id, "contactform", state, CREATED, "website", document, kind=kind)


def fill(store: Store, address: str, first: int = 0) -> dict[str, str]:
    """Put an address into every place; return the ids of the messages, by what they are."""
    made = {
        "written": message(
            first + 1,
            writer=address,
            text=f"From: {address}",
            metadata={"writer": address},
            receipt=references.NewReceipt(f"R-{first}", address),
            reply_route=ReplyRoute(f"route{first}", f"A Resident <{address}>", NOW + 10_000),
        ),
        "received": message(first + 2, to=[address, DESK]),
        "copied": message(first + 3, document={"bcc": [[address, ""]]}, state="failed"),
        "labelled": message(first + 4, document={"model": {"email": address.upper()}}),
        "mentioned": message(
            first + 5,
            text=f"My wife, {address}, and I.\n{address}",
            document={
                "html": f'<a href="mailto:{address.replace("@", "%40")}">{address}</a>',
                "headers": [["X-Seen", f"by {address} today"]],
                "attachments": [[f"letter of {address}.txt", "text/plain", "aGk=", None]],
                "metadata": {"about": f"{address} too"},
            },
            metadata={"about": f"{address} too"},
        ),
        "screened": submission(first + 6, "screened", "plain", {"from_address": address}),
        "broken": submission(
            first + 7,
            "quarantined",
            "form",
            {"from_address": "x@y.gov", "message": f"of {address}"},
        ),
    }
    ids = {name: one.id for name, one in made.items()}
    store.write_now(enqueue.add_together, [[*made.values()]])
    rows = _rows(address, first, ids)

    def put(connection: Connection, batch: Any) -> Any:
        for table, values in rows:
            connection.execute(insert(table).values(values))
        return batch

    store.write_now(put, [None])
    return ids


def _rows(address: str, first: int, ids: dict[str, str]) -> Iterator[tuple[Table, dict[str, Any]]]:
    said, id = f"550 <{address}>: no such mailbox", ids["written"]
    tried = {"started_at": NOW, "ended_at": NOW, "delivery": "smtp"}
    for name, one in ids.items():
        outcome = "sent" if name in SENT else "failed"
        yield attempts, {"message": one, "number": 1, "outcome": outcome, "words": said, **tried}
    yield events, {"message": id, "at": NOW, "kind": "bounced", "words": said}
    told = {"message": id, "kind": "bounced", "at": NOW, "words": said, "recipient": address}
    yield webhook_events, told
    for number, due_at in enumerate((NOW, None)):
        yield (
            webhook_calls,
            {
                "id": f"call-{first}-{number}",
                "target": "crm",
                "message": ids["mentioned"],
                "kind": "message.bounced",
                "body": json.dumps({"data": {"recipients": [address], "words": said}}),
                "since": NOW,
                "due_at": due_at,
            },
        )
    fate = {"state": "refused", "at": NOW, "words": said}
    yield recipients, {"message": ids["received"], "address": address.lower(), **fate}
    answer = json.dumps({"To": address, "MessageID": id})
    digest = f"{first:032d}".encode()
    yield (
        idempotency,
        {
            "digest": digest,
            "fingerprint": digest,
            "expires_at": NOW + 1e9,
            "messages": id,
            "status": 200,
            "answer": answer,
        },
    )
    groups = (f"group{first}", f"other{first}") if first else ("contactform", "registry")
    for group, reason in zip(groups, ("bounced", "lifted"), strict=True):
        yield (
            suppressions,
            {
                "server": group,
                "address": address.lower(),
                "reason": reason,
                "since": NOW,
                "message": id,
                "words": said,
            },
        )
    yield (
        alerts,
        {
            "kind": f"failed{first}",
            "server": "contactform",
            "plugin": "",
            "since": NOW,
            "last_at": NOW,
            "count": 1,
            "reasons": json.dumps({said: 1}),
            "words": said,
        },
    )
    yield alert_reports, {"seen": json.dumps([["failed", "contactform", "", {"words": said}]])}
    act = {"at": NOW, "who": "ann", "way": "command", "verb": "suppress"}
    yield acts, {**act, "target": f"contactform/{address}", "before": said, "after": said}


def name_in_templates(store: Store, address: str) -> None:
    """Put an address where only the installation speaks of itself."""

    def put(connection: Connection, batch: Any) -> Any:
        page = {"server": "default", "id": 1, "version": 1, "name": "T", "type": "Standard"}
        page |= {"text": f"Ask {address}", "active": True, "edited_at": NOW, "edited_by": "key"}
        connection.execute(insert(templates).values(page))
        person = {"name": address, "role": "viewer", "created_at": NOW}
        connection.execute(insert(operators).values(person))
        return batch

    store.write_now(put, [None])


def everything(store: Store) -> dict[str, list[Any]]:
    """All rows of all tables."""

    def read(connection: Connection) -> dict[str, list[Any]]:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }

    return store.read_now(read)


def naming(store: Store, address: str) -> dict[str, list[Any]]:
    """All rows that hold an address in any case, by table."""
    return {
        name: found
        for name, rows in everything(store).items()
        if (found := [row for row in rows if address.lower() in repr(row).lower()])
    }


def files_naming(folder: Path, address: str) -> list[str]:
    """The files of a folder that hold an address in any case, wherever in them."""
    return [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and address.lower().encode() in path.read_bytes().lower()
    ]
