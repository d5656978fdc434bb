"""Relay's own canaries are told from mail, and how they do is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
# It makes none, and takes those that are there for mail.
oldest = "0007"

ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    canary = sa.Column("canary", sa.Boolean, nullable=False, server_default="0")
    op.add_column("messages", canary)
    op.create_table(
        "canaries",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("message", ID, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("is_awaited", sa.Boolean, nullable=False),
        sa.Column("arrived_at", sa.Float),
        sa.Column("took", sa.Float),
        sa.Column("missing_since", sa.Float),
        sa.Column("reason", sa.String(500), nullable=False, server_default=""),
    )
