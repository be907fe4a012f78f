"""Schedules: which tick of a definition comes next, what became of each, and the tick that a run was started for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedule",
        sa.Column("definition", sa.String(), primary_key=True),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("paused_at", sa.Float(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=False),
    )
    op.create_table(
        "schedule_tick",
        sa.Column("definition", sa.String(), primary_key=True),
        sa.Column("at", sa.BigInteger(), primary_key=True),
        sa.Column(
            "outcome",
            sa.Enum("started", "skipped", name="tick_outcome", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=True),
        sa.Column("dealt_with_at", sa.Float(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("manager_job", sa.Column("scheduled_for", sa.String(), nullable=True))
