"""The console: its people, what they order, where messages came from, what is counted by minute."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
# It counts less, and notes nobody's orders; it loses no mail.
oldest = "0007"

LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
BUSY = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 100,
}


def upgrade() -> None:
    op.add_column("contents", sa.Column("origin", sa.Text))
    for name in ("sent", "failed"):
        op.add_column("ledger", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "minutes",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("daemon", sa.Integer, primary_key=True, autoincrement=False, server_default="0"),
        sa.Column("accepted", sa.Integer, nullable=False, server_default="0"),
        sa.Column("screened", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
        sa.Column("deferred", sa.Integer, nullable=False, server_default="0"),
        postgresql_with=BUSY,
    )
    op.create_table(
        "operators",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("password", sa.String(200)),
        sa.Column("totp_secret", sa.String(64)),
        sa.Column("totp_step", LONG, nullable=False, server_default="0"),
        sa.Column("recovery_codes", sa.Text, nullable=False, server_default="[]"),
        sa.Column("subject", sa.String(500), unique=True),
        sa.Column("link", sa.LargeBinary(32), unique=True),
        sa.Column("link_until", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float),
        sa.Column("removed_at", sa.Float),
    )
    op.create_table(
        "operator_sessions",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("operator", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
        sa.Column("address", sa.String(100), nullable=False, server_default=""),
    )
    op.create_index("operator_sessions_operator", "operator_sessions", ["operator"])
    op.create_table(
        "acts",
        sa.Column("id", LONG, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("origin", sa.String(100), nullable=False, server_default=""),
        sa.Column("verb", sa.String(30), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("before", sa.String(200), nullable=False, server_default=""),
        sa.Column("after", sa.String(200), nullable=False, server_default=""),
    )
    op.create_index("acts_target", "acts", ["target"])
    op.create_index("acts_who", "acts", ["who"])
