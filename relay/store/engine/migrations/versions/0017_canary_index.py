"""Canaries are found by themselves, to be left out of all that is listed and counted."""

import sqlalchemy as sa

from relay.store.engine.migrations.indexes import create_index

revision = "0017"
down_revision = "0016"
# It does without the index.
oldest = "0007"


def upgrade() -> None:
    where = sa.text("canary")
    create_index("messages_canary", "messages", ["id"], sqlite_where=where, postgresql_where=where)
