"""How Alembic reaches the database: on the connection of `app.store.migrate`, in its one transaction."""

from alembic import context

from app.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
