"""The lists behind the numbers: work items by failure group and by text, and documents counted while they are there."""

import sqlalchemy as sa
from alembic import op

from app.queue.failure_pattern import pattern_of
from app.queue.store.failure_groups import OTHER

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("worker_job_by_step", "worker_job")
    op.create_index("worker_job_by_step", "worker_job", ["step_id", "status", "id", "name"])
    op.add_column("worker_job", sa.Column("failure_pattern", sa.String(), nullable=True))
    _name_failures(op.get_bind())
    has_failed = sa.text("failure_pattern IS NOT NULL")
    op.create_index(
        "worker_job_by_failure",
        "worker_job",
        ["step_id", "failure_pattern", "id"],
        sqlite_where=has_failed,
        postgresql_where=has_failed,
    )
    op.execute(
        "UPDATE step_job SET document_count ="
        " (SELECT count(*) FROM document WHERE document.created_by_step = step_job.id)"
    )


def _name_failures(connection: sa.Connection) -> None:
    """A failure is in the group of its pattern, if its step has that, else in the one of all others."""
    groups = {tuple(row) for row in connection.execute(sa.text("SELECT step_id, pattern FROM failure_group"))}
    failed = sa.text("SELECT id, step_id, error FROM worker_job WHERE status = 'failed'")
    name = sa.text("UPDATE worker_job SET failure_pattern = :pattern WHERE id = :id")
    rows = []
    for worker_id, step_id, error in connection.execute(failed):
        pattern = pattern_of(error or "")
        rows.append({"id": worker_id, "pattern": pattern if (step_id, pattern) in groups else OTHER})
    if rows:
        connection.execute(name, rows)
