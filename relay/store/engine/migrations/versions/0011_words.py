"""The index of words: an own table of each engine. Who leads fills it while mail flows."""

from alembic import op

revision = "0011"
down_revision = "0010"
# It stores messages without their words; they are added by the daemon that leads.
oldest = "0007"

COLUMNS = "message UNINDEXED, subject, recipients, senders, labels"
OPTIONS = "prefix='3', detail=column, tokenize=\"ascii tokenchars '='\""
SQLITE = (f"CREATE VIRTUAL TABLE words USING fts5({COLUMNS}, {OPTIONS})",)
POSTGRESQL = (
    'CREATE TABLE words (message varchar(36) COLLATE "C" PRIMARY KEY, said tsvector NOT NULL)',
    "CREATE INDEX words_said ON words USING gin (said)",
)


def upgrade() -> None:
    on_server = op.get_context().dialect.name == "postgresql"
    for statement in POSTGRESQL if on_server else SQLITE:
        op.get_bind().exec_driver_sql(statement)
