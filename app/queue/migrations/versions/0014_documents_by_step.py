"""Documents are counted by kind, of those that a step has made, without being read."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("document_by_step", "document", ["created_by_step", "category", "source_type"])
