"""What Alembic runs: the migrations, on the connection that is handed to it.

All in its transaction, where it has begun one; else each in one of its own.
"""

from alembic import context

from relay.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
