"""How alembic reaches the store: through the connection that results.schema hands it."""

from alembic import context

from results.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
