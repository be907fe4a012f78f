"""Documents are found by the words of their text, by category and by time."""

import sqlalchemy as sa
from alembic import op

from app.queue import document_index
from app.queue.documents import category_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BATCH = 500

_document = sa.table("document", sa.column("id"), sa.column("details", sa.JSON()), sa.column("category"))
_some = (
    sa.select(_document.c.id, _document.c.details)
    .where(_document.c.id > sa.bindparam("after"))
    .order_by(_document.c.id)
    .limit(BATCH)
)
_name = (
    sa.update(_document)
    .where(_document.c.id == sa.bindparam("of_document"))
    .values(category=sa.bindparam("named", type_=sa.String()))
)


def upgrade() -> None:
    op.add_column("document", sa.Column("category", sa.String(), nullable=True))
    _name_categories(op.get_bind())
    op.create_index("document_by_category", "document", ["category", "source_type"])
    op.create_index("document_by_time", "document", ["created_at"])
    if op.get_bind().dialect.name == "sqlite":
        for statement in (*document_index.CREATE, document_index.FILL):
            op.get_bind().exec_driver_sql(statement)


def _name_categories(connection: sa.Connection) -> None:
    last = 0
    while rows := connection.execute(_some, {"after": last}).all():
        last = rows[-1].id
        found = [{"of_document": row.id, "named": category_of(row.details)} for row in rows]
        if named := [each for each in found if each["named"] is not None]:
            connection.execute(_name, named)
