"""Webhooks: events that are to be told, calls, and how their targets do."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
# It tells nothing to webhooks.
oldest = "0007"

LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
BUSY = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 100,
}


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", LONG, primary_key=True),
        sa.Column("message", ID, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
    )
    op.create_table(
        "webhook_calls",
        sa.Column("id", ID, primary_key=True),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("message", ID),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("answer", sa.String(200), nullable=False, server_default=""),
        sa.Column("tried_at", sa.Float),
        sa.Column("taken_at", sa.Float),
        postgresql_with=BUSY,
    )
    where = sa.text("due_at IS NOT NULL")
    op.create_index(
        "webhook_calls_due",
        "webhook_calls",
        ["target", "due_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("webhook_calls_target", "webhook_calls", ["target", "id"])
    op.create_index("webhook_calls_message", "webhook_calls", ["message"])
    op.create_table(
        "webhook_targets",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("failing_since", sa.Float),
        sa.Column("off_since", sa.Float),
    )
