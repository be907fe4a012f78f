"""The words of documents are indexed on PostgreSQL too."""

from alembic import op

from app.queue import postgres_document_index as index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for statement in index.TABLE:
        connection.exec_driver_sql(statement)
    index.learn_missing(connection)
    for statement in index.INDEXES:  # made of all at once, which costs less
        connection.exec_driver_sql(statement)
