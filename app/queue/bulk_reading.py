"""Reading for bulk actions: the jobs that a list holds, all of them; and what became of a set of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, literal, select
from sqlalchemy.engine import Connection

from app.queue.actor import Actor, Place
from app.queue.bulk_rules import BulkAction, Choice, FrozenState, Outcome, choices
from app.queue.job_lists import JobFilter, JobLists, shows, step_conditions
from app.queue.models import Kind
from app.queue.open_failures import is_open, open_plannings
from app.queue.status import Status
from app.queue.tables import (
    frozen_job,
    frozen_set,
    manager_job,
    open_failure,
    planning_failure,
    step_counter,
    step_job,
    worker_job,
)

MOST_REASONS = 50
"""Reasons of a report that are told one by one."""

_by_token = select(frozen_set).where(frozen_set.c.token == bindparam("of_token"), frozen_set.c.total.is_not(None))
_of_run = select(frozen_set.c.token).where(frozen_set.c.manager_id == bindparam("of_manager"))
_states = (
    select(frozen_job.c.kind, frozen_job.c.status, frozen_job.c.failed, frozen_job.c.is_open, func.count())
    .where(frozen_job.c.set_id == bindparam("of_set"))
    .group_by(frozen_job.c.kind, frozen_job.c.status, frozen_job.c.failed, frozen_job.c.is_open)
)
_outcomes = (
    select(frozen_job.c.outcome, frozen_job.c.why, func.count())
    .where(frozen_job.c.set_id == bindparam("of_set"))
    .group_by(frozen_job.c.outcome, frozen_job.c.why)
    .order_by(func.count().desc(), frozen_job.c.why)
)


class UnknownSet(LookupError):
    """There is no frozen set of that token, or no longer."""

    def __init__(self) -> None:
        super().__init__(
            "there is no such bulk action, or it was not confirmed within a day; ask for a new preview on the list"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a bulk action has done so far. `waiting`: jobs that it has not come to, and never will if its run is over.
    `skipped`, `failed`: by reason, the most frequent ones first."""

    done: int
    skipped: tuple[tuple[str, int], ...]
    failed: tuple[tuple[str, int], ...]
    waiting: int

    @property
    def skipped_number(self) -> int:
        return sum(number for _, number in self.skipped)

    @property
    def failed_number(self) -> int:
        return sum(number for _, number in self.failed)


@dataclass(frozen=True, slots=True)
class FrozenSetRecord:
    """A frozen set: which jobs they are, in words, and what can be done with them; or what was done, and by which
    run (None if that was deleted)."""

    id: int
    token: str
    at: float
    words: str
    total: int
    choices: tuple[Choice, ...]
    action: BulkAction | None
    note: str
    who: str
    manager_id: int | None
    report: Report


class BulkReading:
    """Reads through one connection. `deleted`: runs that are being deleted."""

    def __init__(self, connection: Connection, deleted: Collection[int]) -> None:
        self._connection = connection
        self._deleted = deleted

    def jobs(self, matching: JobFilter, at_once: int) -> Iterator[Sequence[Any]]:
        """All jobs of a list, so many at a time: rows of job_id, kind, status, finished_at, failed, is_open."""
        for kind, query in ((Kind.MANAGER, _runs), (Kind.STEP, _steps), (Kind.WORKER, _items)):
            if shows(matching, kind):
                found = self._connection.execution_options(yield_per=at_once).execute(query(self._connection, matching))
                with closing(found):
                    yield from found.partitions(at_once)

    def frozen_set(self, token: str) -> FrozenSetRecord:
        """Raises UnknownSet."""
        row = self._connection.execute(_by_token, {"of_token": token}).one_or_none()
        if row is None:
            raise UnknownSet
        states = [
            (FrozenState(kind, status, failed, is_open_), number)
            for kind, status, failed, is_open_, number in self._connection.execute(_states, {"of_set": row.id})
        ]
        return FrozenSetRecord(
            id=row.id,
            token=row.token,
            at=row.at,
            words=row.words,
            total=row.total,
            choices=choices(states, row.asked),
            action=BulkAction(row.action) if row.action else None,
            note=row.note,
            who=Actor(Place[row.place], row.who).who if row.action else "",
            manager_id=None if row.manager_id in self._deleted else row.manager_id,
            report=report_of(self._connection, row.id),
        )

    def token_of_run(self, manager_id: int) -> str:
        """The set that a run acts on. Raises UnknownSet."""
        token: str | None = self._connection.execute(_of_run, {"of_manager": manager_id}).scalar_one_or_none()
        if token is None:
            raise UnknownSet
        return token


def report_of(connection: Connection, set_id: int) -> Report:
    done = waiting = 0
    reasons: dict[str, list[tuple[str, int]]] = {Outcome.SKIPPED: [], Outcome.FAILED: []}
    for outcome, why, number in connection.execute(_outcomes, {"of_set": set_id}):
        if outcome is None:
            waiting += number
        elif outcome == Outcome.DONE:
            done += number
        else:
            reasons[outcome].append((why, number))
    skipped, failed = (_most_frequent(each) for each in reasons.values())
    return Report(done, skipped, failed, waiting)


def _most_frequent(reasons: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    rest = sum(number for _, number in reasons[MOST_REASONS:])
    return (*reasons[:MOST_REASONS], *([("other reasons, see the log", rest)] if rest else []))


def _row(table: Any, kind: Kind, failed: ColumnElement[bool], unseen: ColumnElement[bool]) -> Select[Any]:
    as_kind = literal(kind, frozen_job.c.kind.type).label("kind")
    columns = (table.c.id.label("job_id"), as_kind, table.c.status, table.c.finished_at)
    return select(*columns, failed.label("failed"), unseen.label("is_open"))


def _runs(connection: Connection, matching: JobFilter) -> Select[Any]:
    of_run = step_job.c.manager_id == manager_job.c.id
    failed = exists(select(step_job.c.id).where(of_run, _step_failed)) | (manager_job.c.status == Status.FAILED)
    query = _row(manager_job, Kind.MANAGER, failed, exists(select(step_job.c.id).where(of_run, _step_is_open)))
    return query.where(*JobLists(connection).conditions(manager_job, matching))


def _steps(connection: Connection, matching: JobFilter) -> Select[Any]:
    failed = _step_failed | (step_job.c.status == Status.FAILED)
    query = _row(step_job, Kind.STEP, failed, _step_is_open)
    return query.where(*JobLists(connection).conditions(step_job, matching))


def _items(connection: Connection, matching: JobFilter) -> Select[Any]:
    query = _row(worker_job, Kind.WORKER, worker_job.c.failure_pattern.is_not(None), is_open)
    query = query.where(*JobLists(connection).conditions(worker_job, matching))
    if matching.status:
        query = query.where(worker_job.c.status == matching.status)
    # Also without conditions: step by step, an index finds them, and those of a step come together.
    return query.where(worker_job.c.step_id.in_(select(step_job.c.id).where(*step_conditions(matching))))


_of_step = step_counter.c.step_id == step_job.c.id
_step_failed = exists(
    select(step_counter.c.step_id)
    .where(_of_step, step_counter.c.status == Status.FAILED, step_counter.c.number > 0)
    .correlate(step_job)
) | exists(select(planning_failure.c.step_id).where(planning_failure.c.step_id == step_job.c.id).correlate(step_job))
_step_is_open = exists(
    select(open_failure.c.step_id).where(open_failure.c.step_id == step_job.c.id).correlate(step_job)
) | step_job.c.id.in_(open_plannings)
