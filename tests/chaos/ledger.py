"""The oracle: compares what callers were answered, what the provider took and what is stored."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.chaos.provider import Acceptance

SENT, QUEUED, SCHEDULED = "Message sent", "Message queued", "Message scheduled"
# States of messages that wait for the relay; and of those that wait for a person to see them.
WAITING = ("queued", "scheduled", "sending", "in_doubt")
KEPT = ("held", "failed", "expired", "quarantined")


class Row(NamedTuple):
    """A stored message: its id, the reference in its subject, its state, whether it is flagged."""

    id: str
    reference: str
    state: str
    maybe_twice: bool


@dataclass(frozen=True)
class Ledger:
    """Three accounts of the same messages, by the references that their senders gave them.

    answers: what each post was answered, "" where no answer came; every post that was made has
    one. accepted: the provider's log. rows: the store.
    """

    answers: Mapping[str, str]
    accepted: Sequence[Acceptance]
    rows: Sequence[Row]

    @property
    def times(self) -> Counter[str]:
        """How often the provider took what, by reference."""
        return Counter(one.reference for one in self.accepted)

    @property
    def promised(self) -> set[str]:
        """What was answered with a promise."""
        return {name for name, words in self.answers.items() if words in (SENT, QUEUED, SCHEDULED)}

    @property
    def states(self) -> dict[str, str]:
        """The stored states, by reference."""
        return {row.reference: row.state for row in self.rows}

    @property
    def lost(self) -> set[str]:
        """What was promised, was never taken, and waits for nobody."""
        waiting = {row.reference for row in self.rows if row.state in (*WAITING, *KEPT)}
        return self.promised - set(self.times) - waiting

    @property
    def untrue(self) -> set[str]:
        """What a caller was told is sent, or the store says is sent, and was never taken."""
        told = {name for name, words in self.answers.items() if words == SENT}
        stored = {row.reference for row in self.rows if row.state == "sent"}
        return (told | stored) - set(self.times)

    @property
    def doubled(self) -> set[str]:
        """What was taken more than once."""
        return {name for name, count in self.times.items() if count > 1}

    @property
    def unflagged(self) -> set[str]:
        """What was taken more than once although nothing says that this may have happened."""
        return self.doubled - {row.reference for row in self.rows if row.maybe_twice}

    @property
    def ghosts(self) -> set[str]:
        """What was taken or stored and never posted, or not under the id that it is stored by."""
        posted = set(self.answers)
        stored = {(row.id, row.reference) for row in self.rows}
        strangers = {one.reference for one in self.accepted if one[:2] not in stored}
        return strangers | ({row.reference for row in self.rows} - posted)

    @property
    def repeated(self) -> set[str]:
        """What was posted once and stored more than once."""
        stored = Counter(row.reference for row in self.rows)
        return {name for name, count in stored.items() if count > 1}

    @property
    def faults(self) -> dict[str, set[str]]:
        """Everything that must never be, by name; empty when all is well."""
        names = ("lost", "untrue", "unflagged", "ghosts", "repeated")
        found = {name: getattr(self, name) for name in names}
        return {name: references for name, references in found.items() if references}


def rows(path: Path) -> list[Row]:
    """Read the store of a daemon that runs or does not; fail if it is damaged."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("PRAGMA query_only = ON")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT id, subject, state, maybe_twice FROM messages JOIN contents USING (id)"
        return [Row(*row[:3], bool(row[3])) for row in connection.execute(query)]


def waiting(path: Path) -> int:
    """Count what waits for the relay."""
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("PRAGMA query_only = ON")
        marks = ", ".join("?" for _ in WAITING)
        query = f"SELECT count(*) FROM messages WHERE state IN ({marks})"  # noqa: S608 - marks only
        count: int = connection.execute(query, WAITING).fetchone()[0]
        return count
