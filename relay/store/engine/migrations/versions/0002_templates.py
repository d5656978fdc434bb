"""Stored templates, servers' numbers, what messages are searched by, and what happened to them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # What is searched stands before the document: SQLite reads a row from its start.
    order: list[tuple[str, ...]] = [
        ("id", "recipients", "subject", "sender", "tag", "stream", "document")
    ]
    with op.batch_alter_table("contents", recreate="always", partial_reordering=order) as batch:
        for name in ("sender", "tag", "stream"):
            batch.add_column(sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.create_index(
        "messages_accepted",
        "messages",
        ["server", "id"],
        sqlite_where=sa.text("state != 'screened'"),
    )
    op.create_table(
        "message_metadata",
        sa.Column("message", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )
    op.create_index("message_metadata_value", "message_metadata", ["name", "value", "message"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("message", sa.String(36), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
    )
    op.create_index("events_message", "events", ["message"])
    op.create_table(
        "servers",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
    )
    op.create_table("templates", *_template(), sa.PrimaryKeyConstraint("server", "id"))
    op.create_index(
        "templates_alias",
        "templates",
        ["server", "alias"],
        unique=True,
        sqlite_where=sa.text("active"),
    )
    op.create_table(
        "template_versions", *_template(), sa.PrimaryKeyConstraint("server", "id", "version")
    )


def _template() -> list[sa.Column[Any]]:
    return [
        sa.Column("server", sa.String(100), nullable=False),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("alias", sa.String(255)),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("html", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("layout", sa.String(255)),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("edited_at", sa.Float, nullable=False),
        sa.Column("edited_by", sa.String(100), nullable=False),
    ]
