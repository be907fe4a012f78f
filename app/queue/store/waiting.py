"""Why the work items of a step wait is written when a claim is refused, once per change; whoever frees what they wait
for lets it be known."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, delete, exists, insert, literal_column, select, update

from app.queue.changes import StepChanged, WorkAdded
from app.queue.limits import scopes_of
from app.queue.tables import manager_job, step_job, step_wait
from app.queue.writer import Transaction


@dataclass(frozen=True, slots=True)
class Wait:
    """What a step waits for (see `StepWait`)."""

    scope: str
    sentence: str
    held_by: int | None = None


anything_waits: ColumnElement[bool] = exists(select(literal_column("1")).select_from(step_wait))
"""Costs nothing to ask along."""
_of_step = select(step_wait.c.scope, step_wait.c.sentence, step_wait.c.held_by).where(
    step_wait.c.step_id == bindparam("of_step")
)
_rewrite = (
    update(step_wait)
    .where(step_wait.c.step_id == bindparam("of_step"))
    .values(scope=bindparam("to_scope"), sentence=bindparam("said"), held_by=bindparam("holder"))
)
_forget = delete(step_wait).where(step_wait.c.step_id == bindparam("of_step"))
_all = select(step_wait.c.step_id, step_wait.c.scope)
_scopes = (
    select(manager_job.c.definition, step_job.c.name, step_job.c.type)
    .join(manager_job, manager_job.c.id == step_job.c.manager_id)
    .where(step_job.c.id == bindparam("of_step"))
)
_waiting_steps = select(step_job.c.id, step_job.c.manager_id, step_job.c.name, step_job.c.status).join(
    step_wait, step_wait.c.step_id == step_job.c.id
)


def note_wait(transaction: Transaction, step: StepChanged, wait: Wait) -> None:
    """`step`: the change that is told if this is news."""
    known = transaction.connection.execute(_of_step, {"of_step": step.step_id}).one_or_none()
    if known is not None and Wait(*known) == wait:
        return
    if known is None:
        row = {"step_id": step.step_id, "scope": wait.scope, "sentence": wait.sentence, "held_by": wait.held_by}
        transaction.connection.execute(insert(step_wait), row)
    else:
        written = {"to_scope": wait.scope, "said": wait.sentence, "holder": wait.held_by}
        transaction.connection.execute(_rewrite, {"of_step": step.step_id, **written})
    transaction.changes.append(step)


def forget_wait(transaction: Transaction, step: StepChanged) -> None:
    """It waits for nothing but a free slot."""
    if transaction.connection.execute(_forget, {"of_step": step.step_id}).rowcount:
        transaction.changes.append(step)


def forget_wait_of_ended(transaction: Transaction, step_id: int) -> None:
    transaction.connection.execute(_forget, {"of_step": step_id})


def tell_waiting(transaction: Transaction, step_id: int) -> None:
    """Fewer work items of the step are running: whoever waits for a limit that counts them may look again."""
    waiting = transaction.connection.execute(_all).all()
    if not waiting:
        return
    about = transaction.connection.execute(_scopes, {"of_step": step_id}).one_or_none()
    freed = scopes_of(*about) if about else ()
    transaction.changes += [WorkAdded(row.step_id, 0.0) for row in waiting if row.scope in freed]


def begin_anew(transaction: Transaction) -> None:
    """Whoever works has changed: why steps wait is found out again."""
    for row in transaction.connection.execute(_waiting_steps).all():
        forget_wait(transaction, StepChanged(row.manager_id, row.id, row.name, row.status))
        transaction.changes.append(WorkAdded(row.id, 0.0))  # it was by that row that they would have been told
