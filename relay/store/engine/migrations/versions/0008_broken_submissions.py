"""Submissions that a plugin failed at are kept, and listed beside those that were screened."""

import sqlalchemy as sa
from alembic import op

from relay.store.engine.migrations.indexes import create_index

revision = "0008"
down_revision = "0007"
# It lists them not, and takes them for messages that cannot be read; it loses none.
oldest = "0007"

KEPT_BACK = "(state = 'screened' OR kind = 'form') AND cleared_at IS NULL"


def upgrade() -> None:
    where = sa.text(KEPT_BACK)
    create_index(
        "messages_kept_back", "messages", ["id"], sqlite_where=where, postgresql_where=where
    )
    op.drop_index("messages_screened", "messages")
