"""Reading runs with their steps and counts.

A run that is over is read once and then kept. What may still happen to it: a work item that was told to stop says its
last words or saves a document. So its state is its status, its end, and the numbers of lines and documents of its
steps; who would change anything else of a run that is over has to change one of these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, String, bindparam, cast, func, select
from sqlalchemy.engine import Connection

from app.queue import open_failures
from app.queue.kept_runs import KeptRuns, State
from app.queue.pauses import pause_of, pauses
from app.queue.places import BadCursor, place_number
from app.queue.records import Acknowledgement, Counts, Paused, RunPage, RunRecord, StepRecord
from app.queue.status import ACTIVE, FINAL, Status
from app.queue.tables import manager_job, run_tag, step_counter, step_job
from app.queue.waiting import told_why, waits_of_runs

_runs = (
    select(manager_job).where(manager_job.c.id.in_(bindparam("ids", expanding=True))).order_by(manager_job.c.id.desc())
)
_steps = (
    select(step_job).where(step_job.c.manager_id.in_(bindparam("ids", expanding=True))).order_by(step_job.c.position)
)
_counts = (
    select(step_counter)
    .join(step_job, step_job.c.id == step_counter.c.step_id)
    .where(step_job.c.manager_id.in_(bindparam("ids", expanding=True)))
)
_states = (
    select(
        step_job.c.manager_id,
        cast(manager_job.c.status, String).label("status"),
        manager_job.c.finished_at,
        step_job.c.log_count,
        step_job.c.document_count,
        step_job.c.totals,
    )
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(step_job.c.manager_id.in_(bindparam("ids", expanding=True)), manager_job.c.status.in_(tuple(FINAL)))
    .order_by(step_job.c.manager_id, step_job.c.position)
)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; an absent field lets all pass."""

    status: Status | None = None
    definition: str | None = None
    tag: str | None = None
    text: str | None = None
    """Part of the name, whatever the case."""
    since: float | None = None
    """Created then or later."""
    until: float | None = None
    """Created before."""
    without: frozenset[int] = frozenset()
    """Runs that are being deleted."""


def page(
    connection: Connection,
    runs_by_id: Callable[[Sequence[int]], Sequence[RunRecord]],
    matching: RunFilter,
    limit: int,
    cursor: str | None,
    newest: int | None,
) -> RunPage:
    """The runs that match, as `runs_by_id` reads them. Raises BadCursor."""
    counted, listed = _queries(matching, limit, cursor, newest)
    newer = 0
    total = connection.execute(counted).scalar_one()
    if newest is not None:
        newer = connection.execute(counted.where(manager_job.c.id > newest)).scalar_one()
    found = list(connection.execute(listed).scalars())
    following = str(found[limit - 1]) if len(found) > limit else None
    return RunPage(total, tuple(runs_by_id(found[:limit])), following, newer)


@lru_cache(256)
def _queries(
    matching: RunFilter, limit: int, cursor: str | None, newest: int | None
) -> tuple[Select[int], Select[int]]:
    """How many runs match, and the ids of a page of them: kept, since to build them takes longer than to execute
    them."""
    conditions, ids = run_conditions(matching), manager_job.c.id
    listed = select(ids).where(*conditions).order_by(ids.desc()).limit(limit + 1)
    if cursor is not None:
        listed = listed.where(ids < _parse(cursor))
    if newest is not None:
        listed = listed.where(ids <= newest)
    return select(func.count()).select_from(manager_job).where(*conditions), listed


def _parse(cursor: str) -> int:
    try:
        return place_number(cursor)
    except ValueError:
        raise BadCursor(cursor) from None


def run_conditions(matching: RunFilter) -> list[ColumnElement[bool]]:
    """What a row of manager_job has to fulfil."""
    return list(_conditions(matching))


def _conditions(matching: RunFilter) -> Iterator[ColumnElement[bool]]:
    if matching.without:
        yield manager_job.c.id.not_in(matching.without)
    if matching.status:
        yield manager_job.c.status == matching.status
    if matching.definition:
        yield manager_job.c.definition == matching.definition
    if matching.tag:
        yield manager_job.c.id.in_(select(run_tag.c.manager_id).where(run_tag.c.tag == matching.tag))
    if matching.text:
        yield manager_job.c.name.icontains(matching.text, autoescape=True)
    if matching.since is not None:
        yield manager_job.c.created_at >= matching.since
    if matching.until is not None:
        yield manager_job.c.created_at < matching.until


def kept_runs_by_id(connection: Connection, kept: KeptRuns, ids: Sequence[int]) -> list[RunRecord]:
    """The runs of those ids that exist, in that order; those that are over are read only if they are not kept."""
    if not ids:
        return []
    states: dict[int, State] = {}
    for manager_id, *state in connection.execute(_states, {"ids": ids}):
        states[manager_id] = (*states.get(manager_id, ()), *state)
    found = kept.those_in(states)
    read = {run.id: run for run in runs_by_id(connection, [each for each in ids if each not in found])}
    kept.keep((states[run.id], run) for run in read.values() if run.id in states)
    both = found | read
    return [both[each] for each in ids if each in both]


def runs_by_id(connection: Connection, ids: Sequence[int]) -> list[RunRecord]:
    """The runs of those ids that exist, the newest first."""
    if not ids:
        return []
    counts: defaultdict[int, dict[Status, int]] = defaultdict(dict)
    for row in connection.execute(_counts, {"ids": ids}):
        counts[row.step_id][row.status] = row.number
    steps: defaultdict[int, list[StepRecord]] = defaultdict(list)
    unseen, said = open_failures.of_runs(connection, ids)
    ready = set[int]()
    for row in connection.execute(_steps, {"ids": ids}):
        step = _step(row, Counts.of(counts[row.id]), unseen.get(row.id, 0), said.get(row.id))
        steps[row.manager_id].append(step)
        if row.ready:
            ready.add(row.id)
    rows = connection.execute(_runs, {"ids": ids}).all()
    active = [row.id for row in rows if row.status in ACTIVE]
    if not active:
        return [_run(row, tuple(steps[row.id]), {}) for row in rows]
    paused, waits = pauses(connection), waits_of_runs(connection, active)
    return [told_why(_run(row, tuple(steps[row.id]), paused), waits, ready) for row in rows]


def _step(row: Any, counts: Counts, open_number: int, said: Acknowledgement | None) -> StepRecord:
    return StepRecord(
        id=row.id,
        manager_id=row.manager_id,
        position=row.position,
        name=row.name,
        type=row.type,
        description=row.description,
        depends=tuple(row.depends),
        on_error=row.on_error,
        always_run=row.always_run,
        status=row.status,
        reason=row.reason,
        counts=counts,
        planned=row.planned,
        log_count=row.log_count,
        document_count=row.document_count,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        totals=tuple((row.totals or {}).items()),
        taken_from=row.taken_from,
        open_failures=open_number,
        acknowledgement=said,
    )


def _run(row: Any, steps: tuple[StepRecord, ...], paused: Mapping[str, Paused]) -> RunRecord:
    return RunRecord(
        id=row.id,
        definition=row.definition,
        name=row.name,
        status=row.status,
        reason=row.reason,
        tags=tuple(row.tags),
        parameters=tuple((name, _text(value)) for name, value in row.parameters.items()),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        steps=steps,
        scheduled_for=row.scheduled_for,
        rerun_of=row.rerun_of,
        paused=pause_of(paused, row.id, row.definition) if row.status in ACTIVE else None,
        priority=row.priority,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
