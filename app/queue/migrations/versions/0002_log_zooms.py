"""Lines are counted by level; it is known who claimed a work item, and which one saved a document."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LEVELS = ("debug", "info", "warn", "error")


def upgrade() -> None:
    level = sa.Enum(*LEVELS, name="counted_level", native_enum=False, create_constraint=True, length=16)
    op.create_table(
        "log_counter",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("level", level, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id", "level"),
        sqlite_with_rowid=False,
    )
    op.execute(
        """
        INSERT INTO log_counter (step_id, level, number)
        SELECT step_job.id, known.level, coalesce(counted.number, 0)
        FROM step_job
        CROSS JOIN (SELECT 'debug' AS level UNION ALL SELECT 'info' UNION ALL SELECT 'warn' UNION ALL SELECT 'error')
            AS known
        LEFT JOIN (SELECT step_id, level, count(*) AS number FROM log_entry GROUP BY step_id, level) AS counted
            ON counted.step_id = step_job.id AND counted.level = known.level
        """
    )
    op.drop_index("log_entry_by_worker", "log_entry")
    op.create_index("log_entry_by_worker", "log_entry", ["worker_id", "line", "level"])
    _partial_index("log_entry_severe", "log_entry", ["step_id", "line", "level"], "level IN ('warn', 'error')")
    op.add_column("worker_job", sa.Column("claimed_by", sa.String(), nullable=True))
    op.add_column("attempt", sa.Column("claimed_by", sa.String(), nullable=True))
    for saved in ("created", "updated"):
        column = f"{saved}_by_worker"
        op.add_column("document", sa.Column(column, sa.BigInteger(), nullable=True))
        _partial_index(f"document_{column}", "document", [column], f"{column} IS NOT NULL")


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
