"""Attempts: how often and when work is tried again, what each said, and when the time of a run or step is over."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("manager_job", sa.Column("deadline", sa.Float(), nullable=True))
    op.execute("UPDATE manager_job SET deadline = started_at + timeout WHERE status = 'running'")
    op.add_column("step_job", sa.Column("step_timeout", sa.Float(), nullable=True))
    op.add_column("step_job", sa.Column("deadline", sa.Float(), nullable=True))
    op.add_column("step_job", sa.Column("retry", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("attempt", sa.Column("last_line", sa.BigInteger(), nullable=True))
    op.add_column("attempt", sa.Column("lost", sa.Boolean(), nullable=True))
