"""Who holds work, and that it lives."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "owner",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.Column("renewed_at", sa.Float(), nullable=False),
        sa.Column("lease", sa.Float(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("silence", sa.String(), nullable=False),
        sa.Column("silent_since", sa.Float(), nullable=True),
        sa.Column("takeover_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("end", sa.String(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("step_job", sa.Column("planned_by", sa.String(), nullable=True))
