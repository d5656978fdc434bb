"""What a session token was spent on, so that pressing Send twice is known for what it is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("content", sa.LargeBinary(32)))
