"""Run by Alembic: migrations in the transaction of the connection that it is given."""

from alembic import context

from console.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
)
context.run_migrations()
