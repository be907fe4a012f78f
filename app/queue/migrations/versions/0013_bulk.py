"""Open failures and their acknowledgements; sets of jobs that were frozen for a bulk action."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _acknowledgements()
    _open_failures()
    _frozen_sets()


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _acknowledgements() -> None:
    op.create_table(
        "acknowledgement",
        _id(),
        sa.Column("manager_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["manager_id"], ["manager_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_acknowledgement_manager_id"), "acknowledgement", ["manager_id"], unique=False)
    op.add_column("worker_job", sa.Column("acknowledgement_id", sa.BigInteger(), nullable=True))
    is_open = sa.text("failure_pattern IS NOT NULL AND acknowledgement_id IS NULL")
    op.create_index("worker_job_open", "worker_job", ["step_id", "id"], sqlite_where=is_open, postgresql_where=is_open)
    acknowledged = sa.Column("acknowledged", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("failure_group", acknowledged)
    op.add_column("failure_group", sa.Column("acknowledgement_id", sa.BigInteger(), nullable=True))


def _open_failures() -> None:
    """Nobody has acknowledged anything so far: all that has failed is open."""
    op.create_table(
        "open_failure",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO open_failure (step_id, number)"
        " SELECT step_id, number FROM step_counter WHERE status = 'failed' AND number > 0"
    )
    op.create_table(
        "planning_failure",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("acknowledgement_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO planning_failure (step_id)"
        " SELECT id FROM step_job WHERE status = 'failed' AND reason LIKE 'planning failed: %'"
    )


def _frozen_sets() -> None:
    op.create_table(
        "frozen_set",
        _id(),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["manager_id"], ["manager_job.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token"),
    )
    op.create_index(op.f("ix_frozen_set_manager_id"), "frozen_set", ["manager_id"], unique=False)
    statuses = ("pending", "running", "completed", "failed", "cancelled", "skipped")
    op.create_table(
        "frozen_job",
        sa.Column("set_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", _one_of("frozen_kind", "manager", "step", "worker"), nullable=False),
        sa.Column("status", _one_of("frozen_status", *statuses), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("set_id", "number"),
        sqlite_with_rowid=False,
    )


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, native_enum=False, create_constraint=True, length=16, name=name)
