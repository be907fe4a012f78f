"""The tables. Times are seconds since the epoch, UTC. Ids are unique over managers, steps and work items alike.

Only the store writes these tables; everything that is shown is read through a snapshot.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.queue.levels import Level as Level
from app.queue.run_plan import FailureAction, OnError
from app.queue.status import Status


def stored_as_value(kind: type[StrEnum], name: str) -> sa.Enum:
    """Stores the value, not the Python name, and adds a CHECK: no status that the rules do not know can be written."""
    return sa.Enum(
        kind,
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        create_constraint=True,
        length=16,
        name=name,
    )


def _json() -> sa.JSON:
    return sa.JSON(none_as_null=True)


class Kind(StrEnum):
    """The three kinds of job."""

    MANAGER = "manager"  # one run of a definition
    STEP = "step"  # one step of that run
    WORKER = "worker"  # one work item of that step


_is_rerun = sa.text("rerun_of IS NOT NULL")


class ManagerJob(SQLModel, table=True):
    """One run of a definition. `rerun_of`: the run that it repeats, which may have been deleted since. `deadline`: when
    its time will be over; what it is paused for is added when it is resumed. `most_running`, `rate`: the limits that
    its work items share with those of the other runs of the definition (see `limits`)."""

    __tablename__ = "manager_job"
    __table_args__ = (
        sa.Index("manager_job_by_definition", "definition", "status"),
        # So that the latest runs of a definition are found without counting the others.
        sa.Index("manager_job_latest", "definition", "id"),
        sa.Index("manager_job_by_status", "status", "id"),
        sa.Index("manager_job_by_time", "created_at"),
        sa.Index("manager_job_by_rerun", "rerun_of", sqlite_where=_is_rerun, postgresql_where=_is_rerun),
    )

    id: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    definition: str
    name: str
    status: Status = Field(sa_type=stored_as_value(Status, "manager_status"))
    reason: str = ""
    tags: list[str] = Field(sa_type=_json())
    parameters: dict[str, Any] = Field(sa_type=_json())
    max_child_failures: int
    failure_action: FailureAction = Field(sa_type=stored_as_value(FailureAction, "failure_action"))
    timeout: float | None = None
    priority: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    most_running: int | None = None
    rate: str | None = None
    definition_text: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    scheduled_for: str | None = None
    """The tick that it was started for, in the time zone of its schedule: 2026-11-21T03:00:00+01:00."""
    rerun_of: int | None = Field(default=None, sa_type=sa.BigInteger)
    deadline: float | None = None


class RunTag(SQLModel, table=True):
    """A tag of a run, for finding runs by tag."""

    __tablename__ = "run_tag"
    __table_args__ = {"sqlite_with_rowid": False}

    tag: str = Field(primary_key=True)
    manager_id: int = Field(
        primary_key=True, sa_type=sa.BigInteger, foreign_key="manager_job.id", ondelete="CASCADE", index=True
    )


class StepJob(SQLModel, table=True):
    """One step of a run. `ready`: nothing it waits for is left and somebody may plan it. `planned`: its planning has
    yielded the last work item. `planned_by`: the owner that plans it. `totals`: what it has used in all, by name.
    `taken_from`: the run whose results stand for this step, which does not run. `timeout`: of a work item. `deadline`:
    see ManagerJob. `retry`: a Retry; None in those that are older than that."""

    __tablename__ = "step_job"
    __table_args__ = (
        sa.UniqueConstraint("manager_id", "position"),
        sa.UniqueConstraint("manager_id", "name"),
        sa.UniqueConstraint("id", "manager_id"),
        sa.Index("step_job_by_status", "status", "id"),
    )

    id: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    manager_id: int = Field(sa_type=sa.BigInteger, foreign_key="manager_job.id", ondelete="CASCADE")
    position: int
    name: str
    type: str
    description: str = ""
    depends: list[str] = Field(sa_type=_json())
    on_error: OnError = Field(sa_type=stored_as_value(OnError, "on_error"))
    always_run: bool = False
    settings: dict[str, Any] = Field(sa_type=_json())
    timeout: float | None = None
    most_running: int | None = None
    rate: str | None = None
    status: Status = Field(sa_type=stored_as_value(Status, "step_status"))
    reason: str = ""
    ready: bool = False
    plan_attempt: int = 0
    planned_by: str | None = None
    planned: bool = False
    log_count: int = 0
    document_count: int = 0
    totals: dict[str, float] | None = Field(default=None, nullable=True, sa_type=_json())
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    taken_from: int | None = Field(default=None, sa_type=sa.BigInteger)
    step_timeout: float | None = None
    deadline: float | None = None
    retry: dict[str, Any] | None = Field(default=None, nullable=True, sa_type=_json())


_has_failed = sa.text("failure_pattern IS NOT NULL")
_is_open = sa.text("failure_pattern IS NOT NULL AND acknowledgement_id IS NULL")
_has_duration = sa.text("started_at IS NOT NULL AND finished_at IS NOT NULL")


class WorkerJob(SQLModel, table=True):
    """One work item. It always knows its step and its manager, and the two always belong together.

    `claimed_by`: the owner that made its last attempt, as `host:pid:token`. `failure_pattern`: the failure group in
    which it was counted when it failed. `acknowledgement_id`: who has acknowledged that."""

    __tablename__ = "worker_job"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["step_id", "manager_id"], ["step_job.id", "step_job.manager_id"], ondelete="CASCADE", name="worker_parents"
        ),
        # With the name in it, the work items of a status are searched for a text without being read.
        sa.Index("worker_job_by_step", "step_id", "status", "id", "name"),
        sa.Index("worker_job_by_name", "step_id", "name", unique=True),
        # Not by the status, so that it costs nothing to move work items that do not fail.
        sa.Index(
            "worker_job_by_failure",
            "step_id",
            "failure_pattern",
            "id",
            sqlite_where=_has_failed,
            postgresql_where=_has_failed,
        ),
        sa.Index("worker_job_open", "step_id", "id", sqlite_where=_is_open, postgresql_where=_is_open),
        # So that the slowest work items of a run are found without reading the others.
        sa.Index(
            "worker_job_by_duration",
            "manager_id",
            sa.text("(finished_at - started_at)"),
            sqlite_where=_has_duration,
            postgresql_where=_has_duration,
        ),
    )

    id: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    manager_id: int = Field(sa_type=sa.BigInteger)
    step_id: int = Field(sa_type=sa.BigInteger)
    name: str
    status: Status = Field(sa_type=stored_as_value(Status, "worker_status"))
    reason: str = ""
    attempt: int = 0
    due_at: float = 0.0
    input: Any = Field(default=None, nullable=True, sa_type=_json())
    result: Any = Field(default=None, nullable=True, sa_type=_json())
    error: str | None = None
    traceback: str | None = None
    failure_pattern: str | None = None
    claimed_by: str | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    acknowledgement_id: int | None = Field(default=None, nullable=True, sa_type=sa.BigInteger)


class Attempt(SQLModel, table=True):
    """An attempt that ended and was followed by another; the last attempt is the work item's own row.

    `error`: empty for one that did not fail but was cancelled. `lost`: its server ended. `last_line`: how many lines
    the step's log had by then, so that what each attempt said is told apart; None in those that are older than that."""

    __tablename__ = "attempt"

    worker_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="worker_job.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    error: str
    traceback: str | None = None
    claimed_by: str | None = None
    started_at: float
    finished_at: float
    last_line: int | None = Field(default=None, sa_type=sa.BigInteger)
    lost: bool | None = None


class StepCounter(SQLModel, table=True):
    """How many work items of a step have a status. Written only together with the change that it counts."""

    __tablename__ = "step_counter"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    status: Status = Field(primary_key=True, sa_type=stored_as_value(Status, "counted_status"))
    number: int


class LogCounter(SQLModel, table=True):
    """How many lines of a step's log have a level. Written only together with the lines that it counts."""

    __tablename__ = "log_counter"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    level: Level = Field(primary_key=True, sa_type=stored_as_value(Level, "counted_level"))
    number: int


SEVERE = "level IN ('warn', 'error')"
"""What the index of the few lines that matter most holds. Queries must say it in these words to be given that index."""


class FailureGroupRow(SQLModel, table=True):
    """The failed work items of a step that say the same, numbers and the like aside. Written with each failure.
    `acknowledged`: so many of them were acknowledged, the last ones by `acknowledgement_id`."""

    __tablename__ = "failure_group"
    __table_args__ = {"sqlite_with_rowid": False}

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    pattern: str = Field(primary_key=True)
    number: int
    first_id: int = Field(sa_type=sa.BigInteger)
    last_id: int = Field(sa_type=sa.BigInteger)
    last_at: float
    acknowledged: int = Field(default=0, sa_column_kwargs={"server_default": sa.text("0")})
    acknowledgement_id: int | None = Field(default=None, nullable=True, sa_type=sa.BigInteger)


class MinuteCounter(SQLModel, table=True):
    """How many work items ended in a minute (since the epoch), by how they ended. Kept for a day."""

    __tablename__ = "minute_counter"
    __table_args__ = {"sqlite_with_rowid": False}

    minute: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    status: Status = Field(primary_key=True, sa_type=stored_as_value(Status, "ended_status"))
    number: int


class LogEntry(SQLModel, table=True):
    """One line of a step's log. `line` is numbered 1..N without gaps within the step."""

    __tablename__ = "log_entry"
    __table_args__ = (
        # With the level in it, the lines of a work item are counted without being read.
        sa.Index("log_entry_by_worker", "worker_id", "line", "level"),
        sa.Index(
            "log_entry_severe",
            "step_id",
            "line",
            "level",
            sqlite_where=sa.text(SEVERE),
            postgresql_where=sa.text(SEVERE),
        ),
        {"sqlite_with_rowid": False},
    )

    step_id: int = Field(primary_key=True, sa_type=sa.BigInteger, foreign_key="step_job.id", ondelete="CASCADE")
    line: int = Field(primary_key=True, sa_type=sa.BigInteger)
    worker_id: int | None = Field(default=None, sa_type=sa.BigInteger)
    at: float
    level: Level = Field(sa_type=stored_as_value(Level, "level"))
    message: str


class DocumentRow(SQLModel, table=True):
    """A document. Its address is its identity; the step and work item that created it keep the credit when others
    update it. `category`: the one that its details name, see `category_of`."""

    __tablename__ = "document"
    __table_args__ = (
        *(
            sa.Index(f"document_{saved}_by_worker", f"{saved}_by_worker", sqlite_where=given, postgresql_where=given)
            for saved in ("created", "updated")
            for given in [sa.text(f"{saved}_by_worker IS NOT NULL")]
        ),
        # Together, so that documents are counted by any of them without being read: bodies may be long.
        sa.Index("document_by_category", "category", "source_type"),
        sa.Index("document_by_step", "created_by_step", "category", "source_type"),
        sa.Index("document_by_time", "created_at"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    # Compared byte by byte, so that the documents under an address are one range of the index.
    address: str = Field(unique=True, sa_type=sa.String().with_variant(sa.String(collation="C"), "postgresql"))
    title: str
    body: str
    source_type: str = Field(index=True)
    tags: list[str] = Field(sa_type=_json())
    details: dict[str, Any] = Field(sa_type=_json())
    category: str | None = None
    content_hash: str
    created_by_step: int | None = Field(default=None, sa_type=sa.BigInteger, index=True)
    created_by_worker: int | None = Field(default=None, sa_type=sa.BigInteger)
    updated_by_step: int | None = Field(default=None, sa_type=sa.BigInteger)
    updated_by_worker: int | None = Field(default=None, sa_type=sa.BigInteger)
    created_at: float
    updated_at: float


class DocumentTag(SQLModel, table=True):
    """A tag of a document, for finding documents by tag."""

    __tablename__ = "document_tag"
    __table_args__ = {"sqlite_with_rowid": False}

    tag: str = Field(primary_key=True)
    document_id: int = Field(
        primary_key=True,
        sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        foreign_key="document.id",
        ondelete="CASCADE",
        index=True,
    )


class Sequence(SQLModel, table=True):
    """Numbers that only grow: `job` hands out ids, `revision` counts committed changes. Beside them, as every snapshot
    reads these first, the ids of runs whose deletion has begun (see `deletions`); the marks of commits (see
    `commit_marks`); and which programs may work on it (see `schema`)."""

    __tablename__ = "sequence"

    name: str = Field(primary_key=True)
    value: int = Field(sa_type=sa.BigInteger)
