"""What alembic runs: the steps from wherever the database stands, on the connection that it is given."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transaction_per_migration=True,
    transactional_ddl=True,  # SQLite can, when the transaction is begun by hand, as it is on this connection
)
with context.begin_transaction():
    context.run_migrations()
