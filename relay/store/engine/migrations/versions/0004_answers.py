"""Suppressions, callbacks, recipients' own states, reply addresses, receipts, alerts, releases."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "suppressions",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("address", sa.String(320), primary_key=True),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("until", sa.Float),
        sa.Column("message", sa.String(36)),
        sa.Column("words", sa.String(500), nullable=False, server_default=""),
    )
    op.create_table(
        "callbacks",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("callbacks_at", "callbacks", ["at"])
    op.create_index(
        "messages_taken",
        "messages",
        ["provider_id"],
        sqlite_where=sa.text("provider_id IS NOT NULL AND delivery != 'mailbox'"),
    )
    op.create_table(
        "recipients",
        sa.Column("message", sa.String(36), primary_key=True),
        sa.Column("address", sa.String(320), primary_key=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("words", sa.String(500), nullable=False, server_default=""),
    )
    op.create_table(
        "reply_addresses",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("message", sa.String(36), nullable=False),
        sa.Column("server", sa.String(100), nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("hour_at", sa.Float, nullable=False, server_default="0"),
        sa.Column("replies", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("reply_addresses_expires", "reply_addresses", ["expires_at"])
    op.create_index("reply_addresses_message", "reply_addresses", ["message"])
    op.create_table(
        "receipts",
        sa.Column("message", sa.String(36), primary_key=True),
        sa.Column("reference", sa.String(20), nullable=False, unique=True),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("mailbox", sa.String(320), nullable=False),
        sa.Column("done_at", sa.Float),
        sa.Column("receipt", sa.String(36)),
    )
    op.create_index(
        "receipts_open", "receipts", ["message"], sqlite_where=sa.text("done_at IS NULL")
    )
    op.create_index(
        "receipts_mailbox",
        "receipts",
        ["mailbox", "done_at"],
        sqlite_where=sa.text("receipt IS NOT NULL"),
    )
    op.create_table(
        "alerts",
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("plugin", sa.String(100), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False, server_default="{}"),
        sa.Column("ids", sa.Text, nullable=False, server_default=""),
        sa.Column("words", sa.String(500), nullable=False, server_default=""),
        sa.Column("told_at", sa.Float),
        sa.Column("told_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tellings", sa.Integer, nullable=False, server_default="0"),
        sa.Column("over_at", sa.Float),
    )
    op.add_column("tokens", sa.Column("made_at", sa.Float))
    op.add_column("ledger", sa.Column("released", sa.Integer, nullable=False, server_default="0"))
    op.drop_index("messages_screened", "messages")
    op.create_index(
        "messages_screened",
        "messages",
        ["id"],
        sqlite_where=sa.text("state = 'screened' AND cleared_at IS NULL"),
    )
