"""What writers proved themselves with: one proof is good for one message."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
# It verifies nothing.
oldest = "0007"

ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("message", ID, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
    op.create_index("proofs_expires", "proofs", ["expires_at"])
    op.create_index("proofs_message", "proofs", ["message"])
