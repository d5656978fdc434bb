"""What a migration makes a large index with."""

from typing import Any

from alembic import op


def create_index(name: str, table: str, columns: list[str], **options: Any) -> None:
    """Make an index; on PostgreSQL while others write, outside of any transaction.

    It stands alone in its migration: one that was broken off is begun anew.
    """
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
