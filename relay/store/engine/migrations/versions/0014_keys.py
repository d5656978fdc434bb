"""The keys that are made here, beside those of the settings."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
# It lets nobody in by these keys.
oldest = "0007"


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("servers", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
        sa.Column("used_day", sa.Integer),
    )
