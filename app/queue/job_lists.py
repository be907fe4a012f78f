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
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, func, literal, select
from sqlalchemy.engine import Connection

from app.queue import run_reading
from app.queue.attempt_reading import attempts_of
from app.queue.document_reading import made_by, saved_by
from app.queue.job_records import manager_record, step_record
from app.queue.models import Kind
from app.queue.open_failures import acknowledgements, is_open, open_plannings
from app.queue.places import BadCursor, place_number
from app.queue.records import ItemRecord, JobPage, JobRecord
from app.queue.run_reading import RunFilter, run_conditions
from app.queue.status import Status
from app.queue.tables import failure_group, manager_job, open_failure, step_counter, step_job, worker_job
from app.queue.text_search import contains
from app.queue.waiting import why_item_waits, why_items_wait

_OTHERS = ((Kind.MANAGER, manager_job), (Kind.STEP, step_job))
"""Those that are so few that they are counted when they are asked for."""

_kinds = tuple(
    (kind, select(table.c.id).where(table.c.id == bindparam("of_job")))
    for kind, table in ((Kind.WORKER, worker_job), (Kind.STEP, step_job), (Kind.MANAGER, manager_job))
)
_workers_by_id = (
    select(worker_job, step_job.c.name.label("step_name"), manager_job.c.definition)
    .join(step_job, step_job.c.id == worker_job.c.step_id)
    .join(manager_job, manager_job.c.id == worker_job.c.manager_id)
    .where(worker_job.c.id.in_(bindparam("ids", expanding=True)))
)
_item = select(worker_job).where(worker_job.c.id == bindparam("of_worker"))
_items_of_step = (
    select(worker_job.c.id)
    .where(
        worker_job.c.step_id == bindparam("of_step"),
        worker_job.c.status == bindparam("in_status"),
        worker_job.c.id > bindparam("above"),
    )
    .order_by(worker_job.c.id)
    .limit(bindparam("most"))
)
_took = worker_job.c.finished_at - worker_job.c.started_at
_slowest = (
    select(worker_job.c.id)
    .where(
        worker_job.c.manager_id == bindparam("of_manager"),
        worker_job.c.started_at.is_not(None),
        worker_job.c.finished_at.is_not(None),
    )
    .order_by(_took.desc())
    .limit(bindparam("most"))
)
_QUERIES = 256
"""Statements that are kept once they were built: to build one takes longer than to execute it."""

_failed: Any = literal(Status.FAILED, step_counter.c.status.type)
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
    open: bool = False
    """They are failures that nobody has acknowledged: work items, and steps that failed by their planning."""

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
        self._known_workers: dict[int, JobRecord] = {}

    def kind_of(self, job_id: int) -> Kind | None:
        for kind, query in _kinds:
            if self._connection.execute(query, {"of_job": job_id}).first():
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
        ids = self._connection.execute(_slowest, {"of_manager": manager_id, "most": most}).scalars()
        return self.jobs_by_id(Kind.WORKER, list(ids))

    def item(self, job: JobRecord) -> ItemRecord | None:
        of_worker = {"of_worker": job.id}
        row = self._connection.execute(_item, of_worker).one_or_none()
        if row is None:
            return None
        attempts = attempts_of(self._connection, row)
        saved, made, changed = saved_by(self._connection, job.id)
        return ItemRecord(job, row.input, row.result, attempts, saved, made, changed)

    def _sizes(self, matching: JobFilter, start: _Segment | None) -> tuple[int, Iterable[_Size]]:
        """How many jobs match, and how the work items among them are divided, beginning at the step where a page
        starts."""
        tables = [table for kind, table in _OTHERS if shows(matching, kind)]
        total = sum(self._number(table, self.conditions(table, matching)) for table in tables)
        if not shows(matching, Kind.WORKER):
            return total, ()
        if matching.text:
            counted = [_Size(*row) for row in self._connection.execute(self._sizes_of_items(matching))]
            return total + sum(size.number for size in counted), counted
        number, sizes = _counted_items(matching)
        total += int(self._connection.execute(number).scalar_one() or 0)
        return total, self._stream(sizes, start)

    def _number(self, table: Any, conditions: Sequence[ColumnElement[bool]]) -> int:
        query = select(func.count()).select_from(table).where(*conditions)
        number: int = self._connection.execute(query).scalar_one()
        return number

    def _sizes_of_items(self, matching: JobFilter) -> Select[Any]:
        """A query for them when a text is searched for, the newest step first."""
        step_id, status, number = worker_job.c.step_id, worker_job.c.status, func.count()
        query = select(step_id, status, number.label("number")).group_by(step_id, status)
        query = query.where(*self.conditions(worker_job, matching))
        # Also without conditions: step by step, the index with the names is the best by far.
        query = query.where(step_id.in_(select(step_job.c.id).where(*step_conditions(matching))))
        return _of_status(query, matching).order_by(step_id.desc())

    def _stream(self, query: Select[Any], start: _Segment | None) -> Iterator[_Size]:
        """Row by row: of many steps, a page needs the first few."""
        if start is not None and start.kind is Kind.WORKER:
            query = query.where(query.selected_columns.step_id <= start.step_id)
        with closing(self._connection.execute(query)) as rows:
            yield from (_Size(*row) for row in rows)

    def _ids(self, segment: _Segment, matching: JobFilter, limit: int, after: int | None) -> list[int]:
        if segment.kind is Kind.WORKER and not (matching.text or matching.open or matching.failure is not None):
            place = {"of_step": segment.step_id, "in_status": segment.status, "above": after or 0, "most": limit}
            return list(self._connection.execute(_items_of_step, place).scalars())
        table = dict(_OTHERS).get(segment.kind, worker_job)
        conditions = self.conditions(table, matching)
        if segment.kind is Kind.WORKER:
            conditions.append(worker_job.c.step_id == segment.step_id)
            if not matching.open:  # which says as much, and has an index that does not know the status
                conditions.append(worker_job.c.status == segment.status)
        newest_first = segment.kind is not Kind.WORKER
        query = select(table.c.id).where(*conditions).order_by(table.c.id.desc() if newest_first else table.c.id)
        if after is not None:
            query = query.where(table.c.id < after if newest_first else table.c.id > after)
        return list(self._connection.execute(query.limit(limit)).scalars())

    def conditions(self, table: Any, matching: JobFilter) -> list[ColumnElement[bool]]:
        """What a row has to fulfil; of a work item, beside its step and status."""
        conditions = [contains(self._connection, table.c.name, matching.text)] if matching.text else []
        if table is worker_job:
            return conditions + _of_failures(matching)
        if matching.status:
            conditions.append(table.c.status == matching.status)
        if matching.open:
            conditions.append(step_job.c.id.in_(open_plannings))
        return conditions + (_manager_conditions if table is manager_job else step_conditions)(matching)

    def _records(self, found: Sequence[tuple[_Segment, int]]) -> Iterator[JobRecord]:
        for kind in (Kind.MANAGER, Kind.STEP, Kind.WORKER):
            if ids := [job_id for segment, job_id in found if segment.kind is kind]:
                yield from self.jobs_by_id(kind, ids)

    def _managers(self, ids: Sequence[int]) -> list[JobRecord]:
        return [manager_record(run) for run in run_reading.runs_by_id(self._connection, ids)]

    def _steps(self, ids: Sequence[int]) -> list[JobRecord]:
        query = select(step_job.c.manager_id).where(step_job.c.id.in_(ids)).distinct()
        runs = run_reading.runs_by_id(self._connection, list(self._connection.execute(query).scalars()))
        return [step_record(run, step) for run in runs for step in run.steps if step.id in set(ids)]

    def _workers(self, ids: Sequence[int]) -> list[JobRecord]:
        """Those that another list of the same moment has shown are not read again."""
        known = self._known_workers
        if unread := [each for each in ids if each not in known]:
            known.update((job.id, job) for job in self._read_workers(unread))
        return [known[each] for each in ids if each in known]

    def _read_workers(self, ids: Sequence[int]) -> list[JobRecord]:
        made = made_by(self._connection, ids)
        rows = self._connection.execute(_workers_by_id, {"ids": ids}).all()
        pending = [row for row in rows if row.status is Status.PENDING]
        of_steps = why_items_wait(self._connection, sorted({row.step_id for row in pending}))
        whys = {row.id: why_item_waits(row.reason, row.due_at, of_steps[row.step_id]) for row in pending}
        said = acknowledgements(self._connection, {row.acknowledgement_id for row in rows} - {None})
        return [
            JobRecord(
                id=row.id,
                kind=Kind.WORKER,
                name=row.name,
                status=row.status,
                reason=whys[row.id].sentence if row.id in whys else row.reason,
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
                held_by=whys[row.id].held_by if row.id in whys else None,
                open_failures=int(row.failure_pattern is not None and row.acknowledgement_id is None),
                acknowledgement=said.get(row.acknowledgement_id),
                due_at=(row.due_at or None) if row.status is Status.PENDING else None,
            )
            for row in rows
        ]


def _parse(cursor: str | None) -> tuple[_Segment | None, int | None]:
    if cursor is None:
        return None, None
    try:
        kind, step_id, status, last_id = cursor.split(".")
        return _Segment(Kind(kind), place_number(step_id), Status(status) if status else None), place_number(last_id)
    except ValueError:
        raise BadCursor(cursor) from None


def shows(matching: JobFilter, kind: Kind) -> bool:
    if kind is Kind.MANAGER and (matching.step_name is not None or matching.open):
        return False
    return matching.kind in (None, kind) and (matching.failure is None or kind is Kind.WORKER)


def _segments(matching: JobFilter, sizes: Iterable[_Size]) -> Generator[_Segment, None, None]:
    yield from (_Segment(kind) for kind, _ in _OTHERS if shows(matching, kind))
    for step_id, of_step in groupby(sizes, key=lambda size: size.step_id):
        statuses = {size.status for size in of_step}
        yield from (_Segment(Kind.WORKER, step_id, status) for status in ATTENTION_FIRST if status in statuses)


@lru_cache(_QUERIES)
def _counted_items(matching: JobFilter) -> tuple[Select[Any], Select[Any]]:
    """How many work items match, and how they are divided, the newest step first. Not for a search of text."""
    step_id: Any
    status: Any
    number: Any
    if matching.failure is not None:
        step_id, status = failure_group.c.step_id, _failed
        number = failure_group.c.number - (failure_group.c.acknowledged if matching.open else 0)
        query = select(step_id, status.label("status"), number.label("number"))
        query = query.where(failure_group.c.pattern == matching.failure, number > 0)
    elif matching.open:
        step_id, status = open_failure.c.step_id, _failed
        query = select(step_id, status.label("status"), open_failure.c.number)
    else:
        step_id = step_counter.c.step_id
        query = select(step_counter).where(step_counter.c.number > 0)
    if conditions := step_conditions(matching):
        query = query.where(step_id.in_(select(step_job.c.id).where(*conditions)))
    query = _of_status(query, matching)
    return select(func.sum(query.subquery().c.number)), query.order_by(step_id.desc())


def _of_status(query: Select[Any], matching: JobFilter) -> Select[Any]:
    return query.where(query.selected_columns.status == matching.status) if matching.status else query


def _of_failures(matching: JobFilter) -> list[ColumnElement[bool]]:
    """Of a work item: that it failed, and with whom; that nobody has acknowledged it."""
    conditions = [is_open] if matching.open else []
    if matching.failure is not None:
        conditions += [worker_job.c.failure_pattern == matching.failure, worker_job.c.status == Status.FAILED]
    return conditions


def _manager_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    given = [] if matching.manager_id is None else [manager_job.c.id == matching.manager_id]
    return given + run_conditions(matching.of_runs)


def step_conditions(matching: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if matching.manager_id is not None:
        conditions.append(step_job.c.manager_id == matching.manager_id)
    if matching.step_name is not None:
        conditions.append(step_job.c.name == matching.step_name)
    if of_runs := run_conditions(matching.of_runs):
        conditions.append(step_job.c.manager_id.in_(select(manager_job.c.id).where(*of_runs)))
    return conditions
