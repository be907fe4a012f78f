"""The spine: runs, steps, work items, their logs and counters, documents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "document",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("created_by_step", sa.BigInteger(), nullable=True),
        sa.Column("updated_by_step", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address"),
    )
    op.create_index(op.f("ix_document_created_by_step"), "document", ["created_by_step"], unique=False)
    op.create_index(op.f("ix_document_source_type"), "document", ["source_type"], unique=False)
    op.create_table(
        "manager_job",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("definition", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                name="manager_status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("max_child_failures", sa.Integer(), nullable=False),
        sa.Column(
            "failure_action",
            sa.Enum(
                "stop_all",
                "continue",
                "mark_warning",
                name="failure_action",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("definition_text", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("manager_job_by_definition", "manager_job", ["definition", "status"], unique=False)
    op.create_index("manager_job_by_status", "manager_job", ["status", "id"], unique=False)
    op.create_table(
        "sequence",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "document_tag",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("document_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tag", "document_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_document_tag_document_id"), "document_tag", ["document_id"], unique=False)
    op.create_table(
        "step_job",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("depends", sa.JSON(none_as_null=True), nullable=False),
        sa.Column(
            "on_error",
            sa.Enum("fail", "continue", "retry", name="on_error", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("always_run", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                name="step_status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("plan_attempt", sa.Integer(), nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("log_count", sa.Integer(), nullable=False),
        sa.Column("document_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["manager_id"], ["manager_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "manager_id"),
        sa.UniqueConstraint("manager_id", "name"),
        sa.UniqueConstraint("manager_id", "position"),
    )
    op.create_index("step_job_by_status", "step_job", ["status", "id"], unique=False)
    op.create_table(
        "log_entry",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "debug", "info", "warn", "error", name="level", native_enum=False, create_constraint=True, length=16
            ),
            nullable=False,
        ),
        sa.Column("message", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id", "line"),
        sqlite_with_rowid=False,
    )
    op.create_index("log_entry_by_worker", "log_entry", ["worker_id", "line"], unique=False)
    op.create_table(
        "step_counter",
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                name="counted_status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["step_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("step_id", "status"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "worker_job",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("manager_id", sa.BigInteger(), nullable=False),
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "running",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                name="worker_status",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("input", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("traceback", sa.String(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["step_id", "manager_id"], ["step_job.id", "step_job.manager_id"], name="worker_parents", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("worker_job_by_name", "worker_job", ["step_id", "name"], unique=True)
    op.create_index("worker_job_by_step", "worker_job", ["step_id", "status", "id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("worker_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("traceback", sa.String(), nullable=True),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["worker_job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("worker_id", "number"),
    )
    sequence = sa.table("sequence", sa.column("name", sa.String), sa.column("value", sa.BigInteger))
    op.bulk_insert(sequence, [{"name": "job", "value": 0}, {"name": "revision", "value": 0}])
