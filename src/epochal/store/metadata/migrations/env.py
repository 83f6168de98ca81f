"""Run by Alembic: brings the connection it is given to the revision asked for, in one transaction."""

from __future__ import annotations

from alembic import context

from epochal.store.metadata.tables import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema,
    # A kill in the middle leaves the old revision whole: SQLite takes table changes back, too.
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
