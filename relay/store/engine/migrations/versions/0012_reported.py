"""A daemon says up to when what it saw is written down."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
# It does without the column.
oldest = "0007"


def upgrade() -> None:
    op.add_column("daemons", sa.Column("reported_at", sa.Float()))
