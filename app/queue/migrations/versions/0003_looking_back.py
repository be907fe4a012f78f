"""What pages look back on: tags of runs, failures by message, work items ended per minute, the slowest work items."""

import time

import sqlalchemy as sa
from alembic import op

from app.queue.failure_pattern import pattern_of
from app.queue.store.counting import MINUTES_KEPT
from app.queue.store.failure_groups import MOST_GROUPS, OTHER

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_tag = op.create_table(
        "run_tag",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["manager_id"], ["manager_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tag", "manager_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_run_tag_manager_id"), "run_tag", ["manager_id"], unique=False)
    failure_group = op.create_table(
        "failure_group",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id", "pattern"),
        sqlite_with_rowid=False,
    )
    minute_counter = op.create_table(
        "minute_counter",
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                name="ended_status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "status"),
        sqlite_with_rowid=False,
    )
    op.create_index("manager_job_by_time", "manager_job", ["created_at"], unique=False)
    has_duration = sa.text("started_at IS NOT NULL AND finished_at IS NOT NULL")
    op.create_index(
        "worker_job_by_duration",
        "worker_job",
        ["manager_id", sa.text("(finished_at - started_at)")],
        unique=False,
        sqlite_where=has_duration,
        postgresql_where=has_duration,
    )
    connection = op.get_bind()
    _fill(connection, run_tag, _tags(connection))
    _fill(connection, failure_group, _failures(connection))
    _fill(connection, minute_counter, _minutes(connection))


def _fill(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _tags(connection: sa.Connection) -> list[dict[str, object]]:
    runs = sa.table("manager_job", sa.column("id"), sa.column("tags", sa.JSON))
    rows = connection.execute(sa.select(runs.c.id, runs.c.tags))
    return [{"tag": tag, "manager_id": manager_id} for manager_id, tags in rows for tag in dict.fromkeys(tags)]


def _failures(connection: sa.Connection) -> list[dict[str, object]]:
    query = sa.text("SELECT step_id, id, error, finished_at FROM worker_job WHERE status = 'failed' ORDER BY id")
    groups: dict[int, dict[str, dict[str, object]]] = {}
    for step_id, worker_id, error, finished_at in connection.execute(query):
        of_step = groups.setdefault(step_id, {})
        pattern = pattern_of(error or "")
        if pattern not in of_step and len(of_step) >= MOST_GROUPS:
            pattern = OTHER
        new = {"step_id": step_id, "pattern": pattern, "number": 0, "first_id": worker_id}
        group = of_step.setdefault(pattern, new)
        group.update(number=int(str(group["number"])) + 1, last_id=worker_id, last_at=finished_at)
    return [group for of_step in groups.values() for group in of_step.values()]


def _minutes(connection: sa.Connection) -> list[dict[str, object]]:
    query = sa.text(
        "SELECT status, finished_at FROM worker_job WHERE finished_at >= :first AND status IN ('completed', 'failed')"
    )
    first = int(time.time() // 60) - MINUTES_KEPT + 1
    numbers: dict[tuple[int, str], int] = {}
    for status, finished_at in connection.execute(query, {"first": first * 60}):
        key = (int(finished_at // 60), status)
        numbers[key] = numbers.get(key, 0) + 1
    return [{"minute": minute, "status": status, "number": number} for (minute, status), number in numbers.items()]
