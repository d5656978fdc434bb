"""Whom a message answers to, to be found by; of older messages it stands in their documents."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("messages", sa.Column("writer", sa.Text))
