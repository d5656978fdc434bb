"""The outbox, its contents and attempts, session tokens, and what the installation remembers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("server", sa.String(100), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("delivery", sa.String(100)),
        sa.Column("provider_id", sa.String(200)),
        sa.Column("words", sa.String(500)),
    )
    for name, column, where in (
        ("messages_queued", "due_at", "state = 'queued'"),
        ("messages_unsent", "id", "state NOT IN ('sent', 'screened')"),
        ("messages_screened", "id", "state = 'screened'"),
        ("messages_mailbox", "id", "delivery = 'mailbox' AND state = 'sent'"),
    ):
        op.create_index(name, "messages", [column], sqlite_where=sa.text(where))
    op.create_table(
        "contents",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("message", sa.String(36), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("delivery", sa.String(100), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("message", sa.String(36)),
    )
    op.create_index("tokens_expires", "tokens", ["expires_at"])
    op.create_index("tokens_message", "tokens", ["message"])
    op.create_table(
        "installation",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
