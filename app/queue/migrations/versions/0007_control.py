"""Control: what people did, what is paused, and runs that repeat others."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_rerun = sa.text("rerun_of IS NOT NULL")
    op.add_column("manager_job", sa.Column("rerun_of", sa.BigInteger(), nullable=True))
    op.create_index(
        "manager_job_by_rerun", "manager_job", ["rerun_of"], sqlite_where=is_rerun, postgresql_where=is_rerun
    )
    op.add_column("step_job", sa.Column("taken_from", sa.BigInteger(), nullable=True))
    op.create_table(
        "action",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["manager_id"], ["manager_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(op.f("ix_action_manager_id"), "action", ["manager_id"], unique=False)
    op.create_table(
        "pause",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
        sqlite_with_rowid=False,
    )
