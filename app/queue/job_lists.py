"""Lists of jobs of any kind, with true totals, in pages that cost the same however long the list is.

A list is a row of segments: the runs, the steps, then for each step its work items of one status after the other. How
long each segment is comes from the counters, so that the total is known without reading the list; within a segment a
page goes on from the last id. A cursor names the segment and the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.engine import Connection

from app.queue import run_reading
from app.queue.document_reading import saved_by
from app.queue.models import Kind
from app.queue.places import BadCursor, place_number
from app.queue.records import AttemptRecord, ItemRecord, JobPage, JobRecord, RunRecord, StepRecord
from app.queue.run_reading import RunFilter, run_conditions
from app.queue.status import Status
from app.queue.tables import attempt, manager_job, step_counter, step_job, worker_job

ATTENTION_FIRST = (Status.FAILED, Status.RUNNING, Status.PENDING, Status.CANCELLED, Status.COMPLETED)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows; an absent field lets all pass."""

    kind: Kind | None = None
    status: Status | None = None
    manager_id: int | None = None
    step_name: str | None = None
    definition: str | None = None
    text: str | None = None
    """Part of the name, whatever the case."""
    tag: str | None = None
    """A tag of their run."""
    since: float | None = None
    """Their run was created then or later."""
    until: float | None = None
    """Their run was created before."""
    without: frozenset[int] = frozenset()
    """Runs that are being deleted."""

    @property
    def of_runs(self) -> RunFilter:
        """What it asks of their run."""
        return RunFilter(
            definition=self.definition, tag=self.tag, since=self.since, until=self.until, without=self.without
        )


class _Segment(NamedTuple):
    kind: Kind
    step_id: int = 0
    status: Status | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """Segments stand in this order, also those that have emptied since a cursor named them."""
        attention = ATTENTION_FIRST.index(self.status) if self.status in ATTENTION_FIRST else 0
        return tuple(Kind).index(self.kind), -self.step_id, attention

    def cursor(self, last_id: int) -> str:
        return f"{self.kind}.{self.step_id}.{self.status or ''}.{last_id}"


class JobLists:
    """Reads lists of jobs through one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def kind_of(self, job_id: int) -> Kind | None:
        for kind, table in ((Kind.WORKER, worker_job), (Kind.STEP, step_job), (Kind.MANAGER, manager_job)):
            if self._connection.execute(select(table.c.id).where(table.c.id == job_id)).first():
                return kind
        return None

    def page(self, matching: JobFilter, limit: int, cursor: str | None) -> JobPage:
        start, last_id = _parse(cursor)
        segments = list(self._segments(matching))
        remaining = [segment for segment in segments if start is None or segment.place >= start.place]
        found: list[tuple[_Segment, int]] = []
        for segment in remaining:
            after = last_id if segment == start else None
            ids = self._ids(segment, matching, limit + 1 - len(found), after)
            found += [(segment, job_id) for job_id in ids]
            if len(found) > limit:
                break
        more = len(found) > limit
        found = found[:limit]
        following = found[-1][0].cursor(found[-1][1]) if more else None
        return JobPage(self._total(matching, segments), tuple(self._records(found)), following)

    def jobs_by_id(self, kind: Kind, ids: Sequence[int]) -> list[JobRecord]:
        """The jobs of that kind and those ids, in the order of `ids`."""
        records = {
            Kind.MANAGER: self._managers,
            Kind.STEP: self._steps,
            Kind.WORKER: self._workers,
        }[kind](ids)
        by_id = {record.id: record for record in records}
        return [by_id[job_id] for job_id in ids if job_id in by_id]

    def slowest(self, manager_id: int, most: int) -> list[JobRecord]:
        """The work items of a run that took longest, among those that have ended; an index knows them."""
        took = worker_job.c.finished_at - worker_job.c.started_at
        has_duration = (worker_job.c.started_at.is_not(None), worker_job.c.finished_at.is_not(None))
        query = select(worker_job.c.id).where(worker_job.c.manager_id == manager_id, *has_duration)
        ids = self._connection.execute(query.order_by(took.desc()).limit(most)).scalars()
        return self.jobs_by_id(Kind.WORKER, list(ids))

    def item(self, job: JobRecord) -> ItemRecord | None:
        row = self._connection.execute(select(worker_job).where(worker_job.c.id == job.id)).one_or_none()
        if row is None:
            return None
        earlier = self._connection.execute(
            select(attempt).where(attempt.c.worker_id == job.id).order_by(attempt.c.number.desc())
        )
        attempts = [
            AttemptRecord(
                each.number,
                Status.FAILED if each.error else Status.CANCELLED,
                each.error or None,
                each.traceback,
                each.claimed_by,
                each.started_at,
                each.finished_at,
            )
            for each in earlier
        ]
        if row.started_at is not None and (not attempts or attempts[0].number < row.attempt):
            attempts.insert(
                0,
                AttemptRecord(
                    row.attempt,
                    row.status,
                    row.error,
                    row.traceback,
                    row.claimed_by,
                    row.started_at,
                    row.finished_at,
                ),
            )
        saved, number = saved_by(self._connection, job.id)
        return ItemRecord(job, row.input, row.result, tuple(attempts), saved, number)

    def _segments(self, matching: JobFilter) -> Iterator[_Segment]:
        if matching.kind in (None, Kind.MANAGER) and matching.step_name is None:
            yield _Segment(Kind.MANAGER)
        if matching.kind in (None, Kind.STEP):
            yield _Segment(Kind.STEP)
        if matching.kind in (None, Kind.WORKER):
            for step_id, counts in self._counted_steps(matching):
                for status in ATTENTION_FIRST:
                    if counts.get(status) and matching.status in (None, status):
                        yield _Segment(Kind.WORKER, step_id, status)

    def _counted_steps(self, matching: JobFilter) -> Iterator[tuple[int, dict[Status, int]]]:
        query = (
            select(step_counter)
            .join(step_job, step_job.c.id == step_counter.c.step_id)
            .where(step_counter.c.number > 0, *_step_conditions(matching))
            .order_by(step_counter.c.step_id.desc())
        )
        by_step: dict[int, dict[Status, int]] = {}
        for row in self._connection.execute(query):
            by_step.setdefault(row.step_id, {})[row.status] = row.number
        yield from by_step.items()

    def _ids(self, segment: _Segment, matching: JobFilter, limit: int, after: int | None) -> list[int]:
        table, conditions = self._rows_of(segment, matching)
        newest_first = segment.kind is not Kind.WORKER
        query = select(table.c.id).where(*conditions).order_by(table.c.id.desc() if newest_first else table.c.id)
        if after is not None:
            query = query.where(table.c.id < after if newest_first else table.c.id > after)
        return list(self._connection.execute(query.limit(limit)).scalars())

    def _rows_of(self, segment: _Segment, matching: JobFilter) -> tuple[Any, list[ColumnElement[bool]]]:
        if segment.kind is Kind.MANAGER:
            return manager_job, _manager_conditions(matching)
        if segment.kind is Kind.STEP:
            conditions = _step_conditions(matching) + _own_conditions(step_job, matching)
            return step_job, conditions
        conditions = [worker_job.c.step_id == segment.step_id, worker_job.c.status == segment.status]
        return worker_job, conditions + _text_condition(worker_job, matching)

    def _total(self, matching: JobFilter, segments: Sequence[_Segment]) -> int:
        """Counted by the counters, except that a search for text has to look at the names."""
        total = 0
        counters = dict(self._counted_steps(matching)) if any(s.kind is Kind.WORKER for s in segments) else {}
        for segment in segments:
            if segment.kind is Kind.WORKER and not matching.text and segment.status:
                total += counters[segment.step_id][segment.status]
            else:
                table, conditions = self._rows_of(segment, matching)
                query = select(func.count()).select_from(table).where(*conditions)
                total += self._connection.execute(query).scalar_one()
        return total

    def _records(self, found: Sequence[tuple[_Segment, int]]) -> Iterator[JobRecord]:
        for kind in (Kind.MANAGER, Kind.STEP, Kind.WORKER):
            yield from self.jobs_by_id(kind, [job_id for segment, job_id in found if segment.kind is kind])

    def _managers(self, ids: Sequence[int]) -> list[JobRecord]:
        return [manager_record(run) for run in run_reading.runs_by_id(self._connection, ids)]

    def _steps(self, ids: Sequence[int]) -> list[JobRecord]:
        query = select(step_job.c.manager_id).where(step_job.c.id.in_(ids)).distinct()
        runs = run_reading.runs_by_id(self._connection, list(self._connection.execute(query).scalars()))
        return [step_record(run, step) for run in runs for step in run.steps if step.id in set(ids)]

    def _workers(self, ids: Sequence[int]) -> list[JobRecord]:
        query = (
            select(worker_job, step_job.c.name.label("step_name"), manager_job.c.definition)
            .join(step_job, step_job.c.id == worker_job.c.step_id)
            .join(manager_job, manager_job.c.id == worker_job.c.manager_id)
            .where(worker_job.c.id.in_(ids))
        )
        return [
            JobRecord(
                id=row.id,
                kind=Kind.WORKER,
                name=row.name,
                status=row.status,
                reason=row.reason,
                definition=row.definition,
                manager_id=row.manager_id,
                step_id=row.step_id,
                step_name=row.step_name,
                attempt=row.attempt,
                error=row.error,
                created_at=row.created_at,
                started_at=row.started_at,
                finished_at=row.finished_at,
                document_count=0,
                counts=None,
            )
            for row in self._connection.execute(query)
        ]


def manager_record(run: RunRecord) -> JobRecord:
    """A run as a list of jobs shows it."""
    return JobRecord(
        id=run.id,
        kind=Kind.MANAGER,
        name=run.name,
        status=run.status,
        reason=run.reason,
        definition=run.definition,
        manager_id=run.id,
        step_id=None,
        step_name=None,
        attempt=0,
        error=run.reason if run.status is Status.FAILED else None,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        document_count=run.document_count,
        counts=run.counts,
    )


def step_record(run: RunRecord, step: StepRecord) -> JobRecord:
    """A step as a list of jobs shows it."""
    return JobRecord(
        id=step.id,
        kind=Kind.STEP,
        name=step.name,
        status=step.status,
        reason=step.reason,
        definition=run.definition,
        manager_id=run.id,
        step_id=step.id,
        step_name=step.name,
        attempt=0,
        error=step.reason if step.status is Status.FAILED else None,
        created_at=step.created_at,
        started_at=step.started_at,
        finished_at=step.finished_at,
        document_count=step.document_count,
        counts=step.counts,
    )


def _parse(cursor: str | None) -> tuple[_Segment | None, int | None]:
    if cursor is None:
        return None, None
    try:
        kind, step_id, status, last_id = cursor.split(".")
        return _Segment(Kind(kind), place_number(step_id), Status(status) if status else None), place_number(last_id)
    except ValueError:
        raise BadCursor(cursor) from None


def _manager_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions = _own_conditions(manager_job, matching)
    if matching.manager_id is not None:
        conditions.append(manager_job.c.id == matching.manager_id)
    return conditions + run_conditions(matching.of_runs)


def _step_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if matching.manager_id is not None:
        conditions.append(step_job.c.manager_id == matching.manager_id)
    if matching.step_name is not None:
        conditions.append(step_job.c.name == matching.step_name)
    if of_runs := run_conditions(matching.of_runs):
        conditions.append(step_job.c.manager_id.in_(select(manager_job.c.id).where(*of_runs)))
    return conditions


def _own_conditions(table: Any, matching: JobFilter) -> list[ColumnElement[bool]]:
    status = [table.c.status == matching.status] if matching.status else []
    return status + _text_condition(table, matching)


def _text_condition(table: Any, matching: JobFilter) -> list[ColumnElement[bool]]:
    return [table.c.name.icontains(matching.text, autoescape=True)] if matching.text else []
