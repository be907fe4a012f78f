"""Lists of jobs of any kind, with true totals, in pages that cost the same however long the list is.

A list is a row of segments: the runs, the steps, then for each step its work items of one status after the other. How
long each segment is comes from the counters, so that the total is known without reading the list; within a segment a
page goes on from the last id. A cursor names the segment and the id. Only a search for text has to look at the names of
all work items, which an index holds together with their statuses.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.engine import Connection

from app.queue import run_reading
from app.queue.attempt_reading import attempts_of
from app.queue.document_reading import made_by, saved_by
from app.queue.models import Kind
from app.queue.places import BadCursor, place_number
from app.queue.records import ItemRecord, JobPage, JobRecord, RunRecord, StepRecord
from app.queue.run_reading import RunFilter, run_conditions
from app.queue.status import Status
from app.queue.tables import failure_group, manager_job, step_counter, step_job, worker_job
from app.queue.text_search import contains

_OTHERS = ((Kind.MANAGER, manager_job), (Kind.STEP, step_job))
"""Those that are so few that they are counted when they are asked for."""

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
    failure: str | None = None
    """They are work items that failed, in the failure group of that pattern."""

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


class _Size(NamedTuple):
    """How many work items of a step have a status, among those that match."""

    step_id: int
    status: Status
    number: int


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
        total, sizes = self._sizes(matching, start)
        found: list[tuple[_Segment, int]] = []
        with closing(_segments(matching, sizes)) as segments:
            for segment in segments:
                if start is None or segment.place >= start.place:
                    after = last_id if segment == start else None
                    ids = self._ids(segment, matching, limit + 1 - len(found), after)
                    found += [(segment, job_id) for job_id in ids]
                if len(found) > limit:
                    break
        more = len(found) > limit
        found = found[:limit]
        following = found[-1][0].cursor(found[-1][1]) if more else None
        return JobPage(total, tuple(self._records(found)), following)

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
        attempts = attempts_of(self._connection, row)
        saved, made, changed = saved_by(self._connection, job.id)
        return ItemRecord(job, row.input, row.result, attempts, saved, made, changed)

    def _sizes(self, matching: JobFilter, start: _Segment | None) -> tuple[int, Iterable[_Size]]:
        """How many jobs match, and how the work items among them are divided, beginning at the step where a page
        starts."""
        tables = [table for kind, table in _OTHERS if _shows(matching, kind)]
        total = sum(self._number(table, self._conditions(table, matching)) for table in tables)
        if not _shows(matching, Kind.WORKER):
            return total, ()
        query = self._sizes_of_items(matching)
        if matching.text:
            counted = [_Size(*row) for row in self._connection.execute(query)]
            return total + sum(size.number for size in counted), counted
        number = self._connection.execute(select(func.sum(query.subquery().c.number))).scalar_one()
        return total + int(number or 0), self._stream(query, start)

    def _number(self, table: Any, conditions: Sequence[ColumnElement[bool]]) -> int:
        query = select(func.count()).select_from(table).where(*conditions)
        number: int = self._connection.execute(query).scalar_one()
        return number

    def _sizes_of_items(self, matching: JobFilter) -> Select[Any]:
        """A query for them, the newest step first."""
        step_id: Any
        status: Any
        if matching.text:
            step_id, status, number = worker_job.c.step_id, worker_job.c.status, func.count()
            query = select(step_id, status, number.label("number")).group_by(step_id, status)
            query = query.where(contains(self._connection, worker_job.c.name, matching.text), *_in_group(matching))
        elif matching.failure is not None:
            step_id, status = failure_group.c.step_id, literal(Status.FAILED, step_counter.c.status.type)
            query = select(step_id, status.label("status"), failure_group.c.number)
            query = query.where(failure_group.c.pattern == matching.failure)
        else:
            step_id, status = step_counter.c.step_id, step_counter.c.status
            query = select(step_counter).where(step_counter.c.number > 0)
        if (conditions := _step_conditions(matching)) or matching.text:
            # For a search also without conditions: step by step, the index with the names is the best by far.
            query = query.where(step_id.in_(select(step_job.c.id).where(*conditions)))
        if matching.status:
            query = query.where(status == matching.status)
        return query.order_by(step_id.desc())

    def _stream(self, query: Select[Any], start: _Segment | None) -> Iterator[_Size]:
        """Row by row: of many steps, a page needs the first few."""
        if start is not None and start.kind is Kind.WORKER:
            query = query.where(query.selected_columns.step_id <= start.step_id)
        with closing(self._connection.execute(query)) as rows:
            yield from (_Size(*row) for row in rows)

    def _ids(self, segment: _Segment, matching: JobFilter, limit: int, after: int | None) -> list[int]:
        table = dict(_OTHERS).get(segment.kind, worker_job)
        conditions = self._conditions(table, matching)
        if segment.kind is Kind.WORKER:
            conditions += [worker_job.c.step_id == segment.step_id, worker_job.c.status == segment.status]
        newest_first = segment.kind is not Kind.WORKER
        query = select(table.c.id).where(*conditions).order_by(table.c.id.desc() if newest_first else table.c.id)
        if after is not None:
            query = query.where(table.c.id < after if newest_first else table.c.id > after)
        return list(self._connection.execute(query.limit(limit)).scalars())

    def _conditions(self, table: Any, matching: JobFilter) -> list[ColumnElement[bool]]:
        """What a row has to fulfil; of a work item, beside its step and status."""
        conditions = [contains(self._connection, table.c.name, matching.text)] if matching.text else []
        if table is worker_job:
            return conditions + _in_group(matching)
        if matching.status:
            conditions.append(table.c.status == matching.status)
        return conditions + (_manager_conditions if table is manager_job else _step_conditions)(matching)

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
        made = made_by(self._connection, ids)
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
                document_count=made.get(row.id, 0),
                counts=None,
                due_at=(row.due_at or None) if row.status is Status.PENDING else None,
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


def _shows(matching: JobFilter, kind: Kind) -> bool:
    if kind is Kind.MANAGER and matching.step_name is not None:
        return False
    return matching.kind in (None, kind) and (matching.failure is None or kind is Kind.WORKER)


def _segments(matching: JobFilter, sizes: Iterable[_Size]) -> Generator[_Segment, None, None]:
    yield from (_Segment(kind) for kind, _ in _OTHERS if _shows(matching, kind))
    for step_id, of_step in groupby(sizes, key=lambda size: size.step_id):
        statuses = {size.status for size in of_step}
        yield from (_Segment(Kind.WORKER, step_id, status) for status in ATTENTION_FIRST if status in statuses)


def _in_group(matching: JobFilter) -> list[ColumnElement[bool]]:
    """Of a work item: that it failed, and with whom."""
    if matching.failure is None:
        return []
    return [worker_job.c.failure_pattern == matching.failure, worker_job.c.status == Status.FAILED]


def _manager_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    given = [] if matching.manager_id is None else [manager_job.c.id == matching.manager_id]
    return given + run_conditions(matching.of_runs)


def _step_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if matching.manager_id is not None:
        conditions.append(step_job.c.manager_id == matching.manager_id)
    if matching.step_name is not None:
        conditions.append(step_job.c.name == matching.step_name)
    if of_runs := run_conditions(matching.of_runs):
        conditions.append(step_job.c.manager_id.in_(select(manager_job.c.id).where(*of_runs)))
    return conditions
