"""Reading what went wrong in a run: its failed work items, grouped by what they say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection

from app.queue.open_failures import acknowledgements
from app.queue.records import FailedItem, FailureGroup
from app.queue.tables import failure_group, step_job, worker_job

_groups = (
    select(failure_group, step_job.c.name.label("step_name"))
    .join(step_job, step_job.c.id == failure_group.c.step_id)
    .where(step_job.c.manager_id == bindparam("of_manager"))
    .order_by(failure_group.c.last_at.desc(), failure_group.c.last_id.desc(), failure_group.c.pattern)
    .limit(bindparam("most"))
)
_examples = select(worker_job.c.id, worker_job.c.name, worker_job.c.error, worker_job.c.finished_at).where(
    worker_job.c.id.in_(bindparam("ids", expanding=True))
)


def failure_groups(connection: Connection, manager_id: int, most: int) -> tuple[FailureGroup, ...]:
    """The newest first. Costs the same however many work items failed: a step has a bounded number of groups."""
    rows = connection.execute(_groups, {"of_manager": manager_id, "most": most}).all()
    examples = _by_id(connection, {each for row in rows for each in (row.first_id, row.last_id)})
    said = acknowledgements(connection, [row.acknowledgement_id for row in rows if row.acknowledged])
    return tuple(
        FailureGroup(
            manager_id=manager_id,
            step_id=row.step_id,
            step_name=row.step_name,
            pattern=row.pattern,
            count=row.number,
            first=examples[row.first_id],
            last=examples[row.last_id],
            acknowledged=row.acknowledged,
            acknowledgement=said.get(row.acknowledgement_id),
        )
        for row in rows
    )


def _by_id(connection: Connection, ids: Iterable[int]) -> dict[int, FailedItem]:
    rows: Any = connection.execute(_examples, {"ids": list(ids)})
    return {row.id: FailedItem(row.id, row.name, row.error or "", row.finished_at) for row in rows}
