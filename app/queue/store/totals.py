"""add to totals: what a step has used in all."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, select, update

from app.queue.changes import StepChanged
from app.queue.tables import step_job
from app.queue.totals import added
from app.queue.writer import Transaction

_step = select(step_job.c.manager_id, step_job.c.name, step_job.c.status, step_job.c.totals).where(
    step_job.c.id == bindparam("of_step")
)
_set = (
    update(step_job)
    .where(step_job.c.id == bindparam("of_step"))
    .values(totals=bindparam("sums", type_=step_job.c.totals.type))
)


def add_to_totals(transaction: Transaction, step_id: int, amounts: Mapping[str, float]) -> None:
    """Adds to the totals of a step, also of one that has ended: what was used was used."""
    step = transaction.connection.execute(_step, {"of_step": step_id}).one_or_none()
    if step is None:
        return
    transaction.connection.execute(_set, {"of_step": step_id, "sums": added(step.totals or {}, amounts)})
    transaction.changes.append(StepChanged(step.manager_id, step_id, step.name, step.status))
