"""Lanes, look-ups, crashes, retention; the ledger, idempotency, paused servers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

QUEUED = "state IN ('queued', 'scheduled')"
KEPT = (
    "cleared_at IS NULL AND state IN"
    " ('sent', 'failed', 'expired', 'cancelled', 'suppressed', 'quarantined', 'screened')"
)


def upgrade() -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("kind", sa.String(8), nullable=False, server_default="plain"),
        *(
            sa.Column(name, sa.Integer, nullable=False, server_default="0")
            for name in ("size", "crashes", "looks", "absences")
        ),
        sa.Column("maybe_twice", sa.Boolean, nullable=False, server_default="0"),
        sa.Column("cleared_at", sa.Float),
    ]
    for column in columns:
        op.add_column("messages", column)
    op.drop_index("messages_queued", "messages")
    for name, indexed, where in (
        ("messages_new", ["server", "due_at"], f"{QUEUED} AND tries = 0"),
        ("messages_retried", ["server", "due_at"], f"{QUEUED} AND tries > 0"),
        ("messages_suspect", ["due_at"], f"{QUEUED} AND crashes >= 3"),
        ("messages_undecided", ["due_at"], "state IN ('sending', 'in_doubt')"),
        ("messages_kept", ["server", "state", "id"], KEPT),
    ):
        op.create_index(name, "messages", indexed, sqlite_where=sa.text(where))
    op.create_table(
        "ledger",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("accepted", sa.Integer, nullable=False),
        sa.Column("screened", sa.Integer, nullable=False),
    )
    op.execute(
        "INSERT INTO ledger (server, day, accepted, screened)"
        " SELECT server, date(created_at, 'unixepoch'),"
        " sum(state != 'screened'), sum(state = 'screened') FROM messages GROUP BY 1, 2"
    )
    op.create_table(
        "idempotency",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.Text),
    )
    op.create_index("idempotency_expires", "idempotency", ["expires_at"])
    op.create_table(
        "paused",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
    )
