"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# The oldest schema whose program may run with this one.
oldest = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
