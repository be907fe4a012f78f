"""Alembic's way in. `schema.bring_up_to_date` hands over an open connection; developers come by `make migration`."""

from alembic import context

from app.queue.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
