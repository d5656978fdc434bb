"""Several daemons on one database: who they are, who leads, what was changed, who holds what."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

LONG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("messages", sa.Column("daemon", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "counted",
        sa.Column("server", sa.String(100), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("daemon", sa.Integer, primary_key=True, autoincrement=False, server_default="0"),
        sa.Column("accepted", sa.Integer, nullable=False),
        sa.Column("screened", sa.Integer, nullable=False),
        sa.Column("released", sa.Integer, nullable=False, server_default="0"),
    )
    op.execute(
        "INSERT INTO counted (server, day, accepted, screened, released)"
        " SELECT server, day, accepted, screened, released FROM ledger"
    )
    op.drop_table("ledger")
    op.rename_table("counted", "ledger")
    op.create_table(
        "daemons",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("address", sa.String(255), nullable=False, server_default=""),
        sa.Column("settings", sa.String(64), nullable=False, server_default=""),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("heartbeat_at", sa.Float, nullable=False),
        sa.Column("offset", sa.Float, nullable=False, server_default="0"),
        sa.Column("heard", sa.Text, nullable=False, server_default="{}"),
        sa.Column("outages", sa.Text, nullable=False, server_default="[]"),
        sa.Column("ended_at", sa.Float),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("daemon", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_table(
        "alert_reports",
        sa.Column("id", LONG, primary_key=True),
        sa.Column("seen", sa.Text, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("topic", sa.String(20), primary_key=True),
        sa.Column("number", LONG, nullable=False),
    )
