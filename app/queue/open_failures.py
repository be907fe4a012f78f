"""Reading failures that nobody has acknowledged, and the acknowledgements of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select, union_all
from sqlalchemy.engine import Connection

from app.queue.records import Acknowledgement
from app.queue.tables import acknowledgement, open_failure, planning_failure, step_job, worker_job

is_open: ColumnElement[bool] = worker_job.c.failure_pattern.is_not(None) & worker_job.c.acknowledgement_id.is_(None)
"""Of a work item: that it failed, and that nobody has acknowledged it. In the words of the index of those."""
open_plannings = select(planning_failure.c.step_id).where(planning_failure.c.acknowledgement_id.is_(None))
"""The steps that failed by their planning, which nobody has acknowledged."""

_of_runs = step_job.c.manager_id.in_(bindparam("ids", expanding=True))
_counters = select(open_failure).join(step_job, step_job.c.id == open_failure.c.step_id).where(_of_runs)
_plannings = select(planning_failure).join(step_job, step_job.c.id == planning_failure.c.step_id).where(_of_runs)
_acknowledgements = select(acknowledgement).where(acknowledgement.c.id.in_(bindparam("ids", expanding=True)))


def of_runs(connection: Connection, ids: Collection[int]) -> tuple[dict[int, int], dict[int, Acknowledgement]]:
    """Of the steps of these runs, by id: how many open failures they have, and who has acknowledged that the planning
    failed."""
    counted = {row.step_id: row.number for row in connection.execute(_counters, {"ids": list(ids)})}
    plannings = connection.execute(_plannings, {"ids": list(ids)}).all()
    for row in plannings:
        if row.acknowledgement_id is None:
            counted[row.step_id] = counted.get(row.step_id, 0) + 1
    closed = {row.step_id: row.acknowledgement_id for row in plannings if row.acknowledgement_id is not None}
    said = acknowledgements(connection, closed.values())
    return counted, {step_id: said[by_id] for step_id, by_id in closed.items()}


def acknowledgements(connection: Connection, ids: Iterable[int]) -> dict[int, Acknowledgement]:
    rows: Any = connection.execute(_acknowledgements, {"ids": wanted}) if (wanted := list(ids)) else ()
    return {row.id: Acknowledgement(row.who, row.at, row.note) for row in rows}


def total(connection: Connection, without: Collection[int]) -> int:
    """All open failures, those of some runs aside."""
    numbers: list[Select[Any]] = [
        select(func.sum(open_failure.c.number).label("number")),
        select(func.count().label("number")).select_from(open_plannings.subquery()),
    ]
    if without:
        there = select(step_job.c.id).where(step_job.c.manager_id.not_in(without))
        numbers = [
            numbers[0].where(open_failure.c.step_id.in_(there)),
            select(func.count().label("number")).select_from(
                open_plannings.where(planning_failure.c.step_id.in_(there)).subquery()
            ),
        ]
    return int(connection.execute(select(func.sum(union_all(*numbers).subquery().c.number))).scalar_one() or 0)
