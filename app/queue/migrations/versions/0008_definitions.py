"""Definitions: those that a person has switched off, texts that came through the page, and the latest runs of each."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "switched_off_definition",
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("definition"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "page_text",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("manager_job_latest", "manager_job", ["definition", "id"], unique=False)
