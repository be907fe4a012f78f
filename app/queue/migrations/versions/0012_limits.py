"""Priorities, limits, and why a step waits."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("manager_job", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    for table in ("manager_job", "step_job"):
        op.add_column(table, sa.Column("most_running", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("rate", sa.String(), nullable=True))
    op.create_table(
        "step_type_limit",
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("most_running", sa.Integer(), nullable=True),
        sa.Column("rate", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("type"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "limit_state",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("full_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "step_wait",
        sa.Column("step_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("held_by", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id"),
        sqlite_with_rowid=False,
    )
