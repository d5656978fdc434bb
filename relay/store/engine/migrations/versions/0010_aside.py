"""What is off the usual way of mail is listed and counted by its state."""

import sqlalchemy as sa

from relay.store.engine.migrations.indexes import create_index

revision = "0010"
down_revision = "0009"
# It does without the index.
oldest = "0007"

ASIDE = (
    "state IN ('scheduled', 'held', 'in_doubt', 'failed', 'expired', 'cancelled', 'suppressed',"
    " 'quarantined', 'screened')"
)


def upgrade() -> None:
    where = sa.text(ASIDE)
    create_index(
        "messages_aside",
        "messages",
        ["state", "id", "server"],
        sqlite_where=where,
        postgresql_where=where,
    )
