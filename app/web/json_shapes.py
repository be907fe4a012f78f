"""What the JSON API sends and takes. Every answer carries the revision of the snapshot it was read from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from app.queue.models import Kind, Level
from app.queue.records import (
    Acknowledgement,
    Counts,
    FailureGroup,
    JobRecord,
    LogLine,
    RunRecord,
    Statistics,
    StepRecord,
)
from app.queue.status import FINAL, Status
from app.queue.step_monitor import JobUpdate

Revision = Annotated[int, Meta(description="Names the moment this was read; grows with every change.")]


class Error(Struct, frozen=True, omit_defaults=True):
    """Why a request was not granted. `problems`: what is wrong, by key. `url`: where to look instead."""

    error: str
    detail: str
    problems: dict[str, str] | None = None
    url: str | None = None


class CountsJson(Struct, frozen=True):
    """How many jobs have each status."""

    total: int
    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    skipped: int

    @classmethod
    def of(cls, counts: Counts) -> CountsJson:
        return cls(counts.total, *counts)


class ByKind(Struct, frozen=True):
    """Counts of the jobs of each kind."""

    manager: CountsJson
    step: CountsJson
    worker: CountsJson


class Stats(CountsJson, frozen=True, kw_only=True):
    """Counts of all jobs, and of the jobs of each kind."""

    revision: Revision
    by_kind: ByKind
    open_failures: int
    """Work items that failed, and steps whose planning did, which nobody has acknowledged."""

    @classmethod
    def at(cls, revision: int, statistics: Statistics) -> Stats:
        kinds = ByKind(*map(CountsJson.of, (statistics.manager, statistics.step, statistics.worker)))
        number = statistics.open_failures
        return cls(statistics.all.total, *statistics.all, revision=revision, by_kind=kinds, open_failures=number)


class AcknowledgementJson(Struct, frozen=True):
    """Who has said, when, and with which note, that a failure needs no more looking at."""

    who: str
    at: datetime
    note: str

    @classmethod
    def of(cls, said: Acknowledgement | None) -> AcknowledgementJson | None:
        return None if said is None else cls(said.who, moment(said.at), said.note)


class Job(Struct, frozen=True):
    """A job of any kind. `counts` are those of its work items; a work item has none. `reason` says why it is as it is,
    or what it waits for; `held_by`: another run that holds that. `priority`: of a run."""

    id: int
    kind: Kind
    name: str
    status: Status
    reason: str
    definition: str
    manager_id: int
    step_id: int | None
    step_name: str | None
    attempt: int
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    document_count: int
    counts: CountsJson | None
    priority: int | None
    held_by: int | None
    open_failures: int
    """Failures of it, and of what is part of it, that nobody has acknowledged."""
    acknowledgement: AcknowledgementJson | None
    """Of its failure: of a work item, or of a step whose planning failed."""
    due_at: datetime | None
    """When a work item that waits for its next attempt may begin."""

    @classmethod
    def of(cls, job: JobRecord) -> Job:
        return cls(
            id=job.id,
            kind=job.kind,
            name=job.name,
            status=job.status,
            reason=job.reason,
            definition=job.definition,
            manager_id=job.manager_id,
            step_id=job.step_id,
            step_name=job.step_name,
            attempt=job.attempt,
            error=job.error,
            created_at=moment(job.created_at),
            started_at=_moment_or_none(job.started_at),
            finished_at=_moment_or_none(job.finished_at),
            document_count=job.document_count,
            counts=CountsJson.of(job.counts) if job.counts is not None else None,
            priority=job.priority,
            held_by=job.held_by,
            open_failures=job.open_failures,
            acknowledgement=AcknowledgementJson.of(job.acknowledgement),
            due_at=_moment_or_none(job.due_at),
        )

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


class JobAnswer(Job, frozen=True, kw_only=True):
    """One job, its fields beside the revision."""

    revision: Revision

    @classmethod
    def at(cls, revision: int, job: JobRecord) -> JobAnswer:
        return cls(revision=revision, **asdict(Job.of(job)))


class Jobs(Struct, frozen=True):
    """A page of a list. `total`: over all pages. `next`: the cursor of the next page, if there is one."""

    revision: Revision
    total: int
    jobs: list[Job]
    next: str | None


class StepStructure(Struct, frozen=True):
    """A step at a glance."""

    name: str
    status: Status
    log_count: int
    child_count: int


class Structure(Struct, frozen=True):
    """A run at a glance. `updated_at`: when the status of the run or of one of its steps last changed."""

    revision: Revision
    job_id: int
    status: Status
    steps: list[StepStructure]
    updated_at: datetime

    @classmethod
    def of(cls, revision: int, run: RunRecord) -> Structure:
        steps = [StepStructure(step.name, step.status, step.log_count, step.counts.total) for step in run.steps]
        return cls(revision, run.id, run.status, steps, moment(max(_latest(run), *map(_latest, run.steps))))


class FailureJson(Struct, frozen=True):
    """Work items of one step that failed with the same message, numbers and the like aside. `message` and `job_id` are
    those of the first of them; `pattern` is what they have in common."""

    step_name: str
    pattern: str
    message: str
    count: int
    job_id: int
    open: int
    """How many of them nobody has acknowledged."""
    acknowledgement: AcknowledgementJson | None
    """The last one of any of them."""

    @classmethod
    def of(cls, group: FailureGroup) -> FailureJson:
        said = AcknowledgementJson.of(group.acknowledgement)
        first = group.first
        return cls(group.step_name, group.pattern, first.message, group.count, first.id, group.open, said)


class StepTree(Struct, frozen=True):
    """A step of a run, with the counts of its work items and the steps it depends on."""

    id: int
    name: str
    type: str
    description: str
    depends: list[str]
    status: Status
    reason: str
    held_by: int | None
    counts: CountsJson
    log_count: int
    document_count: int
    totals: dict[str, float]
    """What it has used in all, such as tokens."""
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, step: StepRecord) -> StepTree:
        return cls(
            id=step.id,
            name=step.name,
            type=step.type,
            description=step.description,
            depends=list(step.depends),
            status=step.status,
            reason=step.reason,
            held_by=step.held_by,
            counts=CountsJson.of(step.counts),
            log_count=step.log_count,
            document_count=step.document_count,
            totals=dict(step.totals),
            started_at=_moment_or_none(step.started_at),
            finished_at=_moment_or_none(step.finished_at),
        )


class Tree(Struct, frozen=True):
    """A run with its steps, and its failed work items grouped by message, the largest groups first."""

    revision: Revision
    job: Job
    parameters: dict[str, str]
    steps: list[StepTree]
    failures: list[FailureJson]

    @classmethod
    def of(cls, revision: int, job: JobRecord, run: RunRecord, failures: tuple[FailureGroup, ...]) -> Tree:
        return cls(
            revision,
            Job.of(job),
            dict(run.parameters),
            [StepTree.of(step) for step in run.steps],
            [FailureJson.of(each) for each in failures],
        )


class Line(Struct, frozen=True):
    """A log entry. `line` is its number in its step's log; `job_id` the work item, or the step, that said it."""

    line: int
    at: datetime
    level: Level
    message: str
    job_id: int
    step_name: str

    @classmethod
    def of(cls, line: LogLine) -> Line:
        owner = line.step_id if line.worker_id is None else line.worker_id
        return cls(line.line, moment(line.at), line.level, line.message, owner, line.step_name)


class Logs(Struct, frozen=True):
    """A window of a log. `total`: lines under the filter. `next`: give it as `after` to read on."""

    revision: Revision
    total: int
    lines: list[Line]
    next: str | None


class JobUpdateJson(Struct, frozen=True):
    """The data of a `job_update` event: a run (`job`) or one step of it (`job_step`) changed. `deleted`: the run is
    gone; its status was the last it had."""

    context: Literal["job", "job_step"]
    job_id: int
    step_name: str | None
    status: Status
    refresh_logs: bool
    deleted: bool

    @classmethod
    def of(cls, update: JobUpdate) -> JobUpdateJson:
        return cls(update.context, update.job_id, update.step_name, update.status, update.refresh_logs, update.deleted)


class Health(Struct, frozen=True):
    """Whether the server can read and write its database. `detail`: what is wrong, and what to do about it; `since`:
    when it began."""

    status: Literal["ok", "slow", "trouble"]
    revision: Revision
    version: str
    detail: str = ""
    since: datetime | None = None


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a UTC time, which is sent as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _latest(job: RunRecord | StepRecord) -> float:
    return max(time for time in (job.created_at, job.started_at, job.finished_at) if time is not None)
